//! CPU kernels where burn's operators are slow. Each takes and returns tensors, works on `f32` tensors of the Flex
//! backend, and falls through to burn's own operators for every other device and under autodiff. There tensors may be of
//! other types: see [`in_type`]. With the feature `train` those that training spends its time in have gradients of their own:
//! see `differentiable`.

#![allow(unsafe_code)]

mod activation;
mod affine;
mod bf16;
mod buffer;
mod cast;
mod cross_attention;
mod depthwise_conv;
#[cfg(feature = "train")]
mod differentiable;
mod few_rows;
mod inverted_bottleneck;
mod linear;
#[cfg(feature = "train")]
mod mask_losses;
mod matmul;
mod max_pool;
mod norm;
mod online_softmax;
mod patches;
mod rows;
mod simd;
mod softmax;
mod upscaling;
mod window_attention;

pub(crate) use activation::gelu;
pub(crate) use affine::{Affine, Weight, by_columns, pack};
pub(crate) use bf16::PackedMatrix;
pub(crate) use cast::in_type;
pub(crate) use cross_attention::{
    AttentionToPrompt, ProjectedImage, Queries, attend_to_image, attend_to_projected_image, attend_to_prompt,
};
pub(crate) use depthwise_conv::{Depthwise, depthwise_conv3x3};
pub(crate) use inverted_bottleneck::{InvertedBottleneck, inverted_bottleneck};
pub(crate) use linear::{add_linear, add_mlp, linear};
#[cfg(feature = "train")]
pub(crate) use mask_losses::mask_losses;
pub(crate) use max_pool::max_pool2x2;
pub(crate) use norm::Norm;
pub(crate) use patches::{Layout, Patches, patches};
pub(crate) use softmax::softmax;
pub(crate) use upscaling::{Upscaling, upscaled_logits};
pub(crate) use window_attention::{Position, QkvOrder, WindowAttention, window_attention};
