//! Gaussian error linear unit.

use burn::tensor::{Tensor, activation};

/// x·Φ(x), exact to `f32` rounding.
///
/// # Shapes
/// - x: any; output: the same
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}
