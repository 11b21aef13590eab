//! SAM 3's image encoder: trunk and neck.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::PerceptionEncoderConfig;
use super::necks::Neck;
use super::vitdet::ViT;
use crate::image_features::ImageFeatures;
use crate::weights::Weights;

/// Trunk and the neck for clicks; upstream's `vision_backbone`.
#[derive(Module, Debug)]
pub(crate) struct ImageEncoder {
    trunk: ViT,
    sam2_convs: Neck,
}

impl ImageEncoder {
    /// `weights` is the whole checkpoint.
    pub(crate) fn load(weights: &Weights<'_>, config: &PerceptionEncoderConfig) -> Self {
        let backbone = weights.scope("detector.backbone.vision_backbone");
        Self {
            trunk: ViT::load(&backbone.scope("trunk"), config),
            sam2_convs: Neck::load(&backbone.scope("sam2_convs"), &weights.scope("tracker"), config),
        }
    }

    /// # Shapes
    /// - images: `[batch, 3, size, size]`
    pub(crate) fn forward(&self, images: Tensor<4>) -> ImageFeatures {
        self.sam2_convs.forward(self.trunk.forward(images))
    }
}

#[cfg(test)]
mod tests;
