//! The grid to warp a raster to.

use crate::affine::Affine;
use crate::coordinates::{PixelPoint, Shape};
use crate::crs::{Crs, CrsTransform};
use crate::error::{Error, Result};
use crate::grid::GeoGrid;

/// Points on each edge of the source whose images give the bounds, as GDAL samples it.
const POINTS_PER_EDGE: usize = 21;

/// The north-up grid in `to` that shows `grid` with about as many pixels along its diagonal, as GDAL suggests for
/// warping; then, as in rasterio, with another resolution or shape over the same extent.
pub(crate) fn suggested_grid<T: CrsTransform + ?Sized>(
    transform: &T,
    grid: &GeoGrid,
    to: &Crs,
    resolution: Option<(f64, f64)>,
    shape: Option<Shape>,
) -> Result<GeoGrid> {
    let suggested = if transform.equivalent(&grid.crs, to)? && grid.is_north_up() {
        GeoGrid { crs: to.clone(), ..grid.clone() }
    } else {
        square_pixels_over_image(transform, grid, to)?
    };
    resized(suggested, resolution, shape)
}

fn square_pixels_over_image<T: CrsTransform + ?Sized>(transform: &T, grid: &GeoGrid, to: &Crs) -> Result<GeoGrid> {
    let (height, width) = (grid.shape.height as f64, grid.shape.width as f64);
    let mut outline = vec![PixelPoint::new(0.0, 0.0), PixelPoint::new(width, height)];
    for step in 0..POINTS_PER_EDGE {
        let t = step as f64 / (POINTS_PER_EDGE - 1) as f64;
        outline.extend([
            PixelPoint::new(t * width, 0.0),
            PixelPoint::new(t * width, height),
            PixelPoint::new(0.0, t * height),
            PixelPoint::new(width, t * height),
        ]);
    }
    let mut image: Vec<_> = outline.into_iter().map(|p| grid.to_world(p)).collect();
    transform.transform_points(&grid.crs, to, &mut image)?;

    let low = |pick: fn(&crate::WorldPoint) -> f64| image.iter().map(pick).fold(f64::INFINITY, f64::min);
    let high = |pick: fn(&crate::WorldPoint) -> f64| image.iter().map(pick).fold(f64::NEG_INFINITY, f64::max);
    let (left, right, bottom, top) = (low(|p| p.x), high(|p| p.x), low(|p| p.y), high(|p| p.y));

    let (mut dx, mut dy) = (image[1].x - image[0].x, image[1].y - image[0].y);
    if dx == 0.0 || dy == 0.0 {
        (dx, dy) = (right - left, top - bottom);
    }
    let pixel = dx.hypot(dy) / width.hypot(height);
    let count = |length: f64| (length / pixel + 0.5).floor().max(1.0) as usize;
    GeoGrid::new(
        Affine::from_origin(left, top, pixel, pixel),
        Shape::new(count(top - bottom), count(right - left)),
        to.clone(),
    )
}

/// The same top-left corner and, rounded up to whole pixels, the same extent.
fn resized(grid: GeoGrid, resolution: Option<(f64, f64)>, shape: Option<Shape>) -> Result<GeoGrid> {
    let t = grid.transform;
    match (resolution, shape) {
        (None, None) => Ok(grid),
        (Some((x, y)), None) if x > 0.0 && y > 0.0 => {
            let count = |pixels: usize, old: f64, new: f64| (pixels as f64 * (old / new)).ceil() as usize;
            let shape = Shape::new(count(grid.shape.height, -t.e, y), count(grid.shape.width, t.a, x));
            GeoGrid::new(Affine::from_origin(t.c, t.f, x, y), shape, grid.crs)
        }
        (None, Some(shape)) => {
            let ratio = |old: usize, new: usize| old as f64 / new as f64;
            let transform = t.scaled(ratio(grid.shape.width, shape.width), ratio(grid.shape.height, shape.height));
            GeoGrid::new(transform, shape, grid.crs)
        }
        (Some((x, y)), None) => {
            Err(Error::invalid_argument("resolution", "two positive numbers", format_args!("{x}, {y}")))
        }
        (Some(_), Some(_)) => Err(Error::invalid_argument("grid", "a resolution or a shape", "both")),
    }
}
