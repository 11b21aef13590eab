//! SAM-family models of geosam in burn.

mod checkpoint;
mod device;
mod kernels;
mod load;
mod nn;
mod postprocess;
mod preprocess;
pub mod profile;
mod random_checkpoint;
mod sam;
mod weights;

pub use checkpoint::{
    Architecture, Checkpoint, Container, Layout, RandomWeights, Recognised, recognise, write_checkpoint,
};
pub use device::DeviceChoice;
pub use load::{ModelOptions, load_model};
#[doc(hidden)]
pub use preprocess::network_input;
#[doc(hidden)]
pub use random_checkpoint::write_random_checkpoint;
pub use sam::{ImageEncoderConfig, Sam, SamConfig, TinyVitConfig, VitConfig};
pub use weights::TensorSource;
