//! Reading windows.

use geosam_core::{BoundingBox, ChipSource, Error, GeoGrid, Pixels, RasterSample, Result, Shape, Window, with_pixels};

use super::dataset::RasterDataset;
use super::target;
use super::validity::Rule;
use crate::gdal_ffi::{self, FloatWindow, OpenRaster};
use crate::gdal_setup::dataset_error;

impl RasterDataset {
    /// Read a window of whole pixels, resampled to `out_shape` if one is given.
    ///
    /// What reaches past the raster is filled with [`crate::RasterOptions::fill_value`] and marked invalid. The transform of
    /// the sample is that of the pixels it holds.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if the window misses the raster, [`Error::InvalidArgument`] if it or `out_shape` is empty,
    /// [`Error::TooLarge`] if it is more than can be in memory, [`Error::Dataset`] if the file cannot be read.
    pub fn read_window(&self, window: Window, out_shape: Option<Shape>) -> Result<RasterSample> {
        self.read_window_with(window, out_shape.unwrap_or(window.shape), Rule::AnyBand)
    }

    /// Read the part of the raster inside `bounds`, which may be in any CRS, resampled to `out_shape` if one is given.
    ///
    /// The edges need not fall between pixels: as in rasterio, the window is read at its exact position and resampled to
    /// its size rounded to whole pixels. Bounds that reach past the raster are cut off there.
    ///
    /// # Errors
    /// [`Error::MissingCrs`], [`Error::Crs`] for bounds that cannot be placed, [`Error::OutOfBounds`] if they miss the
    /// raster, and as [`RasterDataset::read_window`].
    pub fn read_bounds(&self, bounds: &BoundingBox, out_shape: Option<Shape>) -> Result<RasterSample> {
        let grid = self.grid();
        let inside = target::on_grid(bounds, grid)?;
        let at = grid.pixel_box(&inside);
        let window = FloatWindow::between(at.left, at.top, at.right, at.bottom, grid.shape);
        let rounded = |length: f64| ((length + 0.5).floor() as usize).max(1);
        let shape = checked(out_shape.unwrap_or(Shape::new(rounded(window.height), rounded(window.width))))?;
        RasterSample::check_size(shape, self.bands().len())?;
        let (pixels, valid) = self.with_raster(|raster| self.read_part(raster, &window, shape, Rule::AnyBand))?;
        // DIFFERENCE: Python geosam keeps the raster's pixel size here, so that its transform is off where the size was
        // rounded or `out_shape` is given.
        let transform = grid
            .transform
            .shifted(at.left, at.top)
            .scaled(window.width / shape.width as f64, window.height / shape.height as f64);
        Ok(self.sample(pixels, GeoGrid { transform, shape, crs: grid.crs.clone() }, valid))
    }

    pub(super) fn read_window_with(&self, window: Window, shape: Shape, rule: Rule) -> Result<RasterSample> {
        window.validate()?;
        checked(shape)?;
        RasterSample::check_size(shape, self.bands().len())?;
        let raster_shape = self.grid().shape;
        let Some(inside) = window.clip(raster_shape) else {
            return Err(Error::OutOfBounds {
                what: "the window".to_string(),
                location: window.to_string(),
                container: format!("the raster {} of {raster_shape} pixels", self.source_path()),
            });
        };
        let x_scale = window.shape.width as f64 / shape.width as f64;
        let y_scale = window.shape.height as f64 / shape.height as f64;
        let mut grid = self.grid().shifted(window);
        grid.shape = shape;
        if shape != window.shape {
            grid.transform = grid.transform.scaled(x_scale, y_scale);
        }
        if inside == window {
            let whole = FloatWindow::of(window);
            let (pixels, valid) = self.with_raster(|raster| self.read_part(raster, &whole, shape, rule))?;
            return Ok(self.sample(pixels, grid, valid));
        }
        // The pixels of the sample that lie on the raster, at least one, and exactly what they show.
        let on = |start: i64, end: i64, origin: i64, scale: f64, size: usize| {
            let first = (((start - origin) as f64 / scale).round() as usize).min(size - 1);
            (first, (((end - origin) as f64 / scale).round() as usize).clamp(first + 1, size))
        };
        let (left, right) = on(inside.column, inside.column_end(), window.column, x_scale, shape.width);
        let (top, bottom) = on(inside.row, inside.row_end(), window.row, y_scale, shape.height);
        let part_shape = Shape::new(bottom - top, right - left);
        let part = FloatWindow::between(
            window.column as f64 + left as f64 * x_scale,
            window.row as f64 + top as f64 * y_scale,
            window.column as f64 + right as f64 * x_scale,
            window.row as f64 + bottom as f64 * y_scale,
            raster_shape,
        );
        let (part_pixels, part_valid) = self.with_raster(|raster| self.read_part(raster, &part, part_shape, rule))?;

        let bands = self.bands().len();
        let mut pixels = self.element().filled(bands * shape.area(), self.options().fill_value);
        paste(&part_pixels, part_shape, &mut pixels, shape, (top, left));
        let mut valid = vec![false; shape.area()];
        let part_valid = part_valid.unwrap_or_else(|| vec![true; part_shape.area()]);
        paste_values(&part_valid, part_shape, &mut valid, shape, (top, left));
        Ok(self.sample(pixels, grid, Some(valid)))
    }

    fn read_part(
        &self,
        raster: &OpenRaster,
        window: &FloatWindow,
        shape: Shape,
        rule: Rule,
    ) -> Result<(Pixels, Option<Vec<bool>>)> {
        let bands = self.band_positions();
        let mut pixels = self.element().filled(bands.len() * shape.area(), 0.0);
        let mut read = || {
            with_pixels!(&mut pixels, values => {
                gdal_ffi::read_bands(raster.pixels(), bands, window, shape, self.options().resampling, values)?;
            });
            self.validity().read(raster, window, &mut pixels, shape, self.options(), rule)
        };
        match read() {
            Ok(valid) => Ok((pixels, valid)),
            Err(error) => Err(with_remedy(dataset_error("read", self.source_path(), error))),
        }
    }

    fn sample(&self, pixels: Pixels, grid: GeoGrid, valid: Option<Vec<bool>>) -> RasterSample {
        RasterSample { pixels, bands: self.bands().len(), grid, valid, source_path: self.source_path().to_string() }
    }
}

/// What to do about pixels that GDAL cannot read, which its own words do not say.
fn with_remedy(error: Error) -> Error {
    match error {
        Error::Dataset { operation, dataset, reason, source } => {
            let reason = reason.trim_end_matches('.');
            let remedy = "the file may be damaged or copied in part; `gdalinfo -checksum` reads all of it";
            Error::Dataset { operation, dataset, reason: format!("{reason}; {remedy}"), source }
        }
        other => other,
    }
}

fn checked(shape: Shape) -> Result<Shape> {
    if shape.area() == 0 {
        return Err(Error::invalid_argument("output shape", "at least one pixel on each side", shape));
    }
    Ok(shape)
}

/// Copy `[bands, part]` into `[bands, whole]` with its first pixel at `origin` (row, column).
fn paste(part: &Pixels, part_shape: Shape, whole: &mut Pixels, shape: Shape, origin: (usize, usize)) {
    macro_rules! paste_same {
        ($($type:ident),*) => {
            match (part, whole) {
                $((Pixels::$type(part), Pixels::$type(whole)) => paste_values(part, part_shape, whole, shape, origin),)*
                _ => unreachable!("both have the raster's element type"),
            }
        };
    }
    paste_same!(U8, I8, U16, I16, U32, I32, U64, I64, F32, F64);
}

fn paste_values<T: Copy>(part: &[T], part_shape: Shape, whole: &mut [T], shape: Shape, origin: (usize, usize)) {
    let (top, left) = origin;
    for (part, whole) in part.chunks_exact(part_shape.area()).zip(whole.chunks_exact_mut(shape.area())) {
        for (row, values) in part.chunks_exact(part_shape.width).enumerate() {
            whole[(top + row) * shape.width + left..][..part_shape.width].copy_from_slice(values);
        }
    }
}
