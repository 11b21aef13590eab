//! Architecture of a model: which image encoder it has. The rest follows from that.

use geosam_core::{ModelDefinition, ModelType, Result};

use crate::sam::{TinyVitConfig, VitConfig};
use crate::sam2::HieraConfig;
use crate::sam3::PerceptionEncoderConfig;

/// Architecture of a promptable SAM: its image encoder. Prompt encoder and mask decoder are SAM's behind SAM's encoders
/// and SAM 2's behind the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamConfig {
    /// The image encoder.
    pub image_encoder: ImageEncoderConfig,
}

impl SamConfig {
    /// `sam_b`: ViT-B.
    #[must_use]
    pub fn vit_b() -> Self {
        Self { image_encoder: ImageEncoderConfig::Vit(VitConfig::vit_b()) }
    }

    /// `sam_l`: ViT-L.
    #[must_use]
    pub fn vit_l() -> Self {
        Self { image_encoder: ImageEncoderConfig::Vit(VitConfig::vit_l()) }
    }

    /// `sam_h`: ViT-H.
    #[must_use]
    pub fn vit_h() -> Self {
        Self { image_encoder: ImageEncoderConfig::Vit(VitConfig::vit_h()) }
    }

    /// `mobile_sam`: TinyViT.
    #[must_use]
    pub fn mobile() -> Self {
        Self { image_encoder: ImageEncoderConfig::Tiny(TinyVitConfig::mobile()) }
    }

    /// `sam2_t` and `sam2.1_t`: Hiera tiny.
    #[must_use]
    pub fn hiera_tiny() -> Self {
        Self { image_encoder: ImageEncoderConfig::Hiera(HieraConfig::tiny()) }
    }

    /// `sam2_s` and `sam2.1_s`: Hiera small.
    #[must_use]
    pub fn hiera_small() -> Self {
        Self { image_encoder: ImageEncoderConfig::Hiera(HieraConfig::small()) }
    }

    /// `sam2_b` and `sam2.1_b`: Hiera base plus.
    #[must_use]
    pub fn hiera_base_plus() -> Self {
        Self { image_encoder: ImageEncoderConfig::Hiera(HieraConfig::base_plus()) }
    }

    /// `sam2_l` and `sam2.1_l`: Hiera large.
    #[must_use]
    pub fn hiera_large() -> Self {
        Self { image_encoder: ImageEncoderConfig::Hiera(HieraConfig::large()) }
    }

    /// `sam3` and `sam3.1_multiplex`: the Perception Encoder with the neck for clicks.
    #[must_use]
    pub fn sam3() -> Self {
        Self { image_encoder: ImageEncoderConfig::Perception(PerceptionEncoderConfig::sam3()) }
    }

    /// The architecture of a model of the registry, by its identifier.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](geosam_core::Error::InvalidArgument) for an unknown identifier, listing the known ones.
    ///
    /// # Examples
    /// ```
    /// use geosam_models::SamConfig;
    ///
    /// assert_eq!(SamConfig::by_id("sam2.1_t")?, SamConfig::hiera_tiny());
    /// # Ok::<(), geosam_core::Error>(())
    /// ```
    pub fn by_id(model_id: &str) -> Result<Self> {
        Ok(match ModelDefinition::by_id(model_id)?.model_id {
            "sam_b" => Self::vit_b(),
            "sam_l" => Self::vit_l(),
            "sam_h" => Self::vit_h(),
            "mobile_sam" => Self::mobile(),
            "sam2_t" | "sam2.1_t" => Self::hiera_tiny(),
            "sam2_s" | "sam2.1_s" => Self::hiera_small(),
            "sam2_b" | "sam2.1_b" => Self::hiera_base_plus(),
            "sam2_l" | "sam2.1_l" => Self::hiera_large(),
            "sam3" | "sam3.1_multiplex" => Self::sam3(),
            other => unreachable!("{other} is in the registry without an architecture"),
        })
    }

    /// A small SAM for tests and demonstrations: a ViT of width 64 and two blocks on images of 128 × 128 pixels. There
    /// are no published weights for it.
    #[must_use]
    pub fn small() -> Self {
        Self {
            image_encoder: ImageEncoderConfig::Vit(VitConfig {
                image_size: 128,
                width: 64,
                depth: 2,
                heads: 2,
                global_attention: vec![1],
                window: 3,
                ..VitConfig::vit_b()
            }),
        }
    }

    /// A small SAM 2 for tests and demonstrations, on images of 128 × 128 pixels. There are no published weights for
    /// it.
    #[must_use]
    pub fn small_sam2() -> Self {
        Self { image_encoder: ImageEncoderConfig::Hiera(HieraConfig::miniature()) }
    }

    /// A small SAM 3 for tests and demonstrations, on images of 126 × 126 pixels. There are no published weights for
    /// it.
    #[must_use]
    pub fn small_sam3() -> Self {
        Self { image_encoder: ImageEncoderConfig::Perception(PerceptionEncoderConfig::miniature()) }
    }

    /// The family, which decides on preprocessing, decoder and features.
    #[must_use]
    pub fn model_type(&self) -> ModelType {
        match &self.image_encoder {
            ImageEncoderConfig::Vit(_) | ImageEncoderConfig::Tiny(_) => ModelType::Sam,
            ImageEncoderConfig::Hiera(_) => ModelType::Sam2,
            ImageEncoderConfig::Perception(_) => ModelType::Sam3,
        }
    }

    /// Side of the square input in pixels.
    #[must_use]
    pub fn image_size(&self) -> usize {
        self.image_encoder.image_size()
    }

    /// Width of image features, prompts and mask decoder; 256 in every published model.
    #[must_use]
    pub fn prompt_embed_dim(&self) -> usize {
        match &self.image_encoder {
            ImageEncoderConfig::Vit(config) => config.features,
            ImageEncoderConfig::Tiny(config) => config.features,
            ImageEncoderConfig::Hiera(config) => config.features,
            ImageEncoderConfig::Perception(config) => config.features,
        }
    }
}

/// Architecture of the image encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageEncoderConfig {
    /// ViT-Det, the encoder of SAM B, L and H.
    Vit(VitConfig),
    /// TinyViT, the encoder of MobileSAM.
    Tiny(TinyVitConfig),
    /// Hiera, the encoder of SAM 2 and 2.1.
    Hiera(HieraConfig),
    /// The Perception Encoder, of SAM 3 and 3.1.
    Perception(PerceptionEncoderConfig),
}

impl ImageEncoderConfig {
    /// Side of the square input in pixels.
    #[must_use]
    pub fn image_size(&self) -> usize {
        match self {
            Self::Vit(config) => config.image_size,
            Self::Tiny(config) => config.image_size,
            Self::Hiera(config) => config.image_size,
            Self::Perception(config) => config.image_size,
        }
    }
}
