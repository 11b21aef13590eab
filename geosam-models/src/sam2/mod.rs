//! The image encoder of SAM 2 and 2.1, one file per upstream module.

mod config;
mod hieradet;
mod image_encoder;

pub use config::HieraConfig;
pub(crate) use image_encoder::ImageEncoder;
