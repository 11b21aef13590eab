//! The image encoder of SAM 3 and 3.1 as far as clicks need it, one file per upstream module.

mod config;
mod image_encoder;
mod necks;
mod vitdet;

pub use config::PerceptionEncoderConfig;
pub(crate) use image_encoder::ImageEncoder;
