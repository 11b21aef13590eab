//! Convolutions followed by batch normalisation, folded into one when loaded.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData};

use crate::kernels;
use crate::nn::{Activation, Conv2dConfig, Linear};
use crate::profile;
use crate::weights::Weights;

const EPSILON: f32 = 1e-5;

/// Weight and bias of the convolution `c` with the statistics of the batch norm `bn` folded in.
pub(super) fn load_conv_bn(weights: &Weights<'_>, config: Conv2dConfig) -> (Tensor<4>, Tensor<1>) {
    let [_, outputs] = config.channels;
    let shape = config.weight_shape();
    let mut weight = weights.scope("c").values("weight", &shape);
    let bn = weights.scope("bn");
    let [gamma, beta, mean, variance] =
        ["weight", "bias", "running_mean", "running_var"].map(|name| bn.values(name, &[outputs]));
    let scale: Vec<f32> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + EPSILON).sqrt()).collect();
    for (kernel, scale) in weight.chunks_exact_mut(shape[1..].iter().product()).zip(&scale) {
        kernel.iter_mut().for_each(|w| *w *= scale);
    }
    let bias: Vec<f32> = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    let options = (weights.device(), DType::F32);
    (
        Tensor::from_data(TensorData::new(weight, shape), options),
        Tensor::from_data(TensorData::new(bias, [outputs]), options),
    )
}

/// A 1×1 convolution, which on channels-last images is a linear layer.
pub(super) fn load_pointwise(weights: &Weights<'_>, inputs: usize, outputs: usize) -> Linear {
    let (weight, bias) = load_conv_bn(weights, Conv2dConfig::new([inputs, outputs], 1));
    Linear::new(weight.reshape([outputs, inputs]), bias)
}

/// A depthwise 3×3 convolution of channels-last images, padded with one pixel of zeros.
#[derive(Module, Debug)]
pub(super) struct DepthwiseConv {
    /// `[channels, 1, 3, 3]`
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    stride: usize,
}

impl DepthwiseConv {
    pub(super) fn load(weights: &Weights<'_>, channels: usize, stride: usize) -> Self {
        let config = Conv2dConfig { groups: channels, ..Conv2dConfig::new([channels, channels], 3) };
        let (weight, bias) = load_conv_bn(weights, config);
        Self { weight: Param::from_tensor(weight), bias: Param::from_tensor(bias), stride }
    }

    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: `[batch, ⌈height / stride⌉, ⌈width / stride⌉, channels]`
    pub(super) fn forward(&self, x: Tensor<4>, activation: Option<Activation>) -> Tensor<4> {
        let stride = self.stride;
        let [batch, height, width, channels] = x.dims();
        let describe = || {
            let products = batch * height.div_ceil(stride) * width.div_ceil(stride) * channels * 9;
            (format!("depthwise conv 3×3 {channels}"), 2.0 * products as f64)
        };
        let run = || kernels::depthwise_conv3x3(x, self.weight.val(), self.bias.val(), stride, activation);
        profile::operator(describe, run)
    }
}
