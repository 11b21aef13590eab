//! CPU kernels where burn's operators are slow. Each takes and returns tensors, works on `f32` tensors of the Flex
//! backend, and falls through to burn's own operators for every other device and under autodiff.

mod depthwise_conv;
mod gelu;
mod window_attention;

pub(crate) use depthwise_conv::depthwise_conv3x3;
pub(crate) use gelu::gelu;
pub(crate) use window_attention::{PositionBias, QkvOrder, WindowAttention, window_attention};
