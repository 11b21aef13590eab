//! A chip, encoded.

use crate::coordinates::Shape;
use crate::error::{Error, Result};
use crate::model::ModelType;

/// A dense `f32` array in row-major order.
#[derive(Clone, PartialEq)]
pub struct FeatureTensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl FeatureTensor {
    /// An array of `shape`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the number of values is not the product of the shape.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Result<Self> {
        let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
        if count != Some(values.len()) {
            return Err(Error::invalid_argument(
                "feature tensor",
                format!("as many values as the shape {shape:?} has"),
                values.len(),
            ));
        }
        Ok(Self { shape, values })
    }

    /// Length of each axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All values, row-major.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

impl std::fmt::Debug for FeatureTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FeatureTensor({:?})", self.shape)
    }
}

/// What an encoder made of a chip.
#[derive(Clone, Debug, PartialEq)]
pub enum FeaturePayload {
    /// SAM and MobileSAM: `[1, 256, 64, 64]`.
    Sam(FeatureTensor),
    /// SAM 2 and 3.
    Sam2 {
        /// `[1, 256, 64, 64]` (SAM 3: 72×72), `no_mem_embed` added.
        image_embed: FeatureTensor,
        /// `[1, 32, 256, 256]` and `[1, 64, 128, 128]` (SAM 3: 288, 144), through `conv_s0` and `conv_s1`.
        high_res_feats: Vec<FeatureTensor>,
    },
}

impl FeaturePayload {
    /// The image embedding: SAM's only tensor, `image_embed` of the others.
    #[must_use]
    pub fn embedding(&self) -> &FeatureTensor {
        match self {
            Self::Sam(tensor) => tensor,
            Self::Sam2 { image_embed, .. } => image_embed,
        }
    }

    /// All tensors of the payload.
    pub fn tensors(&self) -> impl Iterator<Item = &FeatureTensor> {
        let (first, rest) = match self {
            Self::Sam(tensor) => (tensor, &[][..]),
            Self::Sam2 { image_embed, high_res_feats } => (image_embed, &high_res_feats[..]),
        };
        std::iter::once(first).chain(rest)
    }
}

/// The features of one chip, with what is needed to prompt them: Python geosam's `EncodedImageFeatures`.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedImageFeatures {
    /// Family of the model that made them.
    pub model_type: ModelType,
    /// Its checkpoint as [`crate::ModelSpec::reference_checkpoint_path`] gives it.
    pub checkpoint_path: String,
    /// Shape of the chip in source pixels.
    pub src_shape: Shape,
    /// Shape of the model's input.
    pub dst_shape: Shape,
    /// The encoder's output.
    pub payload: FeaturePayload,
}

impl EncodedImageFeatures {
    /// Bytes the features take in memory.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        self.payload.tensors().map(|t| size_of_val(t.values())).sum()
    }
}
