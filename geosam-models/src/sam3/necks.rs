//! From the trunk's one map to three resolutions.
//!
//! Upstream: `sam3/model/necks.py`, whose second copy, `sam2_convs`, serves clicks; the last 1×1 convolutions and
//! `no_mem_embed` are applied in `sam3/model/sam3_image_processor.py`.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::PerceptionEncoderConfig;
use crate::image_features::ImageFeatures;
use crate::kernels::Layout;
use crate::nn::{Activation, Linear, PixelSplit, TokenConv, unnest, unnest_twice};
use crate::weights::Weights;

/// Three levels that share nothing but their input.
///
/// Where two layers follow each other with nothing between them, they are one here: a split and the 1×1 convolution
/// behind it, and the 3×3 convolution and the 1×1 convolution that the decoder applies to it. The latter saves nine
/// tenths of the operations, as the decoder takes few of the channels.
#[derive(Module, Debug)]
pub(super) struct Neck {
    /// `0.dconv_2x2_0`
    level0_split: PixelSplit,
    /// `0.dconv_2x2_1`, then `0.conv_1x1`
    level0: PixelSplit,
    /// `0.conv_3x3`, then `conv_s0`
    level0_conv: TokenConv,
    /// `1.dconv_2x2`, then `1.conv_1x1`
    level1: PixelSplit,
    /// `1.conv_3x3`, then `conv_s1`
    level1_conv: TokenConv,
    /// `2.conv_1x1`
    level2: Linear,
    /// `2.conv_3x3`, and `no_mem_embed` in its bias
    level2_conv: TokenConv,
}

impl Neck {
    /// `weights` is `sam2_convs`, `tracker` has the decoder's convolutions.
    pub(super) fn load(weights: &Weights<'_>, tracker: &Weights<'_>, config: &PerceptionEncoderConfig) -> Self {
        let PerceptionEncoderConfig { width, features, .. } = *config;
        let (host, tracker) = (weights.on_host(), tracker.on_host());
        let split = |name: &str, channels| PixelSplit::load(&host.scope(name), channels);
        let pointwise =
            |level: usize, inputs| Linear::load_pointwise(&host.scope(level).scope("conv_1x1"), inputs, features);
        let conv = |level: usize| {
            let conv = host.scope(level).scope("conv_3x3");
            let (weight, bias) = (conv.tensor("weight", [features, features, 3, 3]), conv.tensor("bias", [features]));
            TokenConv::new(Layout::ChannelsLast, weight, bias, 1)
        };
        let decoder = tracker.scope("sam_mask_decoder");
        let skip = |name: &str, outputs| Linear::load_pointwise(&decoder.scope(name), features, outputs);
        let no_memory = tracker.tensor("no_mem_embed", [1, 1, features]).reshape([features]);
        let level0 = split("0.dconv_2x2_1", [width / 2, width / 4]).then(&pointwise(0, width / 4));
        Self {
            level0_split: split("0.dconv_2x2_0", [width, width / 2]).placed(weights),
            level0: level0.placed(weights),
            level0_conv: conv(0).then(&skip("conv_s0", features / 8)).placed(weights),
            level1: split("1.dconv_2x2", [width, width / 2]).then(&pointwise(1, width / 2)).placed(weights),
            level1_conv: conv(1).then(&skip("conv_s1", features / 4)).placed(weights),
            level2: pointwise(2, width).placed(weights),
            level2_conv: conv(2).with_bias_added(no_memory).placed(weights),
        }
    }

    /// # Shapes
    /// - x: `[batch, grid, grid, width]`
    pub(super) fn forward(&self, x: Tensor<4>) -> ImageFeatures {
        let to_image = |conv: &TokenConv, x: Tensor<4>| conv.forward(x, None).permute([0, 3, 1, 2]);
        let embedding = to_image(&self.level2_conv, self.level2.forward(x.clone()));
        let tokens = x.flatten::<3>(1, 2);
        let level1 = to_image(&self.level1_conv, unnest(self.level1.forward(tokens.clone(), None)));
        let split = self.level0_split.forward(tokens, Some(Activation::Gelu));
        let level0 = to_image(&self.level0_conv, unnest_twice(self.level0.forward(split, None)));
        ImageFeatures { embedding, high_res: Some([level0, level1]) }
    }
}
