//! The pixels of one window of a raster.

use crate::coordinates::Shape;
use crate::error::{Error, Result};
use crate::grid::GeoGrid;
use crate::image::ModelImage;
use crate::value_range::{BandRange, ValueRange};

/// Pixel values in the raster's own type, `[bands, height, width]` row-major.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // the variants are the element types
pub enum Pixels {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Evaluate `$body` with `$values` bound to the vector inside a [`Pixels`].
#[macro_export]
macro_rules! with_pixels {
    ($pixels:expr, $values:ident => $body:expr) => {
        match $pixels {
            $crate::Pixels::U8($values) => $body,
            $crate::Pixels::I8($values) => $body,
            $crate::Pixels::U16($values) => $body,
            $crate::Pixels::I16($values) => $body,
            $crate::Pixels::U32($values) => $body,
            $crate::Pixels::I32($values) => $body,
            $crate::Pixels::U64($values) => $body,
            $crate::Pixels::I64($values) => $body,
            $crate::Pixels::F32($values) => $body,
            $crate::Pixels::F64($values) => $body,
            #[allow(unreachable_patterns)]
            _ => unreachable!("every element type has its arm above"),
        }
    };
}

/// An element type of a raster.
pub trait PixelValue: Copy {
    /// The value as `f64`; integers beyond 2⁵³ are rounded.
    fn to_f64(self) -> f64;
    /// The value as `f32`, rounded to nearest.
    fn to_f32(self) -> f32;
}

macro_rules! pixel_value {
    ($($t:ty),*) => {$(
        #[allow(clippy::cast_lossless)]
        impl PixelValue for $t {
            fn to_f64(self) -> f64 { self as f64 }
            fn to_f32(self) -> f32 { self as f32 }
        }
    )*};
}
pixel_value!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

impl Pixels {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        with_pixels!(self, v => v.len())
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the element type, as in NumPy: `uint8`, `float32`, …
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "uint8",
            Self::I8(_) => "int8",
            Self::U16(_) => "uint16",
            Self::I16(_) => "int16",
            Self::U32(_) => "uint32",
            Self::I32(_) => "int32",
            Self::U64(_) => "uint64",
            Self::I64(_) => "int64",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
        }
    }
}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pixels({} {})", self.len(), self.type_name())
    }
}

/// The byte each band shows where a raster has no data: ImageNet's mean, which every SAM normalises to about zero.
pub const NEUTRAL_RGB: [u8; 3] = [124, 116, 104];

/// The pixels of one window, with where they are and which of them hold data.
#[derive(Clone, Debug, PartialEq)]
pub struct RasterSample {
    /// Values of every band.
    pub pixels: Pixels,
    /// Number of bands.
    pub bands: usize,
    /// Where the pixels are.
    pub grid: GeoGrid,
    /// For each pixel whether it holds data, row-major; `None` if the raster has neither nodata value, alpha nor mask,
    /// and the window lies on it. Where only some bands hold data the source decides: [`crate::MemoryRaster`] asks for
    /// all of them, `RasterDataset` of `geosam-io` for one, as rasterio's dataset mask does.
    pub valid: Option<Vec<bool>>,
    /// The raster.
    pub source_path: String,
}

impl RasterSample {
    /// Refuses a window of which no address space holds the pixels, before memory is asked for it.
    ///
    /// # Errors
    /// [`Error::TooLarge`]
    pub fn check_size(shape: Shape, bands: usize) -> Result<()> {
        let bytes = shape.height.checked_mul(shape.width).and_then(|area| area.checked_mul(bands.max(1)));
        match bytes.and_then(|values| values.checked_mul(size_of::<f64>())) {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
            _ => Err(Error::TooLarge {
                what: "reading a window".to_string(),
                found: format!("{bands} bands of {shape} pixels"),
                limit: "what can be addressed".to_string(),
                remedy: "read it in parts",
            }),
        }
    }

    /// Shape of the window.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.grid.shape
    }

    /// Whether any pixel holds data.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.contains(&true))
    }

    /// The sample as the three bytes a pixel that models take.
    ///
    /// One band is repeated, two become `[b1, b2, b2]`, of more than three the first three are used. `range` says which
    /// values become 0 and 255; values between are truncated, those outside clipped, NaN becomes 0. Pixels without data
    /// take [`NEUTRAL_RGB`], except under [`ValueRange::PerChip`], which shows what was read, as Python geosam does.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the number of values is not bands × shape, the range has another number of bands,
    /// or [`ValueRange::AsIs`] meets values that are not bytes.
    pub fn to_model_image(&self, range: &ValueRange) -> Result<ModelImage> {
        let area = self.shape().area();
        if self.bands == 0 || self.pixels.len() != self.bands * area {
            return Err(Error::invalid_argument(
                "raster sample",
                format!("{} bands of {} pixels, at least one", self.bands, self.shape()),
                format_args!("{} values", self.pixels.len()),
            ));
        }
        let used: &[usize] = match self.bands {
            1 => &[0, 0, 0],
            2 => &[0, 1, 1],
            _ => &[0, 1, 2],
        };
        let mut rgb = vec![0; 3 * area];
        for (channel, &band) in used.iter().enumerate() {
            let bytes = self.band_bytes(band, range)?;
            for (pixel, byte) in rgb.chunks_exact_mut(3).zip(&*bytes) {
                pixel[channel] = *byte;
            }
        }
        if let (Some(valid), false) = (&self.valid, *range == ValueRange::PerChip) {
            for (pixel, _) in rgb.chunks_exact_mut(3).zip(valid).filter(|(_, valid)| !**valid) {
                pixel.copy_from_slice(&NEUTRAL_RGB);
            }
        }
        ModelImage::new(self.shape(), rgb)
    }

    fn band_bytes(&self, band: usize, range: &ValueRange) -> Result<std::borrow::Cow<'_, [u8]>> {
        let area = self.shape().area();
        let own = band * area..(band + 1) * area;
        match (range, &self.pixels) {
            (ValueRange::AsIs | ValueRange::PerChip, Pixels::U8(bytes)) => Ok(bytes[own].into()),
            (ValueRange::AsIs, other) => Err(Error::invalid_argument(
                "value range",
                "a range of values, as the raster is not 8-bit",
                format_args!("none for {}", other.type_name()),
            )),
            (ValueRange::PerChip, pixels) => {
                Ok(with_pixels!(pixels, v => stretch(&v[own.clone()], finite_range(&v[own]))).into())
            }
            (ValueRange::PerBand(ranges), pixels) => {
                if ranges.len() != self.bands {
                    return Err(Error::invalid_argument(
                        "value range",
                        format!("one range for each of {} bands", self.bands),
                        ranges.len(),
                    ));
                }
                Ok(with_pixels!(pixels, v => stretch(&v[own], ranges[band])).into())
            }
        }
    }
}

/// Smallest and largest finite value; an empty range where there is none.
fn finite_range<T: PixelValue>(values: &[T]) -> BandRange {
    let (min, max) = values
        .iter()
        .map(|v| v.to_f32())
        .filter(|v| v.is_finite())
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), v| (min.min(v), max.max(v)));
    if min > max { BandRange { min: 0.0, max: 0.0 } } else { BandRange { min: min.into(), max: max.into() } }
}

/// Linear stretch to bytes in `f32`, with Python geosam's order of operations, so that the bytes are the same.
fn stretch<T: PixelValue>(values: &[T], range: BandRange) -> Vec<u8> {
    if range.max == range.min {
        return vec![0; values.len()];
    }
    let (min, span) = (range.min as f32, (range.max - range.min) as f32);
    // `as u8` truncates toward zero and turns NaN into 0.
    values.iter().map(|v| ((v.to_f32() - min) / span * 255.0).clamp(0.0, 255.0) as u8).collect()
}
