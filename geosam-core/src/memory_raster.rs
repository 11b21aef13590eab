//! A raster in memory.

use crate::coordinates::{Shape, Window};
use crate::error::{Error, Result};
use crate::grid::GeoGrid;
use crate::progress::Progress;
use crate::sample::{PixelValue, Pixels, RasterSample};
use crate::source::ChipSource;
use crate::statistics::value_range;
use crate::value_range::{ValueRange, ValueRangeChoice};
use crate::with_pixels;

/// A raster whose pixels are in memory: for data that a program has made itself, and for tests.
///
/// ```
/// use geosam_core::{Affine, ChipSource, Crs, GeoGrid, MemoryRaster, Pixels, Shape, Window};
///
/// let grid = GeoGrid::new(Affine::from_origin(500_000.0, 4_000_000.0, 10.0, 10.0), Shape::new(2, 3), Crs::new("EPSG:32618"))?;
/// let raster = MemoryRaster::new(Pixels::U16(vec![1, 2, 3, 4, 5, 0]), grid)?.with_nodata(0.0);
///
/// let sample = raster.read(Window::new(1, 1, Shape::square(2)))?;
/// assert_eq!(sample.pixels, Pixels::U16(vec![5, 0, 0, 0]));
/// assert_eq!(sample.valid, Some(vec![true, false, false, false]));
/// # Ok::<(), geosam_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryRaster {
    pixels: Pixels,
    bands: Vec<usize>,
    grid: GeoGrid,
    nodata: Option<f64>,
    valid: Option<Vec<bool>>,
    source_path: String,
}

impl MemoryRaster {
    /// A raster from `[bands, height, width]` values, as many bands as they make on `grid`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the values are not a whole number of bands, at least one.
    pub fn new(pixels: Pixels, grid: GeoGrid) -> Result<Self> {
        if pixels.is_empty() || !pixels.len().is_multiple_of(grid.shape.area()) {
            let expected = format!("the values of at least one whole band of {} pixels", grid.shape);
            return Err(Error::invalid_argument("raster", expected, format_args!("{} values", pixels.len())));
        }
        let bands = (1..=pixels.len() / grid.shape.area()).collect();
        Ok(Self { pixels, bands, grid, nodata: None, valid: None, source_path: "memory".to_string() })
    }

    /// The value that marks a missing pixel, in any band; NaN is one too. It fills windows that reach past the raster.
    #[must_use]
    pub fn with_nodata(mut self, nodata: f64) -> Self {
        self.nodata = Some(nodata);
        self
    }

    /// Which pixels hold data, row-major, in addition to the nodata value.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] unless there is one value for each pixel.
    pub fn with_valid(mut self, valid: Vec<bool>) -> Result<Self> {
        if valid.len() != self.grid.shape.area() {
            let expected = format!("{} values, one for each pixel", self.grid.shape.area());
            return Err(Error::invalid_argument("validity mask", expected, valid.len()));
        }
        self.valid = Some(valid);
        Ok(self)
    }

    /// What the raster calls itself in samples, manifests and messages (`memory` unless given).
    #[must_use]
    pub fn with_source_path(mut self, source_path: impl Into<String>) -> Self {
        self.source_path = source_path.into();
        self
    }
}

impl ChipSource for MemoryRaster {
    fn grid(&self) -> &GeoGrid {
        &self.grid
    }

    fn source_path(&self) -> &str {
        &self.source_path
    }

    fn bands(&self) -> &[usize] {
        &self.bands
    }

    fn read(&self, window: Window) -> Result<RasterSample> {
        window.validate()?;
        RasterSample::check_size(window.shape, self.bands.len())?;
        let raster = self.grid.shape;
        let inside = window.clip(raster).ok_or_else(|| Error::OutOfBounds {
            what: "the window".to_string(),
            location: window.to_string(),
            container: format!("the raster of {raster} pixels"),
        })?;
        let excerpt = Excerpt { raster, window, inside };
        let fill = self.nodata.unwrap_or(0.0);
        let pixels = match &self.pixels {
            Pixels::U8(v) => Pixels::U8(excerpt.bands(v, fill as u8)),
            Pixels::I8(v) => Pixels::I8(excerpt.bands(v, fill as i8)),
            Pixels::U16(v) => Pixels::U16(excerpt.bands(v, fill as u16)),
            Pixels::I16(v) => Pixels::I16(excerpt.bands(v, fill as i16)),
            Pixels::U32(v) => Pixels::U32(excerpt.bands(v, fill as u32)),
            Pixels::I32(v) => Pixels::I32(excerpt.bands(v, fill as i32)),
            Pixels::U64(v) => Pixels::U64(excerpt.bands(v, fill as u64)),
            Pixels::I64(v) => Pixels::I64(excerpt.bands(v, fill as i64)),
            Pixels::F32(v) => Pixels::F32(excerpt.bands(v, fill as f32)),
            Pixels::F64(v) => Pixels::F64(excerpt.bands(v, fill)),
        };
        let mut valid = match &self.valid {
            Some(valid) => Some(excerpt.bands(valid, false)),
            None if inside != window => Some(excerpt.bands(&vec![true; raster.area()], false)),
            None => self.nodata.map(|_| vec![true; window.shape.area()]),
        };
        if let (Some(nodata), Some(valid)) = (self.nodata, &mut valid) {
            // As near as the pixels' type comes to it.
            let nodata = if matches!(pixels, Pixels::F32(_)) { f64::from(nodata as f32) } else { nodata };
            let is_missing = |v: f64| v == nodata || (v.is_nan() && nodata.is_nan());
            with_pixels!(&pixels, values => for band in values.chunks_exact(window.shape.area()) {
                for (valid, _) in valid.iter_mut().zip(band).filter(|(_, v)| is_missing(v.to_f64())) {
                    *valid = false;
                }
            });
        }
        Ok(RasterSample {
            pixels,
            bands: self.bands.len(),
            grid: self.grid.shifted(window),
            valid,
            source_path: self.source_path.clone(),
        })
    }

    fn value_range(&self, choice: ValueRangeChoice, extent: Window, progress: &dyn Progress) -> Result<ValueRange> {
        value_range(self, choice, extent, progress)
    }
}

/// What to copy out of a raster for a window, of which the part `inside` lies on the raster.
struct Excerpt {
    raster: Shape,
    window: Window,
    inside: Window,
}

impl Excerpt {
    fn bands<T: Copy>(&self, values: &[T], fill: T) -> Vec<T> {
        let Self { raster, window, inside } = self;
        let mut out = Vec::with_capacity(values.len() / raster.area() * window.shape.area());
        let before = (inside.column - window.column) as usize;
        let after = window.shape.width - before - inside.shape.width;
        for band in values.chunks_exact(raster.area()) {
            for row in window.row..window.row_end() {
                if (inside.row..inside.row_end()).contains(&row) {
                    out.extend(std::iter::repeat_n(fill, before));
                    out.extend(&band[row as usize * raster.width + inside.column as usize..][..inside.shape.width]);
                    out.extend(std::iter::repeat_n(fill, after));
                } else {
                    out.extend(std::iter::repeat_n(fill, window.shape.width));
                }
            }
        }
        out
    }
}
