//! Activation functions.

use burn::tensor::{Tensor, activation};

use crate::kernels;
use crate::profile;

/// What a layer applies to its output, elementwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x·Φ(x) with the exact Gaussian Φ (erf, not the tanh approximation).
    Gelu,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// # Shapes
    /// - x: any; output: the same
    pub(crate) fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        let run = || match self {
            Self::Gelu => kernels::gelu(x),
            Self::Relu => activation::relu(x),
        };
        profile::operator(|| (format!("{self:?}"), 0.0), run)
    }
}
