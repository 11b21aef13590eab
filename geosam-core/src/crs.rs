//! Coordinate reference systems by name, and the seam behind which PROJ does the work.

use crate::bbox::BoundingBox;
use crate::coordinates::{Shape, WorldPoint};
use crate::error::{Error, Result};
use crate::grid::GeoGrid;
use crate::suggested_grid::suggested_grid;

/// A coordinate reference system, by the text that defines it: `EPSG:32618`, WKT, PROJJSON or a PROJ string.
///
/// Axis order is always x, y (longitude, latitude), whatever the authority says. Two values are `==` when their texts
/// are; [`CrsTransform::equivalent`] compares what they mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Crs(String);

impl Crs {
    /// A CRS from its definition, with surrounding white space removed. The text is not interpreted here;
    /// [`CrsTransform::describe`] validates it.
    pub fn new(definition: impl AsRef<str>) -> Self {
        Self(definition.as_ref().trim().to_string())
    }

    /// WGS 84 longitude and latitude, `EPSG:4326`.
    #[must_use]
    pub fn wgs84() -> Self {
        Self::new("EPSG:4326")
    }

    /// The definition.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Crs {
    /// The definition, or the name at its start where it is WKT (a screenful).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.split_once('"') {
            Some((head, rest)) if head.contains('[') => write!(f, "{}", rest.split('"').next().unwrap_or(rest)),
            _ => f.write_str(&self.0),
        }
    }
}

impl From<&str> for Crs {
    fn from(definition: &str) -> Self {
        Self::new(definition)
    }
}

/// What a CRS is, as far as chips and manifests need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct CrsDescription {
    /// `AUTHORITY:CODE` where one is known, else WKT 2.
    pub canonical: Crs,
    /// Human-readable name.
    pub name: String,
    /// Coordinates are longitude and latitude in degrees.
    pub is_geographic: bool,
    /// Metres in one unit of a projected CRS; `None` for geographic ones.
    pub metres_per_unit: Option<f64>,
    /// PROJJSON, as GeoParquet stores it.
    pub projjson: String,
}

/// Coordinates between CRSs: the seam to PROJ (OSR in `geosam-io`).
///
/// # Contract
/// - x before y (longitude before latitude) on both sides, for every CRS.
/// - `transform_points` is all or nothing: on an error the points are as they were.
/// - A point that cannot be transformed is an error, never infinity or NaN.
/// - A transform between equivalent CRSs leaves coordinates unchanged, bit for bit.
/// - Safe to call from several threads.
pub trait CrsTransform: Send + Sync + std::fmt::Debug {
    /// Interpret a definition.
    ///
    /// # Errors
    /// [`Error::Crs`] if the definition is not understood.
    fn describe(&self, crs: &Crs) -> Result<CrsDescription>;

    /// Whether two definitions mean the same system (axis order ignored).
    ///
    /// # Errors
    /// [`Error::Crs`] if a definition is not understood.
    fn equivalent(&self, a: &Crs, b: &Crs) -> Result<bool>;

    /// Transform points in place.
    ///
    /// # Errors
    /// [`Error::Crs`] if a definition is not understood or a point has no image in `to`.
    fn transform_points(&self, from: &Crs, to: &Crs, points: &mut [WorldPoint]) -> Result<()>;

    /// The box around the image of `bounds`, its edges densified with 21 points (rasterio's `transform_bounds`).
    ///
    /// # Errors
    /// [`Error::MissingCrs`] if `bounds` has no CRS, [`Error::Crs`] if the box has no image in `to`.
    fn transform_bounds(&self, bounds: &BoundingBox, to: &Crs) -> Result<BoundingBox>;

    /// The north-up grid in `to` that shows the same area as `grid`: by default with square pixels and as many of them
    /// along the diagonal; or with pixels of `resolution` (x size, y size, both positive, in units of `to`); or of
    /// `shape`. The top-left corner is the same in all three.
    ///
    /// Provided: GDAL's rule for the output of a warp, from the images of 21 points on each edge. An implementation on
    /// top of GDAL overrides it with GDAL's own answer, which also knows about poles.
    ///
    /// # Errors
    /// [`Error::Crs`] if the grid has no image in `to`, [`Error::InvalidArgument`] if both resolution and shape are
    /// given or one is not positive.
    fn suggest_grid(
        &self,
        grid: &GeoGrid,
        to: &Crs,
        resolution: Option<(f64, f64)>,
        shape: Option<Shape>,
    ) -> Result<GeoGrid> {
        suggested_grid(self, grid, to, resolution, shape)
    }
}

/// A [`CrsTransform`] that knows no projection: equal texts are equal systems, everything else is an error.
///
/// Enough for programs whose prompts are always in the raster's CRS, and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct SameCrsOnly;

impl SameCrsOnly {
    fn require_same(from: &Crs, to: &Crs) -> Result<()> {
        if from == to {
            return Ok(());
        }
        Err(Error::Crs {
            crs: from.to_string(),
            reason: format!(
                "coordinates cannot be brought to {to} without a transformation engine such as geosam_io::Osr"
            ),
            source: None,
        })
    }
}

impl CrsTransform for SameCrsOnly {
    fn describe(&self, crs: &Crs) -> Result<CrsDescription> {
        let is_geographic = *crs == Crs::wgs84();
        Ok(CrsDescription {
            canonical: crs.clone(),
            name: crs.to_string(),
            is_geographic,
            metres_per_unit: (!is_geographic).then_some(1.0),
            projjson: "null".to_string(),
        })
    }

    fn equivalent(&self, a: &Crs, b: &Crs) -> Result<bool> {
        Ok(a == b)
    }

    fn transform_points(&self, from: &Crs, to: &Crs, _points: &mut [WorldPoint]) -> Result<()> {
        Self::require_same(from, to)
    }

    fn transform_bounds(&self, bounds: &BoundingBox, to: &Crs) -> Result<BoundingBox> {
        Self::require_same(bounds.require_crs("the bounding box")?, to)?;
        Ok(bounds.clone())
    }
}
