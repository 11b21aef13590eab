//! Convolutions followed by batch normalisation, folded into one when loaded.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData};

use crate::kernels::{self, Depthwise};
use crate::nn::{Conv2dConfig, Linear, assert_shape};
use crate::profile;
use crate::weights::{Weights, parameter};

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
fn load_pointwise(weights: &Weights<'_>, inputs: usize, outputs: usize) -> Linear {
    let (weight, bias) = load_conv_bn(&weights.on_host(), Conv2dConfig::new([inputs, outputs], 1));
    Linear::new(weight.reshape([outputs, inputs]), bias).placed(weights)
}

/// A depthwise 3×3 convolution of channels-last images, padded with one pixel of zeros; in f32 whatever the precision of
/// products, as it is none.
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
        Self { weight: parameter(weight), bias: parameter(bias), stride }
    }

    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: `[batch, ⌈height / stride⌉, ⌈width / stride⌉, channels]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        let describe = || {
            let pixels = batch * height.div_ceil(self.stride) * width.div_ceil(self.stride);
            (format!("depthwise conv 3×3 {channels}"), 2.0 * (pixels * channels * 9) as f64)
        };
        profile::operator(describe, || kernels::depthwise_conv3x3(x, self.fused(), None))
    }

    /// For a kernel that does more than this layer.
    fn fused(&self) -> Depthwise {
        Depthwise { weight: self.weight.val(), bias: self.bias.val(), stride: self.stride }
    }
}

/// Widen, convolve each channel, narrow; with [`Activation::Gelu`](crate::nn::Activation) after the first two.
#[derive(Module, Debug)]
pub(super) struct InvertedBottleneck {
    conv1: Linear,
    conv2: DepthwiseConv,
    conv3: Linear,
}

impl InvertedBottleneck {
    /// `widths` are the channels before, between and after.
    pub(super) fn load(weights: &Weights<'_>, [inputs, wide, outputs]: [usize; 3], stride: usize) -> Self {
        Self {
            conv1: load_pointwise(&weights.scope("conv1"), inputs, wide),
            conv2: DepthwiseConv::load(&weights.scope("conv2"), wide, stride),
            conv3: load_pointwise(&weights.scope("conv3"), wide, outputs),
        }
    }

    /// # Shapes
    /// - x: `[batch, height, width, inputs]`
    /// - output: `[batch, ⌈height / stride⌉, ⌈width / stride⌉, outputs]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.run(x, false)
    }

    /// gelu(x + [`Self::forward`]).
    pub(super) fn forward_residual(&self, x: Tensor<4>) -> Tensor<4> {
        self.run(x, true)
    }

    fn run(&self, x: Tensor<4>, residual: bool) -> Tensor<4> {
        let ([wide, inputs], [outputs, _]) = (self.conv1.dims(), self.conv3.dims());
        let [batch, height, width, _] = x.dims();
        assert_shape!(x, [batch, height, width, inputs]);
        let describe = || {
            let [rows, columns] = [height, width].map(|side| side.div_ceil(self.conv2.stride));
            let products = height * width * inputs + rows * columns * (9 + outputs);
            (format!("bottleneck {inputs} → {wide} → {outputs}"), 2.0 * (batch * wide * products) as f64)
        };
        let parts = kernels::InvertedBottleneck {
            widen: self.conv1.fused(),
            depthwise: self.conv2.fused(),
            narrow: self.conv3.fused(),
            residual,
        };
        profile::operator(describe, || kernels::inverted_bottleneck(x, parts))
    }
}
