//! CPU kernels where burn's operators are slow. Each takes and returns tensors, works on `f32` tensors of the Flex
//! backend, and falls through to burn's own operators for every other device and under autodiff.

mod gelu;

pub(crate) use gelu::gelu;
