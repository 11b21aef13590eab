//! The grid a raster is read on: its own, or one to warp to.

use geosam_core::{BoundingBox, Crs, CrsTransform, Error, GeoGrid, Result};

use super::open::SourceFacts;
use super::options::RasterOptions;
use crate::osr::Osr;

/// Where the pixels go.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Nowhere: the raster's own grid.
    AsIs(GeoGrid),
    /// To another CRS, on the grid that GDAL chooses.
    Reprojected { from: Crs, to: Crs },
    /// To a pixel size, in the same or another CRS.
    Resampled { from: Crs, grid: GeoGrid },
}

impl Target {
    pub(super) fn choose(source: &str, facts: &SourceFacts, options: &RasterOptions) -> Result<Self> {
        let Some(own) = options.assume_crs.as_ref().or(facts.crs.as_ref()) else {
            return Err(Error::MissingCrs {
                what: format!("the raster {source}"),
                remedy: "say which it is in with assume_crs (--assume-crs), for example EPSG:32618",
            });
        };
        let own = Osr.describe(own)?;
        let grid = GeoGrid::new(facts.transform, facts.shape, own.canonical.clone())?;
        let wanted = options.crs.as_ref().map(|crs| Osr.describe(crs)).transpose()?;
        let Some(metres) = options.resolution else {
            return match wanted {
                Some(wanted) if !Osr.equivalent(&wanted.canonical, &own.canonical)? => {
                    Ok(Self::Reprojected { from: own.canonical, to: wanted.canonical })
                }
                _ => Ok(Self::AsIs(grid)),
            };
        };
        let target = match wanted {
            Some(wanted) => wanted,
            None if own.is_geographic => Osr.describe(&Osr::utm_zone(&grid.bounds())?)?,
            None => own.clone(),
        };
        let Some(metres_per_unit) = target.metres_per_unit else {
            return Err(Error::invalid_argument(
                "resolution",
                "a projected target CRS, or none for the UTM zone, as the resolution is in metres",
                format_args!("{metres} m in {}", target.canonical),
            ));
        };
        // Python geosam gives rasterio bounds and shape instead of the transform, which differ in the last digit.
        let straight = GeoGrid::from_bounds_and_shape(&grid.bounds(), grid.shape)?;
        let pixel = metres / metres_per_unit;
        let grid = Osr.suggest_grid(&straight, &target.canonical, Some((pixel, pixel)), None)?;
        Ok(Self::Resampled { from: own.canonical, grid })
    }
}

/// The part of an extent that `grid` shows, in its CRS.
pub(super) fn on_grid(bounds: &BoundingBox, grid: &GeoGrid) -> Result<BoundingBox> {
    bounds.require_crs("the extent")?;
    if bounds.area() == 0.0 {
        return Err(Error::invalid_argument("extent", "a box with an area", bounds));
    }
    let there = bounds.to_crs(&grid.crs, &Osr)?;
    there.intersection(&grid.bounds())?.filter(|shared| shared.width() > 0.0 && shared.height() > 0.0).ok_or_else(
        || Error::OutOfBounds {
            what: "the extent".to_string(),
            location: bounds.to_string(),
            container: format!("the raster, which covers {}", grid.bounds()),
        },
    )
}
