//! Element types of stored tensors.

use half::{bf16, f16};

/// Element type of a stored tensor, under PyTorch's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the variants are PyTorch's dtypes")]
pub enum TensorDtype {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    Complex32,
    Complex64,
    Complex128,
    Float8E4M3Fn,
    Float8E4M3Fnuz,
    Float8E5M2,
    Float8E5M2Fnuz,
    Float8E8M0Fnu,
}

/// Dtype, PyTorch's name, bytes for one element, and the storage class that predates untyped storages.
const DTYPES: &[(TensorDtype, &str, usize, Option<&str>)] = &[
    (TensorDtype::F64, "float64", 8, Some("DoubleStorage")),
    (TensorDtype::F32, "float32", 4, Some("FloatStorage")),
    (TensorDtype::F16, "float16", 2, Some("HalfStorage")),
    (TensorDtype::BF16, "bfloat16", 2, Some("BFloat16Storage")),
    (TensorDtype::I64, "int64", 8, Some("LongStorage")),
    (TensorDtype::I32, "int32", 4, Some("IntStorage")),
    (TensorDtype::I16, "int16", 2, Some("ShortStorage")),
    (TensorDtype::I8, "int8", 1, Some("CharStorage")),
    (TensorDtype::U64, "uint64", 8, None),
    (TensorDtype::U32, "uint32", 4, None),
    (TensorDtype::U16, "uint16", 2, None),
    (TensorDtype::U8, "uint8", 1, Some("ByteStorage")),
    (TensorDtype::Bool, "bool", 1, Some("BoolStorage")),
    (TensorDtype::Complex32, "complex32", 4, None),
    (TensorDtype::Complex64, "complex64", 8, Some("ComplexFloatStorage")),
    (TensorDtype::Complex128, "complex128", 16, Some("ComplexDoubleStorage")),
    (TensorDtype::Float8E4M3Fn, "float8_e4m3fn", 1, None),
    (TensorDtype::Float8E4M3Fnuz, "float8_e4m3fnuz", 1, None),
    (TensorDtype::Float8E5M2, "float8_e5m2", 1, None),
    (TensorDtype::Float8E5M2Fnuz, "float8_e5m2fnuz", 1, None),
    (TensorDtype::Float8E8M0Fnu, "float8_e8m0fnu", 1, None),
];

impl TensorDtype {
    fn row(self) -> &'static (Self, &'static str, usize, Option<&'static str>) {
        // The table lists the variants in their order of declaration, which a test holds it to.
        &DTYPES[self as usize]
    }

    /// PyTorch's name without `torch.`, e.g. `float32`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Bytes for one element.
    #[must_use]
    pub fn size(self) -> usize {
        self.row().2
    }

    /// The dtype that PyTorch calls by this name, e.g. `bfloat16`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The dtype's `torch.*Storage` class; younger dtypes have none and are saved with an untyped storage.
    pub(super) fn storage_class(self) -> Option<&'static str> {
        self.row().3
    }

    pub(super) fn from_storage_class(class: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.3 == Some(class)).map(|row| row.0)
    }

    /// Whether elements are real numbers that [`super::TensorRef::read_f32`] can cast.
    #[must_use]
    pub fn casts_to_f32(self) -> bool {
        self <= Self::Bool
    }

    /// Casts little-endian elements of this type; `None` for complex and eight-bit floating types.
    pub(super) fn cast_to_f32(self, bytes: &[u8]) -> Option<Vec<f32>> {
        fn each<const N: usize>(bytes: &[u8], cast: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|chunk| cast(*chunk)).collect()
        }
        Some(match self {
            Self::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => each(bytes, |b| f32::from(i16::from_le_bytes(b))),
            Self::I8 => each(bytes, |b| f32::from(i8::from_le_bytes(b))),
            Self::U64 => each(bytes, |b| u64::from_le_bytes(b) as f32),
            Self::U32 => each(bytes, |b| u32::from_le_bytes(b) as f32),
            Self::U16 => each(bytes, |b| f32::from(u16::from_le_bytes(b))),
            Self::U8 => each(bytes, |[b]| f32::from(b)),
            Self::Bool => each(bytes, |[b]| f32::from(u8::from(b != 0))),
            _ => return None,
        })
    }
}

impl std::fmt::Display for TensorDtype {
    /// PyTorch's name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_declaration_order() {
        for (index, row) in DTYPES.iter().enumerate() {
            assert_eq!(row.0 as usize, index);
            assert_eq!(TensorDtype::from_name(row.1), Some(row.0));
        }
    }
}
