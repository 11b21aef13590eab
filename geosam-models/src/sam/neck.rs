//! The convolutions that bring an encoder's tokens to the width of the decoder.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::kernels::Layout;
use crate::nn::{LayerNorm, Linear, TokenConv, assert_shape};
use crate::weights::Weights;

/// `neck` of the checkpoints: 1×1 convolution, norm, 3×3 convolution, norm; neither convolution has a bias.
#[derive(Module, Debug)]
pub(super) struct Neck {
    /// `neck.0`
    conv1: Linear,
    /// `neck.1`
    norm1: LayerNorm,
    /// `neck.2`
    conv2: TokenConv,
    /// `neck.3`
    norm2: LayerNorm,
}

impl Neck {
    const EPSILON: f64 = 1e-6;

    pub(super) fn load(weights: &Weights<'_>, width: usize, features: usize) -> Self {
        let conv1 = weights.scope(0).on_host().tensor("weight", [features, width, 1, 1]);
        let conv2 = weights.scope(2).on_host().tensor("weight", [features, features, 3, 3]);
        let no_bias = Tensor::zeros([features], weights.on_host().device());
        Self {
            conv1: Linear::new(conv1.reshape([features, width]), no_bias.clone()).placed(weights),
            norm1: LayerNorm::load(&weights.scope(1), features, Self::EPSILON),
            conv2: TokenConv::new(Layout::ChannelsLast, conv2, no_bias, 1).placed(weights),
            norm2: LayerNorm::load(&weights.scope(3), features, Self::EPSILON),
        }
    }

    /// # Shapes
    /// - tokens: `[batch, height, width, channels]`
    /// - output: `[batch, features, height, width]`
    pub(super) fn forward(&self, tokens: Tensor<4>) -> Tensor<4> {
        let [features, channels] = self.conv1.dims();
        assert_shape!(tokens, [_, _, _, channels]);
        let x = self.norm1.forward(self.conv1.forward(tokens));
        let x = self.norm2.forward(self.conv2.forward(x, None)).permute([0, 3, 1, 2]);
        assert_shape!(x, [_, features, _, _]);
        x
    }
}
