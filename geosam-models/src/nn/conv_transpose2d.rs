//! Learned upsampling.

use burn::module::{Module, Param};
use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{Tensor, module};

use super::assert_shape;
use crate::weights::Weights;

/// Transposed convolution whose stride is its kernel, so that every input pixel becomes its own square of outputs.
#[derive(Module, Debug)]
pub(crate) struct ConvTranspose2d {
    /// `[inputs, outputs, factor, factor]`, as in PyTorch.
    pub(crate) weight: Param<Tensor<4>>,
    pub(crate) bias: Param<Tensor<1>>,
}

impl ConvTranspose2d {
    pub(crate) fn load(weights: &Weights<'_>, channels: [usize; 2], factor: usize) -> Self {
        let [inputs, outputs] = channels;
        Self {
            weight: Param::from_tensor(weights.tensor("weight", [inputs, outputs, factor, factor])),
            bias: Param::from_tensor(weights.tensor("bias", [outputs])),
        }
    }

    /// # Shapes
    /// - x: `[batch, inputs, height, width]`
    /// - output: `[batch, outputs, factor·height, factor·width]`
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let [inputs, _, factor, _] = weight.dims();
        assert_shape!(x, [_, inputs, _, _]);
        let options = ConvTransposeOptions::new([factor; 2], [0; 2], [0; 2], [1, 1], 1);
        module::conv_transpose2d(x, weight, Some(self.bias.val()), options)
    }
}
