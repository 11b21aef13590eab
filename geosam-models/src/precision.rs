//! How exactly an image is encoded.

use geosam_core::{Error, Result};

/// Precision of the matrix products of the image encoder, by far most of its work. Sums, norms, softmax, positions, the
/// neck and everything that answers prompts are in f32 in any case. Read from text: `f32` or `bf16`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Single precision, the numbers of the reference systems.
    #[default]
    F32,
    /// Factors rounded to bf16, sums in f32: half the memory for the weights, and up to twice the speed on processors
    /// with AVX512-BF16 (AMD since Zen 4, Intel since Cooper Lake; elsewhere it is slower than f32). Masks hardly change.
    Bf16,
}

impl std::str::FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            other => Err(Error::invalid_argument("precision", "f32 or bf16", other)),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}
