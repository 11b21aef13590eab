//! CPU kernels where burn's operators are slow. Each takes and returns tensors, works on `f32` tensors of the Flex
//! backend, and falls through to burn's own operators for every other device and under autodiff.

#![allow(unsafe_code)]

mod activation;
mod buffer;
mod depthwise_conv;
mod linear;
mod matmul;
mod max_pool;
mod norm;
mod patches;
mod rows;
mod simd;
mod softmax;
mod window_attention;

pub(crate) use activation::gelu;
pub(crate) use depthwise_conv::depthwise_conv3x3;
pub(crate) use linear::{Affine, add_linear, add_mlp, linear};
pub(crate) use max_pool::max_pool2x2;
pub(crate) use norm::Norm;
pub(crate) use patches::{Patches, patches};
pub(crate) use softmax::softmax;
pub(crate) use window_attention::{Position, QkvOrder, WindowAttention, window_attention};
