//! What a raster is, at a glance.

use gdal::Metadata;
use geosam_core::{Affine, BoundingBox, Crs, CrsTransform, GeoGrid, Result, Shape};

use super::open::{self, band_name};
use crate::gdal_setup::dataset_error;
use crate::osr::Osr;

/// What a raster is, without reading its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct RasterInfo {
    /// Absolute path, or the connection string.
    pub source: String,
    /// GDAL's name of the format, e.g. `GTiff`.
    pub driver: String,
    /// Rows and columns.
    pub shape: Shape,
    /// The bands, in order.
    pub bands: Vec<BandInfo>,
    /// The raster's CRS, if it has one.
    pub crs: Option<Crs>,
    /// Pixel → world; the identity where the raster has none.
    pub transform: Affine,
    /// Bounds in its CRS; in pixels where it has no transform.
    pub bounds: BoundingBox,
    /// Width and height of a pixel in metres: at the centre of a raster in longitude and latitude; `None` without CRS.
    pub resolution: Option<(f64, f64)>,
    /// Shape of the blocks that are read at once.
    pub block: Shape,
    /// Shapes of the overviews, the largest first.
    pub overviews: Vec<Shape>,
    /// Compression, e.g. `DEFLATE`; `None` if there is none.
    pub compression: Option<String>,
}

/// One band of a [`RasterInfo`].
#[derive(Clone, Debug, PartialEq)]
pub struct BandInfo {
    /// Number, counted from 1.
    pub number: usize,
    /// Element type as in NumPy, e.g. `uint16`.
    pub type_name: &'static str,
    /// Description, or the colour it is shown in; often empty.
    pub name: String,
    /// Value that means no data.
    pub nodata: Option<f64>,
}

impl RasterInfo {
    /// Describe a raster.
    ///
    /// # Errors
    /// [`geosam_core::Error::Dataset`] if GDAL cannot open it or it has no bands, [`geosam_core::Error::Unsupported`] for
    /// complex numbers and for ground control points in place of a transform.
    pub fn read(source: &str) -> Result<Self> {
        let dataset = open::open(source)?;
        let source = open::absolute(source);
        let gdal = |error| dataset_error("read", &source, error);
        let facts = open::source_facts(&dataset, &source)?;
        let bands = (1..=dataset.raster_count()).map(|number| {
            let band = dataset.rasterband(number).map_err(gdal)?;
            Ok(BandInfo {
                number,
                type_name: open::element_type(&dataset, &[number], &source)?.name(),
                name: band_name(&band),
                nodata: band.no_data_value(),
            })
        });
        let first = dataset.rasterband(1).map_err(gdal)?;
        let (block_width, block_height) = first.block_size();
        let overviews = (0..first.overview_count().map_err(gdal)?).map(|index| {
            let (width, height) = first.overview(index as usize).map_err(gdal)?.size();
            Ok(Shape::new(height, width))
        });
        // A grid needs a CRS; without one its bounds are in none.
        let crs = facts.crs.clone();
        let grid = GeoGrid::new(facts.transform, facts.shape, crs.clone().unwrap_or_else(|| Crs::new("")))?;
        Ok(Self {
            driver: dataset.driver().short_name(),
            shape: facts.shape,
            bands: bands.collect::<Result<_>>()?,
            resolution: crs.as_ref().map(|_| pixel_metres(&grid)).transpose()?,
            bounds: BoundingBox { crs: crs.clone(), ..grid.bounds() },
            transform: facts.transform,
            crs,
            block: Shape::new(block_height, block_width),
            overviews: overviews.collect::<Result<_>>()?,
            compression: dataset.metadata_item("COMPRESSION", "IMAGE_STRUCTURE"),
            source,
        })
    }
}

/// Width and height of a pixel in metres, at the grid's centre.
fn pixel_metres(grid: &GeoGrid) -> Result<(f64, f64)> {
    /// Metres in a degree of latitude, and of longitude at the equator, on a sphere of WGS 84's mean radius.
    const METRES_PER_DEGREE: f64 = 111_195.0;
    let t = grid.transform;
    let (width, height) = (t.a.hypot(t.d), t.b.hypot(t.e));
    Ok(match Osr.describe(&grid.crs)?.metres_per_unit {
        Some(metres) => (width * metres, height * metres),
        None => {
            let latitude = grid.bounds().center().y.to_radians();
            (width * METRES_PER_DEGREE * latitude.cos(), height * METRES_PER_DEGREE)
        }
    })
}
