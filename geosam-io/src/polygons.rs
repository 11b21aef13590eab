//! Polygons of a vector file, and the pixels they cover.

use std::path::Path;

use gdal::DriverManager;
use gdal::errors::GdalError;
use gdal::raster::rasterize;
use gdal::spatial_ref::CoordTransform;
use gdal::vector::Geometry;
use geosam_core::{BoundingBox, Crs, CrsTransform, Error, GeoGrid, Masks, Result};

use crate::gdal_ffi::{to_plane_wkb, why_invalid};
use crate::gdal_setup::dataset_error;
use crate::osr::{self, Osr};
use crate::vector_reader::VectorReader;

const FORMAT: &str = "polygon file";

/// What a file of polygons does not say itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolygonFileOptions {
    /// Layer to read. Default: the only one that has geometries.
    pub layer: Option<String>,
    /// The CRS of the coordinates where the file names none, as a Shapefile without `.prj`. A file that names its CRS is
    /// believed, and GeoJSON is in WGS 84 unless it says otherwise.
    pub crs: Option<Crs>,
}

/// Objects outlined on the map, as [`read_polygons`] finds them: what a model is to find, to learn from or to be measured by.
#[derive(Clone)]
pub struct Polygons {
    crs: Crs,
    polygons: Vec<Polygon>,
}

/// A polygon or several that are one object. Handles of GDAL stay on one thread, its bytes need not.
#[derive(Clone)]
struct Polygon {
    wkb: Vec<u8>,
    bounds: BoundingBox,
}

/// Read the polygons of anything GDAL opens as a vector (GeoPackage, GeoJSON, FlatGeobuf, Shapefile, …), and bring them to
/// `target`, the CRS of the grids they are wanted on.
///
/// Every feature is one object, a polygon or a multi-polygon, with or without holes. Fields and heights are not looked at, arcs
/// become segments, and edges stay straight between the vertices that are transformed. All stay in memory, 16 bytes a vertex.
///
/// # Errors
/// [`Error::Dataset`] if the file cannot be read; [`Error::InvalidFile`], which names the feature, for anything but polygons, a
/// polygon that is not valid or has no image in `target`, and if there is none at all; [`Error::MissingCrs`] if neither file nor
/// options give a CRS; [`Error::Crs`] if one is unknown; [`Error::InvalidArgument`] for a layer that is not there.
///
/// # Examples
/// ```
/// use geosam_core::{Affine, Crs, GeoGrid, Shape};
/// use geosam_io::{PolygonFileOptions, read_polygons};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("roofs.geojson");
/// std::fs::write(&path, r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {},
///     "geometry": {"type": "Polygon", "coordinates": [[[9, 36], [9.5, 36], [9.5, 36.25], [9, 36.25], [9, 36]]]}}]}"#)?;
///
/// let grid = GeoGrid::new(Affine::from_origin(9.0, 37.0, 0.125, 0.125), Shape::square(8), Crs::wgs84())?;
/// let masks = read_polygons(&path, &PolygonFileOptions::default(), &grid.crs)?.masks(&grid)?;
/// assert_eq!(masks.len(), 1);
/// let covered: Vec<_> = (0..64).filter(|&pixel| masks.mask(0)[pixel]).collect();
/// assert_eq!(covered, [48, 49, 50, 51, 56, 57, 58, 59], "the lower left corner");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_polygons(path: impl AsRef<Path>, options: &PolygonFileOptions, target: &Crs) -> Result<Polygons> {
    let file = VectorReader::open(path.as_ref(), FORMAT)?;
    let mut layer = file.layer(options.layer.as_deref())?;
    let crs = file.crs(&layer, options.crs.as_ref())?;
    let transform = if Osr.equivalent(&crs, target)? { None } else { Some(osr::transform(&crs, target)?) };
    let polygons = file.features(&mut layer, |id, feature| {
        let geometry = polygon(feature.geometry())
            .map_err(|found| file.invalid("valid polygons", format!("{found} in feature {id}")))?;
        let wkb = to_plane_wkb(geometry).map_err(|error| file.failed(error))?;
        Polygon::new(wkb, transform.as_deref()).map_err(|_| {
            let expected = format!("polygons that have an image in {target}, with x before y in {crs}");
            file.invalid(expected, format!("one that has none, in feature {id}"))
        })
    })?;
    match polygons.is_empty() {
        true => Err(file.invalid("at least one polygon", "none")),
        false => Ok(Polygons { crs: target.clone(), polygons }),
    }
}

/// A geometry that is a valid area, or what it is instead.
fn polygon(geometry: Option<&Geometry>) -> Result<&Geometry, String> {
    let Some(geometry) = geometry.filter(|geometry| !geometry.is_empty()) else {
        return Err("no geometry".to_string());
    };
    match &*geometry.geometry_name() {
        "POLYGON" | "MULTIPOLYGON" | "CURVEPOLYGON" | "MULTISURFACE" => match why_invalid(geometry) {
            Some(reason) => Err(format!("an invalid one ({reason}; ogr2ogr -makevalid repairs it)")),
            None => Ok(geometry),
        },
        other => Err(format!("a {}", other.to_ascii_lowercase())),
    }
}

impl Polygon {
    fn new(wkb: Vec<u8>, transform: Option<&CoordTransform>) -> Result<Self> {
        let unusable = |error| dataset_error("transform", "a polygon", error);
        let mut geometry = Geometry::from_wkb(&wkb).map_err(unusable)?;
        if let Some(transform) = transform {
            geometry.transform_inplace(transform).map_err(unusable)?;
        }
        let bounds = geometry.envelope();
        let bounds = BoundingBox::new(bounds.MinX, bounds.MinY, bounds.MaxX, bounds.MaxY, None)?;
        let wkb = if transform.is_some() { geometry.wkb().map_err(unusable)? } else { wkb };
        Ok(Self { wkb, bounds })
    }

    /// 1 for every pixel whose centre lies inside, 0 for the others, by rows.
    fn rasterize(&self, grid: &GeoGrid) -> Result<Vec<u8>, GdalError> {
        let size = (grid.shape.width, grid.shape.height);
        let memory = DriverManager::get_driver_by_name("MEM")?;
        let mut dataset = memory.create_with_band_type::<u8, _>("", size.0, size.1, 1)?;
        dataset.set_geo_transform(&grid.transform.to_gdal())?;
        rasterize(&mut dataset, &[1], &[Geometry::from_wkb(&self.wkb)?], &[1.0], None)?;
        Ok(dataset.rasterband(1)?.read_as::<u8>((0, 0), size, size, None)?.into_shape_and_vec().1)
    }
}

impl Polygons {
    /// Number of polygons.
    #[must_use]
    pub fn len(&self) -> usize {
        self.polygons.len()
    }

    /// Always `false`: a file without polygons is an error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.polygons.is_empty()
    }

    /// The CRS that they were brought to.
    #[must_use]
    pub fn crs(&self) -> &Crs {
        &self.crs
    }

    /// The masks of the polygons that cover a pixel of `grid`, one for each, in the order of the file. A pixel is covered if its
    /// centre lies inside; what reaches past the grid is cut off. Possibly no mask at all.
    ///
    /// # Errors
    /// [`Error::Crs`] if the grid has another CRS than the polygons, [`Error::Dataset`] if GDAL fails.
    pub fn masks(&self, grid: &GeoGrid) -> Result<Masks> {
        if !Osr.equivalent(&self.crs, &grid.crs)? {
            let reason = format!("the polygons were read in {}; read them in the CRS of the grid", self.crs);
            return Err(Error::Crs { crs: grid.crs.to_string(), reason, source: None });
        }
        let mut masks = Vec::new();
        for polygon in &self.polygons {
            // The only error is that it lies elsewhere.
            let Ok(window) = grid.window_of(&polygon.bounds) else { continue };
            let covered = polygon
                .rasterize(&grid.shifted(window))
                .map_err(|error| dataset_error("rasterize", "a polygon", error))?;
            if covered.contains(&1) {
                let start = masks.len();
                masks.resize(start + grid.shape.area(), false);
                for (row, line) in covered.chunks_exact(window.shape.width).enumerate() {
                    let first = start + (window.row as usize + row) * grid.shape.width + window.column as usize;
                    let pixels = &mut masks[first..first + line.len()];
                    pixels.iter_mut().zip(line).for_each(|(inside, value)| *inside = *value == 1);
                }
            }
        }
        Masks::new(grid.shape, masks)
    }
}

impl std::fmt::Debug for Polygons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Polygons({} in {})", self.len(), self.crs)
    }
}
