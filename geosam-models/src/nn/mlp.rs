//! The two-layer perceptron of a transformer block.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activation, Linear};
use crate::weights::Weights;

/// Linear, activation, linear.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    lin1: Linear,
    lin2: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    pub(crate) fn load(weights: &Weights<'_>, width: usize, hidden: usize, activation: Activation) -> Self {
        Self {
            lin1: Linear::load(&weights.scope("lin1"), width, hidden),
            lin2: Linear::load(&weights.scope("lin2"), hidden, width),
            activation,
        }
    }

    /// # Shapes
    /// - x: `[.., width]`
    /// - output: the same
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.lin2.forward(self.lin1.forward_with(x, Some(self.activation)))
    }
}
