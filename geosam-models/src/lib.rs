//! SAM-family models of geosam in burn.

pub mod checkpoint;
mod kernels;
mod nn;
mod sam;
mod weights;

pub use weights::TensorSource;
