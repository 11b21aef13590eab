//! Two-dimensional convolution with a square kernel.

use burn::module::{Module, Param};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};

use super::{Linear, assert_shape};
use crate::kernels::in_type;
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
        Self::new(weights.tensor("weight", config.weight_shape()), weights.tensor("bias", [outputs]), config)
    }

    fn new(weight: Tensor<4>, bias: Tensor<1>, config: Conv2dConfig) -> Self {
        Self { weight: parameter(weight), bias: parameter(bias), config }
    }

    /// Where and as `weights` are laid out on a GPU: see [`Weights::placed`].
    pub(crate) fn placed(self, weights: &Weights<'_>) -> Self {
        Self::new(weights.placed(self.weight.val()), weights.placed(self.bias.val()), self.config)
    }

    /// This with more bias, `[outputs]`.
    pub(crate) fn with_bias_added(&self, bias: Tensor<1>) -> Self {
        Self::new(self.weight.val(), self.bias.val() + bias, self.config)
    }

    /// This and then a linear layer at every pixel, in one.
    pub(crate) fn then(&self, next: &Linear) -> Self {
        let Conv2dConfig { channels: [inputs, outputs], kernel, groups, .. } = self.config;
        // The columns of a kernel are so many inputs, as far as the outputs are concerned.
        let flat = self.weight.val().reshape([outputs, inputs / groups * kernel * kernel]);
        let weight = next.weight.val().matmul(flat);
        let [outputs, _] = weight.dims();
        let bias = next.forward(self.bias.val().unsqueeze::<2>()).squeeze_dim::<1>(0);
        let config = Conv2dConfig { channels: [inputs, outputs], ..self.config };
        Self::new(weight.reshape(config.weight_shape()), bias, config)
    }

    /// In the type of the weight.
    ///
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
        let run = || {
            let weight = self.weight.val();
            module::conv2d(in_type(x, weight.dtype()), weight, Some(self.bias.val()), options)
        };
        profile::operator(describe, run)
    }
}
