//! Architecture of SAM's variants.

/// Architecture of a promptable SAM: an image encoder, and the prompt encoder and mask decoder that all variants share.
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
}

impl ImageEncoderConfig {
    /// Side of the square input in pixels.
    #[must_use]
    pub fn image_size(&self) -> usize {
        match self {
            Self::Vit(config) => config.image_size,
            Self::Tiny(config) => config.image_size,
        }
    }
}

/// Architecture of ViT-Det: a plain vision transformer with windowed attention in most blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VitConfig {
    /// Side of the square input in pixels, a multiple of `patch`; 1024 in every published model.
    pub image_size: usize,
    /// Side of a patch in pixels, 16.
    pub patch: usize,
    /// Channels of a token, a multiple of `heads`.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads of each block.
    pub heads: usize,
    /// Blocks, counted from 0, that attend to the whole image; the others attend within windows.
    pub global_attention: Vec<usize>,
    /// Side of a window in tokens, 14.
    pub window: usize,
    /// Channels of the features, 256.
    pub features: usize,
}

impl VitConfig {
    /// 90 million parameters.
    #[must_use]
    pub fn vit_b() -> Self {
        Self::published(768, 12, 12, [2, 5, 8, 11])
    }

    /// 308 million parameters.
    #[must_use]
    pub fn vit_l() -> Self {
        Self::published(1024, 24, 16, [5, 11, 17, 23])
    }

    /// 637 million parameters.
    #[must_use]
    pub fn vit_h() -> Self {
        Self::published(1280, 32, 16, [7, 15, 23, 31])
    }

    fn published(width: usize, depth: usize, heads: usize, global_attention: [usize; 4]) -> Self {
        let global_attention = global_attention.to_vec();
        Self { image_size: 1024, patch: 16, width, depth, heads, global_attention, window: 14, features: 256 }
    }
}

/// Architecture of TinyViT: a convolutional stem and stage, then three stages of windowed attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TinyVitConfig {
    /// Side of the square input in pixels, a multiple of 16; 1024 in MobileSAM.
    pub image_size: usize,
    /// Channels of the four stages, each a multiple of the stage's heads.
    pub widths: [usize; 4],
    /// Blocks of the four stages.
    pub depths: [usize; 4],
    /// Attention heads of the last three stages.
    pub heads: [usize; 3],
    /// Side of a window in tokens in the last three stages.
    pub windows: [usize; 3],
    /// Channels of the features, 256.
    pub features: usize,
}

impl TinyVitConfig {
    /// MobileSAM's encoder, 6 million parameters.
    #[must_use]
    pub fn mobile() -> Self {
        Self {
            image_size: 1024,
            widths: [64, 128, 160, 320],
            depths: [2, 2, 6, 2],
            heads: [4, 5, 10],
            windows: [7, 14, 7],
            features: 256,
        }
    }
}
