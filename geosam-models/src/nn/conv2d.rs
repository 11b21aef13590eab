//! Two-dimensional convolution with a square kernel.

use burn::module::{Module, Param};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};

use super::assert_shape;
use crate::profile;
use crate::weights::{Weights, parameter};

/// Geometry of a [`Conv2d`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv2dConfig {
    /// Input and output channels.
    pub(crate) channels: [usize; 2],
    /// Side of the kernel.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Zeros added on every side.
    pub(crate) padding: usize,
    /// Channel groups; as many as channels for a depthwise convolution.
    pub(crate) groups: usize,
}

impl Conv2dConfig {
    /// Stride 1, no padding, one group.
    pub(crate) const fn new(channels: [usize; 2], kernel: usize) -> Self {
        Self { channels, kernel, stride: 1, padding: 0, groups: 1 }
    }

    /// Shape of the weight, `[outputs, inputs of a group, kernel, kernel]`.
    pub(crate) const fn weight_shape(&self) -> [usize; 4] {
        [self.channels[1], self.channels[0] / self.groups, self.kernel, self.kernel]
    }
}

/// Convolution of an image, with a bias, weights as in PyTorch.
#[derive(Module, Debug)]
pub(crate) struct Conv2d {
    /// `[outputs, inputs of a group, kernel, kernel]`.
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    config: Conv2dConfig,
}

impl Conv2d {
    pub(crate) fn load(weights: &Weights<'_>, config: Conv2dConfig) -> Self {
        let [_, outputs] = config.channels;
        Self {
            weight: parameter(weights.tensor("weight", config.weight_shape())),
            bias: parameter(weights.tensor("bias", [outputs])),
            config,
        }
    }

    /// # Shapes
    /// - x: `[batch, inputs, height, width]`
    /// - output: `[batch, outputs, (height + 2·padding - kernel) / stride + 1, likewise]`
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Conv2dConfig { channels: [inputs, outputs], kernel, stride, padding, groups, .. } = self.config;
        assert_shape!(x, [_, inputs, _, _]);
        let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], groups);
        let [batch, _, height, width] = x.dims();
        let describe = || {
            let [height, width] = [height, width].map(|n| (n + 2 * padding - kernel) / stride + 1);
            let products = batch * height * width * kernel * kernel * inputs * outputs / groups;
            (format!("conv {kernel}×{kernel} {inputs} → {outputs}"), 2.0 * products as f64)
        };
        let run = || module::conv2d(x, self.weight.val(), Some(self.bias.val()), options);
        profile::operator(describe, run)
    }
}
