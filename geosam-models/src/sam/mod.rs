//! The image encoders of SAM and MobileSAM, one file per upstream module.

mod config;
mod conv_bn;
mod image_encoder;
mod neck;
mod tiny_vit;

pub use config::{TinyVitConfig, VitConfig};
pub(crate) use image_encoder::ImageEncoderViT;
pub(crate) use tiny_vit::TinyViT;
