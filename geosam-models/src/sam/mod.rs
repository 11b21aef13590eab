//! SAM and MobileSAM, one file per upstream module.

mod config;
mod conv_bn;
mod image_encoder;
mod neck;
mod tiny_vit;

pub use config::{ImageEncoderConfig, SamConfig, TinyVitConfig, VitConfig};
