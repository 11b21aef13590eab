//! Element types of rasters.

use gdal_sys::GDALDataType;
use geosam_core::{Error, PixelValue, Pixels, Result, with_pixels};

use crate::gdal_ffi::GdalValue;

/// The type of a raster's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl ElementType {
    /// From `GDALDataType`. `signed_bytes` tells how releases before 3.7 mark signed bytes.
    pub(super) fn from_gdal(code: GDALDataType::Type, signed_bytes: bool) -> Result<Self> {
        // Numbers, as bindings for older releases lack the names.
        Ok(match code {
            1 if signed_bytes => Self::I8,
            1 => Self::U8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            // Half precision is read as single.
            6 | 15 => Self::F32,
            7 => Self::F64,
            12 => Self::U64,
            13 => Self::I64,
            14 => Self::I8,
            _ => {
                return Err(Error::Unsupported {
                    what: "a raster of complex numbers".to_string(),
                    reason: "models take real ones; convert it, for example to amplitude with gdal_calc.py".to_string(),
                });
            }
        })
    }

    /// `len` values of this type, all `value` (clamped to the type).
    pub(super) fn filled(self, len: usize, value: f64) -> Pixels {
        fn fill<T: GdalValue>(len: usize, value: f64) -> Vec<T> {
            vec![T::from_f64(value); len]
        }
        match self {
            Self::U8 => Pixels::U8(fill(len, value)),
            Self::I8 => Pixels::I8(fill(len, value)),
            Self::U16 => Pixels::U16(fill(len, value)),
            Self::I16 => Pixels::I16(fill(len, value)),
            Self::U32 => Pixels::U32(fill(len, value)),
            Self::I32 => Pixels::I32(fill(len, value)),
            Self::U64 => Pixels::U64(fill(len, value)),
            Self::I64 => Pixels::I64(fill(len, value)),
            Self::F32 => Pixels::F32(fill(len, value)),
            Self::F64 => Pixels::F64(fill(len, value)),
        }
    }

    /// Name as in NumPy.
    pub(super) fn name(self) -> &'static str {
        self.filled(0, 0.0).type_name()
    }

    /// Whether the type can hold `value`, as rasterio asks of a no-data value.
    pub(super) fn can_hold(self, value: f64) -> bool {
        match self {
            Self::F32 => !value.is_finite() || value.abs() <= f64::from(f32::MAX),
            Self::F64 => true,
            _ => value.is_finite() && self.round_trips(value.trunc()),
        }
    }

    fn round_trips(self, value: f64) -> bool {
        with_pixels!(self.filled(1, value), v => v[0].to_f64() == value)
    }
}
