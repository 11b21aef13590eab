//! Affine map of the last axis.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Activation, assert_shape};
use crate::kernels;
use crate::profile;
use crate::weights::Weights;

/// `y = x Wᵀ + b`.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    /// `[outputs, inputs]`, as in PyTorch.
    pub(crate) weight: Param<Tensor<2>>,
    pub(crate) bias: Param<Tensor<1>>,
}

impl Linear {
    pub(crate) fn load(weights: &Weights<'_>, inputs: usize, outputs: usize) -> Self {
        Self::new(weights.tensor("weight", [outputs, inputs]), weights.tensor("bias", [outputs]))
    }

    /// From tensors as in PyTorch, `[outputs, inputs]` and `[outputs]`.
    pub(crate) fn new(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        Self { weight: Param::from_tensor(weight), bias: Param::from_tensor(bias) }
    }

    /// A 1×1 convolution, which is this at every pixel.
    pub(crate) fn load_pointwise(weights: &Weights<'_>, inputs: usize, outputs: usize) -> Self {
        let weight = weights.tensor("weight", [outputs, inputs, 1, 1]).reshape([outputs, inputs]);
        Self::new(weight, weights.tensor("bias", [outputs]))
    }

    /// This with more bias, `[outputs]`.
    pub(crate) fn with_bias_added(&self, bias: Tensor<1>) -> Self {
        Self::new(self.weight.val(), self.bias.val() + bias)
    }

    /// This and then `next`, in one.
    pub(crate) fn then(&self, next: &Self) -> Self {
        let bias = next.forward(self.bias.val().unsqueeze::<2>()).squeeze_dim::<1>(0);
        Self::new(next.weight.val().matmul(self.weight.val()), bias)
    }

    /// # Shapes
    /// - x: `[.., inputs]`
    /// - output: `[.., outputs]`
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_with(x, None)
    }

    /// The activation of the result, done while it is in the cache.
    ///
    /// # Shapes
    /// - as [`Linear::forward`]
    pub(crate) fn forward_with<const D: usize>(&self, x: Tensor<D>, activation: Option<Activation>) -> Tensor<D> {
        let weight = self.weight.val();
        let [outputs, inputs] = weight.dims();
        assert_shape!(x, [.., inputs]);
        let rows: usize = x.dims()[..D - 1].iter().product();
        let describe = || {
            let then = activation.map_or(String::new(), |activation| format!(", {activation:?}"));
            (format!("linear {inputs} → {outputs}{then}"), 2.0 * (rows * inputs * outputs) as f64)
        };
        profile::operator(describe, || kernels::linear(x, weight, self.bias.val(), activation))
    }
}
