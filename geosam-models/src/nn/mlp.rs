//! The two-layer perceptron of a transformer block.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activation, LayerNorm, Linear};
use crate::kernels;
use crate::profile;
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
    /// `names` is what the checkpoint calls the two layers, `widths` the channels before, between and after them.
    pub(crate) fn load(
        weights: &Weights<'_>,
        [lin1, lin2]: [&str; 2],
        [inputs, hidden, outputs]: [usize; 3],
        activation: Activation,
    ) -> Self {
        Self {
            lin1: Linear::load(&weights.scope(lin1), inputs, hidden),
            lin2: Linear::load(&weights.scope(lin2), hidden, outputs),
            activation,
        }
    }

    /// # Shapes
    /// - x: `[.., inputs]`
    /// - output: `[.., outputs]`
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.lin2.forward(self.lin1.forward_with(x, Some(self.activation)))
    }

    /// `x` and what this makes of it once normed, without the layer between ever being in memory as a whole.
    ///
    /// # Shapes
    /// - x: `[.., width]`
    /// - output: the same
    pub(crate) fn add_to<const D: usize>(&self, norm: &LayerNorm, x: Tensor<D>) -> Tensor<D> {
        let [hidden, inputs] = self.lin1.dims();
        let rows: usize = x.dims()[..D - 1].iter().product();
        let describe = || {
            let name = format!("norm, linear {inputs} → {hidden}, {:?}, linear → {inputs}", self.activation);
            (name, 4.0 * (rows * inputs * hidden) as f64)
        };
        let layers = [self.lin1.fused(), self.lin2.fused()];
        profile::operator(describe, || kernels::add_mlp(x, &norm.fused(), layers, self.activation))
    }
}
