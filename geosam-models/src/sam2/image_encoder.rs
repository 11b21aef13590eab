//! SAM 2's image encoder: trunk, pyramid, and what the decoder is given.
//!
//! Upstream: `sam2/modeling/backbones/image_encoder.py`; the last convolutions and `no_mem_embed` are applied in
//! `sam2/sam2_image_predictor.py`.

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::config::HieraConfig;
use super::hieradet::Hiera;
use crate::image_features::ImageFeatures;
use crate::kernels::in_type;
use crate::nn::Linear;
use crate::profile;
use crate::weights::Weights;

/// Trunk and neck.
#[derive(Module, Debug)]
pub(crate) struct ImageEncoder {
    trunk: Hiera,
    neck: FpnNeck,
}

impl ImageEncoder {
    /// `weights` is the whole checkpoint.
    pub(crate) fn load(weights: &Weights<'_>, config: &HieraConfig) -> Self {
        let encoder = weights.scope("image_encoder");
        Self {
            trunk: Hiera::load(&encoder.scope("trunk"), config),
            neck: FpnNeck::load(&encoder.scope("neck"), weights, config),
        }
    }

    /// # Shapes
    /// - images: `[batch, 3, size, size]`
    pub(crate) fn forward(&self, images: Tensor<4>) -> ImageFeatures {
        self.neck.forward(self.trunk.forward(images))
    }
}

/// A pyramid whose two coarse levels are added, and whose two fine levels go to the decoder as they are.
///
/// Nothing stands between the 1×1 convolutions of the fine levels and those that the decoder applies to them, so they
/// are one each.
#[derive(Module, Debug)]
struct FpnNeck {
    /// `convs.3`, then `conv_s0`
    level0: Linear,
    /// `convs.2`, then `conv_s1`
    level1: Linear,
    /// `convs.1`, and `no_mem_embed` in its bias
    level2: Linear,
    /// `convs.0`
    level3: Linear,
}

impl FpnNeck {
    fn load(weights: &Weights<'_>, checkpoint: &Weights<'_>, config: &HieraConfig) -> Self {
        let HieraConfig { width, features, .. } = *config;
        // The coarsest level comes first in the file.
        let lateral = |level: usize| {
            let conv = weights.on_host().scope(format_args!("convs.{}.conv", 3 - level));
            Linear::load_pointwise(&conv, width << level, features)
        };
        let host = checkpoint.on_host();
        let decoder = host.scope("sam_mask_decoder");
        let skip = |name: &str, outputs| Linear::load_pointwise(&decoder.scope(name), features, outputs);
        let no_memory = host.tensor("no_mem_embed", [1, 1, features]).reshape([features]);
        Self {
            level0: lateral(0).then(&skip("conv_s0", features / 8)).placed(weights),
            level1: lateral(1).then(&skip("conv_s1", features / 4)).placed(weights),
            level2: lateral(2).with_bias_added(no_memory).placed(weights),
            level3: lateral(3).placed(weights),
        }
    }

    /// # Shapes
    /// - stages: those of [`Hiera::forward`]
    fn forward(&self, stages: Vec<Tensor<4>>) -> ImageFeatures {
        let [x0, x1, x2, x3] = <[Tensor<4>; 4]>::try_from(stages).expect("Hiera has four stages");
        // In f32 from here on.
        let level = |level: &Linear, x: Tensor<4>| in_type(level.forward(x), DType::F32);
        let to_image = |x: Tensor<4>| x.permute([0, 3, 1, 2]);
        let add = |fine: Tensor<4>, coarse: Tensor<4>| {
            profile::operator(|| ("top-down".to_string(), 0.0), || fine + twice_as_large(coarse))
        };
        ImageFeatures {
            embedding: to_image(add(level(&self.level2, x2), level(&self.level3, x3))),
            high_res: Some([to_image(level(&self.level0, x0)), to_image(level(&self.level1, x1))]),
        }
    }
}

/// Every token four times.
///
/// # Shapes
/// - x: `[batch, height, width, channels]`
/// - output: `[batch, 2·height, 2·width, channels]`
fn twice_as_large(x: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let x = x.reshape([batch, height, 1, width, 1, channels]).expand([batch, height, 2, width, 2, channels]);
    x.reshape([batch, 2 * height, 2 * width, channels])
}

#[cfg(test)]
mod tests;
