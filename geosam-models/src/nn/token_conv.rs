//! Convolution to channels-last images, whose pixels are tokens.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activation, Linear};
use crate::kernels::{self, Layout, Patches};
use crate::profile;
use crate::weights::Weights;

/// A convolution as a linear layer of the squares that its kernel sees.
#[derive(Module, Debug)]
pub(crate) struct TokenConv {
    /// `[outputs, inputs·kernel·kernel]`, columns as `layout` says.
    squares: Linear,
    #[module(skip)]
    layout: Layout,
    #[module(skip)]
    patches: Patches,
}

impl TokenConv {
    /// Of images of this layout, with a weight `[outputs, inputs, kernel, kernel]` and as many zeros on every side as
    /// keep the image's size at stride 1.
    pub(crate) fn new(layout: Layout, weight: Tensor<4>, bias: Tensor<1>, stride: usize) -> Self {
        let [outputs, inputs, kernel, _] = weight.dims();
        let weight = match layout {
            Layout::ChannelsFirst => weight,
            Layout::ChannelsLast => weight.permute([0, 2, 3, 1]),
        };
        Self {
            squares: Linear::new(weight.reshape([outputs, inputs * kernel * kernel]), bias),
            layout,
            patches: Patches { kernel, stride, padding: kernel / 2 },
        }
    }

    /// Where and as `weights` are laid out on a GPU: see [`Weights::placed`].
    pub(crate) fn placed(self, weights: &Weights<'_>) -> Self {
        Self { squares: self.squares.placed(weights), ..self }
    }

    /// This with more bias, `[outputs]`.
    pub(crate) fn with_bias_added(self, bias: Tensor<1>) -> Self {
        Self { squares: self.squares.with_bias_added(bias), ..self }
    }

    /// This and then a linear layer at every pixel, in one.
    pub(crate) fn then(self, next: &Linear) -> Self {
        Self { squares: self.squares.then(next), ..self }
    }

    /// # Shapes
    /// - x: `[batch, inputs, height, width]` or `[batch, height, width, inputs]`
    /// - output: `[batch, ⌈height / stride⌉, ⌈width / stride⌉, outputs]`
    pub(crate) fn forward(&self, x: Tensor<4>, activation: Option<Activation>) -> Tensor<4> {
        let Patches { kernel, stride, .. } = self.patches;
        let [outputs, seen] = self.squares.dims();
        let dims = x.dims();
        let describe = || {
            let [height, width] = match self.layout {
                Layout::ChannelsFirst => [dims[2], dims[3]],
                Layout::ChannelsLast => [dims[1], dims[2]],
            };
            let tokens = dims[0] * height.div_ceil(stride) * width.div_ceil(stride);
            let name = format!("conv {kernel}×{kernel} {} → {outputs}", seen / (kernel * kernel));
            (name, 2.0 * (tokens * seen * outputs) as f64)
        };
        let run = || kernels::patches(x, self.layout, self.squares.fused(), self.patches, activation);
        profile::operator(describe, run)
    }
}
