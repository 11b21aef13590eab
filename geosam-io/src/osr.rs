//! Coordinate reference systems through GDAL's OSR: the same PROJ that warps the pixels.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use gdal::errors::GdalError;
use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};
use geosam_core::{Affine, BoundingBox, Crs, CrsDescription, CrsTransform, Error, GeoGrid, Result, Shape, WorldPoint};

use crate::{gdal_ffi, gdal_setup};

/// Points on each edge of a box that is transformed, as in rasterio's `transform_bounds`.
const DENSIFY_POINTS: i32 = 21;

/// Systems and transforms each thread keeps; programs use a handful, this only bounds what a server can pile up.
const CACHED_HANDLES: usize = 64;

/// Coordinates between CRSs through PROJ.
///
/// ```
/// use geosam_core::{Crs, CrsTransform, WorldPoint};
/// use geosam_io::Osr;
///
/// let mut points = [WorldPoint::new(-75.0, 40.0)];
/// Osr.transform_points(&Crs::wgs84(), &Crs::new("EPSG:32618"), &mut points)?;
/// assert!((points[0].x - 500_000.0).abs() < 1e-6);
/// # Ok::<(), geosam_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Osr;

/// Handles of one thread; OSR's are not to be shared.
#[derive(Default)]
struct Handles {
    systems: HashMap<Crs, Rc<SpatialRef>>,
    transforms: HashMap<(Crs, Crs), Rc<CoordTransform>>,
}

thread_local! {
    static HANDLES: RefCell<Handles> = RefCell::default();
}

impl Osr {
    /// The UTM zone (WGS 84) in which the centre of `bounds` lies, with the exceptions of Norway and Svalbard; the polar
    /// stereographic systems beyond 84° N and 80° S.
    ///
    /// ```
    /// use geosam_core::{BoundingBox, Crs};
    /// use geosam_io::Osr;
    ///
    /// let oslo = BoundingBox::new(10.6, 59.8, 10.9, 60.0, Crs::wgs84())?;
    /// assert_eq!(Osr::utm_zone(&oslo)?, Crs::new("EPSG:32632"));
    /// # Ok::<(), geosam_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::MissingCrs`] if the bounds have none, [`Error::Crs`] if they cannot be brought to longitude and latitude.
    pub fn utm_zone(bounds: &BoundingBox) -> Result<Crs> {
        let center = Self.transform_bounds(bounds, &Crs::wgs84())?.center();
        let (longitude, latitude) = (center.x, center.y);
        if latitude > 84.0 {
            return Ok(Crs::new("EPSG:5041"));
        }
        if latitude < -80.0 {
            return Ok(Crs::new("EPSG:5042"));
        }
        let zone = match (latitude, longitude) {
            (56.0..64.0, 3.0..12.0) => 32,
            (72.0..=84.0, 0.0..9.0) => 31,
            (72.0..=84.0, 9.0..21.0) => 33,
            (72.0..=84.0, 21.0..33.0) => 35,
            (72.0..=84.0, 33.0..42.0) => 37,
            _ => (((longitude + 180.0) / 6.0).floor() as i64).rem_euclid(60) + 1,
        };
        Ok(Crs::new(format!("EPSG:32{}{zone:02}", if latitude < 0.0 { 7 } else { 6 })))
    }
}

impl CrsTransform for Osr {
    fn describe(&self, crs: &Crs) -> Result<CrsDescription> {
        let srs = spatial_ref(crs)?;
        let is_geographic = srs.is_geographic();
        Ok(CrsDescription {
            canonical: canonical(crs, &srs)?,
            name: srs.name().unwrap_or_else(|| crs.to_string()),
            is_geographic,
            metres_per_unit: (!is_geographic).then(|| srs.linear_units()),
            projjson: srs.to_projjson().map_err(|error| crs_error(crs, error))?,
        })
    }

    fn equivalent(&self, a: &Crs, b: &Crs) -> Result<bool> {
        let (left, right) = (spatial_ref(a)?, spatial_ref(b)?);
        Ok(a == b || gdal_ffi::is_same(&left, &right).map_err(|error| crs_error(a, error))?)
    }

    fn transform_points(&self, from: &Crs, to: &Crs, points: &mut [WorldPoint]) -> Result<()> {
        if self.equivalent(from, to)? || points.is_empty() {
            return Ok(());
        }
        let mut x: Vec<f64> = points.iter().map(|p| p.x).collect();
        let mut y: Vec<f64> = points.iter().map(|p| p.y).collect();
        transform(from, to)?
            .transform_coords(&mut x, &mut y, &mut [])
            .map_err(|error| no_image(from, to, Some(error)))?;
        if x.iter().chain(&y).any(|v| !v.is_finite()) {
            return Err(no_image(from, to, None));
        }
        for ((point, x), y) in points.iter_mut().zip(x).zip(y) {
            *point = WorldPoint::new(x, y);
        }
        Ok(())
    }

    fn transform_bounds(&self, bounds: &BoundingBox, to: &Crs) -> Result<BoundingBox> {
        let from = bounds.require_crs("the bounding box")?;
        if self.equivalent(from, to)? {
            return Ok(BoundingBox { crs: Some(to.clone()), ..bounds.clone() });
        }
        let corners = [bounds.left, bounds.bottom, bounds.right, bounds.top];
        let [left, bottom, right, top] = transform(from, to)?
            .transform_bounds(&corners, DENSIFY_POINTS)
            .map_err(|error| no_image(from, to, Some(error)))?;
        if ![left, bottom, right, top].iter().all(|v| v.is_finite()) {
            return Err(no_image(from, to, None));
        }
        if left > right {
            return Err(Error::Crs {
                crs: to.to_string(),
                reason: format!("the box {bounds} crosses the antimeridian there; split it at longitude 180"),
                source: None,
            });
        }
        BoundingBox::new(left, bottom, right, top, to.clone())
    }

    /// GDAL's own answer, and so rasterio's `calculate_default_transform`.
    fn suggest_grid(
        &self,
        grid: &GeoGrid,
        to: &Crs,
        resolution: Option<(f64, f64)>,
        shape: Option<Shape>,
    ) -> Result<GeoGrid> {
        // GDAL before 3.8 makes the pixels square even where there is nothing to warp.
        let stays = grid.is_north_up() && self.equivalent(&grid.crs, to)?;
        let (t, suggested) = if stays { (grid.transform, grid.shape) } else { suggested_warp_output(grid, to)? };
        let (width, height) = (suggested.width as f64, suggested.height as f64);
        let (transform, shape) = match (resolution, shape) {
            (None, None) => (t, suggested),
            (Some((x, y)), None) if x > 0.0 && y > 0.0 => {
                let (columns, rows) = ((width * (t.a / x)).ceil(), (height * (t.e / -y)).ceil());
                if columns.max(rows) > f64::from(i32::MAX) {
                    return Err(Error::TooLarge {
                        what: "the warped raster".to_string(),
                        found: format!("{rows}×{columns} pixels"),
                        limit: format!("{} pixels on a side", i32::MAX),
                        remedy: "choose a coarser resolution",
                    });
                }
                (Affine { a: x, e: -y, ..t }, Shape::new(rows as usize, columns as usize))
            }
            (None, Some(shape)) if shape.area() > 0 => {
                let ratio = (width / shape.width as f64, height / shape.height as f64);
                (Affine { a: t.a * ratio.0, e: t.e * ratio.1, ..t }, shape)
            }
            (Some(_), Some(_)) => return Err(Error::invalid_argument("grid", "a resolution or a shape", "both")),
            _ => {
                return Err(Error::invalid_argument(
                    "grid",
                    "a positive resolution or shape",
                    format_args!("{resolution:?}, {shape:?}"),
                ));
            }
        };
        GeoGrid::new(transform, shape, to.clone())
    }
}

/// The grid that GDAL suggests for warping a raster on `grid` to another CRS.
fn suggested_warp_output(grid: &GeoGrid, to: &Crs) -> Result<(Affine, Shape)> {
    let target_wkt = wkt(to)?;
    let made = || {
        // Without bands it costs nothing, whatever its size.
        let driver = gdal::DriverManager::get_driver_by_name("VRT")?;
        let mut proxy = driver.create("", grid.shape.width, grid.shape.height, 0)?;
        proxy.set_geo_transform(&grid.transform.to_gdal())?;
        Ok(proxy)
    };
    let made: std::result::Result<_, GdalError> = made();
    let mut proxy = made.map_err(|error| no_image(&grid.crs, to, Some(error)))?;
    proxy.set_spatial_ref(&*spatial_ref(&grid.crs)?).map_err(|error| crs_error(&grid.crs, error))?;
    gdal_ffi::suggested_warp_output(&proxy, &target_wkt).map_err(|error| no_image(&grid.crs, to, Some(error)))
}

/// WKT 1 of a CRS, which GDAL's warper is given; WKT 2 where WKT 1 cannot express it.
pub(crate) fn wkt(crs: &Crs) -> Result<String> {
    let srs = spatial_ref(crs)?;
    srs.to_wkt().or_else(|_| gdal_ffi::to_wkt2(&srs)).map_err(|error| crs_error(crs, error))
}

/// The CRS of a handle that GDAL gave us, in canonical form.
pub(crate) fn crs_of(mut srs: SpatialRef) -> Result<Crs> {
    srs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    let unnamed = Crs::new(srs.name().unwrap_or_default());
    canonical(&unnamed, &srs)
}

/// The handle of a CRS: the only place where one is made from text, and x before y.
pub(crate) fn spatial_ref(crs: &Crs) -> Result<Rc<SpatialRef>> {
    gdal_setup::init();
    HANDLES.with_borrow_mut(|handles| {
        if let Some(srs) = handles.systems.get(crs) {
            return Ok(srs.clone());
        }
        let mut srs = SpatialRef::from_definition(crs.as_str()).map_err(|error| Error::Crs {
            crs: crs.to_string(),
            reason: "PROJ does not know it; give AUTHORITY:CODE such as EPSG:32618, WKT, PROJJSON or a PROJ string"
                .to_string(),
            source: Some(error.into()),
        })?;
        srs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
        let srs = Rc::new(srs);
        bound(&mut handles.systems);
        handles.systems.insert(crs.clone(), srs.clone());
        Ok(srs)
    })
}

/// The handle of a transformation, between systems that are not the same.
pub(crate) fn transform(from: &Crs, to: &Crs) -> Result<Rc<CoordTransform>> {
    let key = (from.clone(), to.clone());
    if let Some(known) = HANDLES.with_borrow(|handles| handles.transforms.get(&key).cloned()) {
        return Ok(known);
    }
    let made = CoordTransform::new(&*spatial_ref(from)?, &*spatial_ref(to)?)
        .map_err(|error| no_image(from, to, Some(error)))?;
    let made = Rc::new(made);
    HANDLES.with_borrow_mut(|handles| {
        bound(&mut handles.transforms);
        handles.transforms.insert(key, made.clone());
    });
    Ok(made)
}

fn bound<K, V>(handles: &mut HashMap<K, V>) {
    if handles.len() >= CACHED_HANDLES {
        handles.clear();
    }
}

/// `AUTHORITY:CODE` if the definition carries one or PROJ's database has its equal, else WKT 2.
fn canonical(crs: &Crs, srs: &SpatialRef) -> Result<Crs> {
    if let Ok(code) = srs.authority() {
        return Ok(Crs::new(code));
    }
    let equal = gdal_ffi::similar_systems(srs).into_iter().find_map(|candidate| {
        gdal_ffi::is_same(&candidate, srs).is_ok_and(|same| same).then(|| candidate.authority().ok())?
    });
    match equal {
        Some(code) => Ok(Crs::new(code)),
        None => Ok(Crs::new(gdal_ffi::to_wkt2(srs).map_err(|error| crs_error(crs, error))?)),
    }
}

fn crs_error(crs: &Crs, error: GdalError) -> Error {
    Error::Crs { crs: crs.to_string(), reason: gdal_setup::message(&error), source: Some(error.into()) }
}

fn no_image(from: &Crs, to: &Crs, error: Option<GdalError>) -> Error {
    let detail = error.as_ref().map(|error| format!(" ({})", gdal_setup::message(error))).unwrap_or_default();
    Error::Crs {
        crs: to.to_string(),
        reason: format!(
            "coordinates in {from} have no image there{detail}; check that they are x, y (longitude, latitude) in {from}"
        ),
        source: error.map(Into::into),
    }
}
