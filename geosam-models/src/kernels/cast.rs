//! From one type to another.

use burn::tensor::{DType, Tensor};

/// `x` as values of `dtype`; the same tensor where it has them.
///
/// Operators do not mix types. The rule that keeps them apart on GPUs: an affine map takes any type and computes and answers
/// in that of its weight; a convolution multiplies in that type and answers in f32; norms, softmax and activations compute in
/// f32; a sum has the type of what is added to, which for the tokens of an encoder is f32 from end to end.
pub(crate) fn in_type<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype { x } else { x.cast(dtype) }
}
