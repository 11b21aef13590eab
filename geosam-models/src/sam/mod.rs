//! SAM and MobileSAM, one file per upstream module.

mod config;
mod conv_bn;
#[cfg(test)]
pub(crate) mod golden;
mod image_encoder;
mod mask_decoder;
mod neck;
mod prompt_encoder;
mod segmenter;
mod session;
mod tiny_vit;
mod transformer;

pub use config::{ImageEncoderConfig, SamConfig, TinyVitConfig, VitConfig};
pub use segmenter::Sam;
