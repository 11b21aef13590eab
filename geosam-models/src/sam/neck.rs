//! The convolutions that bring an encoder's tokens to the width of the decoder.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::nn::{Conv2d, Conv2dConfig, LayerNorm2d, assert_shape};
use crate::weights::Weights;

/// `neck` of the checkpoints: 1×1 convolution, norm, 3×3 convolution, norm; neither convolution has a bias.
#[derive(Module, Debug)]
pub(super) struct Neck {
    /// `neck.0`
    conv1: Conv2d,
    /// `neck.1`
    norm1: LayerNorm2d,
    /// `neck.2`
    conv2: Conv2d,
    /// `neck.3`
    norm2: LayerNorm2d,
}

impl Neck {
    const EPSILON: f64 = 1e-6;

    pub(super) fn load(weights: &Weights<'_>, width: usize, features: usize) -> Self {
        let conv1 = Conv2dConfig { bias: false, ..Conv2dConfig::new([width, features], 1) };
        let conv2 = Conv2dConfig { bias: false, padding: 1, ..Conv2dConfig::new([features, features], 3) };
        Self {
            conv1: Conv2d::load(&weights.scope(0), conv1),
            norm1: LayerNorm2d::load(&weights.scope(1), features, Self::EPSILON),
            conv2: Conv2d::load(&weights.scope(2), conv2),
            norm2: LayerNorm2d::load(&weights.scope(3), features, Self::EPSILON),
        }
    }

    /// # Shapes
    /// - tokens: `[batch, height, width, channels]`
    /// - output: `[batch, features, height, width]`
    pub(super) fn forward(&self, tokens: Tensor<4>) -> Tensor<4> {
        let [features, channels, _, _] = self.conv1.weight.dims();
        assert_shape!(tokens, [_, _, _, channels]);
        let x = self.norm1.forward(self.conv1.forward(tokens.permute([0, 3, 1, 2])));
        let x = self.norm2.forward(self.conv2.forward(x));
        assert_shape!(x, [_, features, _, _]);
        x
    }
}
