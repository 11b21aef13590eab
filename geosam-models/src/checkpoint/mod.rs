//! Checkpoints: PyTorch and safetensors files under the tensor names of the official releases.
//!
//! Files are recognised by content, opened without reading their tensors, and read tensor by tensor.

mod random;

pub use random::RandomWeights;
