//! Architecture of a model: which image encoder it has. The rest follows from that.

use geosam_core::{Error, ModelDefinition, ModelType, Result};

use crate::decoder::TwoWayTransformerConfig;
use crate::sam::{TinyVitConfig, VitConfig};
use crate::sam2::HieraConfig;
use crate::sam3::PerceptionEncoderConfig;

/// Channels of a token beyond this are no network but a forged file; the widest published has 1280.
const MAX_WIDTH: usize = 8192;
/// Pixels likewise; the largest published has 1024.
const MAX_IMAGE_SIZE: usize = 4096;

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

    /// `geosam_nano`: a SAM 2 small enough to be part of this crate.
    #[must_use]
    pub fn nano() -> Self {
        Self { image_encoder: ImageEncoderConfig::Hiera(HieraConfig::nano()) }
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
            "geosam_nano" => Self::nano(),
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

    /// Refuses what is no network, and what no machine could hold: sizes may come from a forged file.
    pub(crate) fn validate(&self) -> Result<()> {
        let image_size = self.image_size();
        let (square, width, heads, window) = match &self.image_encoder {
            ImageEncoderConfig::Vit(config) => {
                check("patch", config.patch == ModelType::Sam.patch_size(), "16 pixels", &config.patch)?;
                (config.patch, config.width, config.heads, config.window)
            }
            ImageEncoderConfig::Tiny(config) => {
                for (stage, heads) in config.heads.into_iter().enumerate() {
                    check_heads(config.widths[stage + 1], heads, 1)?;
                    check_side("window", config.windows[stage], image_size)?;
                }
                (16, config.widths[0], 1, 1)
            }
            ImageEncoderConfig::Hiera(config) => {
                check(
                    "depths",
                    !config.depths.contains(&0),
                    "a block in every stage",
                    &format!("{:?}", config.depths),
                )?;
                for (stage, &window) in config.windows.iter().enumerate() {
                    check_side("window", window, image_size)?;
                    check("window", stage == 3 || window.is_multiple_of(2), "an even side before a stage", &window)?;
                }
                check_side("position grid", config.position_grid, image_size)?;
                (32, config.width, config.heads, config.windows[0])
            }
            ImageEncoderConfig::Perception(config) => {
                check("patch", config.patch == ModelType::Sam3.patch_size(), "14 pixels", &config.patch)?;
                check_heads(config.width, config.heads, 4)?;
                check_side("position grid", config.position_grid, image_size)?;
                check("perceptron width", (1..=4 * MAX_WIDTH).contains(&config.mlp), "at least 1", &config.mlp)?;
                (config.patch, config.width, config.heads, config.window)
            }
        };
        let whole = image_size > 0 && image_size <= MAX_IMAGE_SIZE && image_size.is_multiple_of(square);
        check("image size", whole, &format!("a multiple of {square} pixels, at most {MAX_IMAGE_SIZE}"), &image_size)?;
        check_heads(width, heads, 1)?;
        check_side("window", window, image_size)?;
        let (features, heads) = (self.prompt_embed_dim(), 2 * TwoWayTransformerConfig::HEADS);
        let split = features > 0 && features <= MAX_WIDTH && features.is_multiple_of(heads);
        check("features", split, &format!("a multiple of {heads} channels, at most {MAX_WIDTH}"), &features)
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

fn check(parameter: &'static str, holds: bool, expected: &str, found: &dyn std::fmt::Display) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid_argument(parameter, expected, found.to_string())) }
}

/// Every head has a multiple of `unit` channels.
fn check_heads(width: usize, heads: usize, unit: usize) -> Result<()> {
    let split = heads > 0 && width > 0 && width <= MAX_WIDTH && width.is_multiple_of(unit * heads);
    let expected = format!("a multiple of {unit} channels for each of the heads, at most {MAX_WIDTH}");
    check("width", split, &expected, &format!("{width} channels for {heads} heads"))
}

/// A side of something that lies within the image.
fn check_side(parameter: &'static str, side: usize, image_size: usize) -> Result<()> {
    check(parameter, (1..=image_size).contains(&side), "at least 1, and no more than the image has", &side)
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
    /// Tokens and channels of the layer that has most of both.
    pub(crate) fn most_values(&self) -> usize {
        match self {
            Self::Vit(config) => (config.image_size / config.patch).pow(2) * config.width,
            Self::Tiny(config) => (config.image_size / 4).pow(2) * config.widths[0],
            Self::Hiera(config) => (config.image_size / 4).pow(2) * config.width,
            Self::Perception(config) => (config.image_size / config.patch).pow(2) * config.width,
        }
    }

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
