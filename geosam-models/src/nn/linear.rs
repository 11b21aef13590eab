//! Affine map of the last axis.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use geosam_core::Precision;

use super::{Activation, LayerNorm, assert_shape};
use crate::device::is_cpu;
use crate::kernels::{self, Affine, PackedMatrix, Weight};
use crate::profile;
use crate::weights::{Weights, parameter};

/// `y = x Wᵀ + b`.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    /// `[outputs, inputs]`, as in PyTorch; `[outputs, 0]` where it is packed.
    pub(crate) weight: Param<Tensor<2>>,
    /// The weight in bf16, for the CPU.
    #[module(skip)]
    packed: Option<PackedMatrix>,
    pub(crate) bias: Param<Tensor<1>>,
}

impl Linear {
    /// In the precision that is asked for: on a GPU weight and bias have that type ([`Weights::placed`]), and [`kernels`] follow
    /// the weight; on the CPU the weight is laid out for products in that precision, and all else is in f32. Where none is
    /// asked for it is f32, by rows.
    pub(crate) fn load(weights: &Weights<'_>, inputs: usize, outputs: usize) -> Self {
        let host = weights.on_host();
        let linear =
            Self::new(host.tensor("weight", [outputs, inputs]), host.tensor("bias", [outputs])).placed(weights);
        match weights.layout() {
            Some(Precision::Bf16) if is_cpu(weights.device()) => linear.packed(),
            Some(Precision::F32) if is_cpu(weights.device()) => linear.by_columns(),
            _ => linear,
        }
    }

    /// Where and as `weights` are laid out on a GPU: see [`Weights::placed`].
    pub(crate) fn placed(self, weights: &Weights<'_>) -> Self {
        assert!(self.packed.is_none(), "a packed layer is where it belongs");
        Self::new(weights.placed(self.weight.val()), weights.placed(self.bias.val()))
    }

    /// From tensors as in PyTorch, `[outputs, inputs]` and `[outputs]`.
    pub(crate) fn new(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        Self { weight: parameter(weight), packed: None, bias: parameter(bias) }
    }

    /// Laid out for products in f32 with many rows.
    pub(crate) fn by_columns(self) -> Self {
        Self { weight: parameter(kernels::by_columns(self.weight.val())), ..self }
    }

    fn packed(self) -> Self {
        let weight = self.weight.val();
        let [outputs, _] = weight.dims();
        let packed = Some(kernels::pack(&weight));
        Self { weight: parameter(Tensor::empty([outputs, 0], &weight.device())), packed, bias: self.bias }
    }

    /// Outputs and inputs.
    pub(crate) fn dims(&self) -> [usize; 2] {
        match &self.packed {
            Some(packed) => [packed.columns(), packed.depth()],
            None => self.weight.dims(),
        }
    }

    /// Of its products on the CPU.
    pub(crate) fn precision(&self) -> Precision {
        if self.packed.is_some() { Precision::Bf16 } else { Precision::F32 }
    }

    /// A 1×1 convolution, which is this at every pixel.
    pub(crate) fn load_pointwise(weights: &Weights<'_>, inputs: usize, outputs: usize) -> Self {
        let weight = weights.tensor("weight", [outputs, inputs, 1, 1]).reshape([outputs, inputs]);
        Self::new(weight, weights.tensor("bias", [outputs]))
    }

    /// This with more bias, `[outputs]`.
    pub(crate) fn with_bias_added(&self, bias: Tensor<1>) -> Self {
        assert!(self.packed.is_none(), "a packed layer cannot be folded into another");
        Self::new(self.weight.val(), self.bias.val() + bias)
    }

    /// This and then `next`, in one; neither is packed.
    pub(crate) fn then(&self, next: &Self) -> Self {
        assert!(self.packed.is_none() && next.packed.is_none(), "a packed layer cannot be folded into another");
        let bias = next.forward(self.bias.val().unsqueeze::<2>()).squeeze_dim::<1>(0);
        Self::new(next.weight.val().matmul(self.weight.val()), bias)
    }

    /// # Shapes
    /// - x: `[.., inputs]`
    /// - output: `[.., outputs]`
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.run(x, None, None)
    }

    /// The activation of the result, done while it is in the cache.
    ///
    /// # Shapes
    /// - as [`Linear::forward`]
    pub(crate) fn forward_with<const D: usize>(&self, x: Tensor<D>, activation: Option<Activation>) -> Tensor<D> {
        self.run(x, None, activation)
    }

    /// Of the normed input.
    ///
    /// # Shapes
    /// - as [`Linear::forward`]
    pub(crate) fn forward_normed<const D: usize>(&self, norm: &LayerNorm, x: Tensor<D>) -> Tensor<D> {
        self.run(x, Some(norm), None)
    }

    fn run<const D: usize>(&self, x: Tensor<D>, norm: Option<&LayerNorm>, activation: Option<Activation>) -> Tensor<D> {
        let describe = self.describe(&x, norm, activation);
        let norm = norm.map(LayerNorm::fused);
        profile::operator(describe, || kernels::linear(x, norm, self.fused(), activation))
    }

    /// `sum` and what this makes of `x`.
    ///
    /// # Shapes
    /// - sum: `[.., outputs]`
    /// - x: `[.., inputs]`
    /// - output: `[.., outputs]`
    pub(crate) fn add_to<const D: usize>(&self, sum: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
        let describe = self.describe(&x, None, None);
        profile::operator(describe, || kernels::add_linear(sum, x, self.fused()))
    }

    /// For a kernel that does more than this layer.
    pub(crate) fn fused(&self) -> Affine {
        let weight = match &self.packed {
            Some(packed) => Weight::Packed(packed.clone()),
            None => Weight::Plain(self.weight.val()),
        };
        Affine { weight, bias: self.bias.val() }
    }

    /// Name and operations.
    fn describe<const D: usize>(
        &self,
        x: &Tensor<D>,
        norm: Option<&LayerNorm>,
        activation: Option<Activation>,
    ) -> impl FnOnce() -> (String, f64) + use<D> {
        let [outputs, inputs] = self.dims();
        assert_shape!(x, [.., inputs]);
        let rows: usize = x.dims()[..D - 1].iter().product();
        let before = if norm.is_some() { "norm, " } else { "" };
        move || {
            let then = activation.map_or(String::new(), |activation| format!(", {activation:?}"));
            (format!("{before}linear {inputs} → {outputs}{then}"), 2.0 * (rows * inputs * outputs) as f64)
        }
    }
}
