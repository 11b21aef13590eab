//! The image encoder of a model, whichever it has.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::ImageEncoderConfig;
use crate::image_features::ImageFeatures;
use crate::sam::{ImageEncoderViT, TinyViT};
use crate::weights::Weights;
use crate::{sam2, sam3};

/// Any of the image encoders.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // one per model
pub(crate) enum ImageEncoder {
    Vit(ImageEncoderViT),
    Tiny(TinyViT),
    Hiera(sam2::ImageEncoder),
    Perception(sam3::ImageEncoder),
}

impl ImageEncoder {
    /// `weights` is the whole checkpoint.
    pub(crate) fn load(weights: &Weights<'_>, config: &ImageEncoderConfig) -> Self {
        match config {
            ImageEncoderConfig::Vit(config) => {
                Self::Vit(ImageEncoderViT::load(&weights.scope("image_encoder"), config))
            }
            ImageEncoderConfig::Tiny(config) => Self::Tiny(TinyViT::load(&weights.scope("image_encoder"), config)),
            ImageEncoderConfig::Hiera(config) => Self::Hiera(sam2::ImageEncoder::load(weights, config)),
            ImageEncoderConfig::Perception(config) => Self::Perception(sam3::ImageEncoder::load(weights, config)),
        }
    }

    /// Features of normalised images.
    ///
    /// # Shapes
    /// - images: `[batch, 3, size, size]`
    pub(crate) fn forward(&self, images: Tensor<4>) -> ImageFeatures {
        match self {
            Self::Vit(encoder) => ImageFeatures { embedding: encoder.forward(images), high_res: None },
            Self::Tiny(encoder) => ImageFeatures { embedding: encoder.forward(images), high_res: None },
            Self::Hiera(encoder) => encoder.forward(images),
            Self::Perception(encoder) => encoder.forward(images),
        }
    }
}
