//! Convolution of every channel by itself.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};

use crate::nn::assert_shape;

/// Depthwise 3×3 convolution of channels-last images, zero padding of one pixel.
///
/// # Shapes
/// - x: `[batch, height, width, channels]`
/// - weight: `[channels, 1, 3, 3]`
/// - bias: `[channels]`
/// - output: `[batch, ⌈height / stride⌉, ⌈width / stride⌉, channels]`
pub(crate) fn depthwise_conv3x3(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, stride: usize) -> Tensor<4> {
    let [_, _, _, channels] = x.dims();
    assert_shape!(weight, [channels, 1, 3, 3]);
    let options = ConvOptions::new([stride; 2], [1; 2], [1; 2], channels);
    module::conv2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options).permute([0, 2, 3, 1])
}
