//! Which models there are, and what identifies a loaded one.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Channels of an embedding of every published model.
const CHANNELS: usize = 256;

/// The model family, as feature files and manifests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelType {
    /// SAM and MobileSAM: features are one tensor.
    Sam,
    /// SAM 2 and 2.1: an embedding and two high-resolution maps.
    Sam2,
    /// SAM 3 and 3.1, prompted with clicks and boxes: the same payload as SAM 2.
    Sam3,
}

impl ModelType {
    /// `sam`, `sam2` or `sam3`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sam => "sam",
            Self::Sam2 => "sam2",
            Self::Sam3 => "sam3",
        }
    }

    /// Side of the model's square input in pixels: 1024, and 1008 for SAM 3.
    #[must_use]
    pub const fn image_size(self) -> usize {
        match self {
            Self::Sam | Self::Sam2 => 1024,
            Self::Sam3 => 1008,
        }
    }

    /// Side in input pixels of the square that one place of the embedding stands for: 16, and 14 for SAM 3.
    #[must_use]
    pub const fn patch_size(self) -> usize {
        match self {
            Self::Sam | Self::Sam2 => 16,
            Self::Sam3 => 14,
        }
    }

    /// Bytes of one chip's features, as files and memory hold them in `f32`: 4 MiB for SAM, 16 MiB for SAM 2 and
    /// 20.25 MiB for SAM 3.
    #[must_use]
    pub const fn feature_bytes(self) -> usize {
        self.feature_bytes_of(self.image_size(), CHANNELS)
    }

    /// The same for an input of `image_size` pixels and an embedding of `channels`.
    const fn feature_bytes_of(self, image_size: usize, channels: usize) -> usize {
        let places = image_size.div_ceil(self.patch_size()).pow(2);
        let embedding = channels * places;
        let values = match self {
            Self::Sam => embedding,
            Self::Sam2 | Self::Sam3 => embedding + channels / 8 * 16 * places + channels / 4 * 4 * places,
        };
        values * size_of::<f32>()
    }
}

impl std::fmt::Display for ModelType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for ModelType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "sam" => Ok(Self::Sam),
            "sam2" => Ok(Self::Sam2),
            "sam3" => Ok(Self::Sam3),
            other => Err(Error::invalid_argument("model type", "sam, sam2 or sam3", other)),
        }
    }
}

/// A published model: what it is called and what its checkpoint file is called by the Python systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelDefinition {
    /// Identifier, e.g. `sam_b`.
    pub model_id: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// Family.
    pub model_type: ModelType,
    /// File name under which ultralytics, Python geosam and the QGIS plugin know the checkpoint.
    pub filename: &'static str,
    /// Side of its square input in pixels, which is the size of a chip.
    pub image_size: usize,
    /// Channels of the embedding.
    pub channels: usize,
}

const fn definition(
    model_id: &'static str,
    label: &'static str,
    model_type: ModelType,
    filename: &'static str,
) -> ModelDefinition {
    ModelDefinition { model_id, label, model_type, filename, image_size: model_type.image_size(), channels: CHANNELS }
}

/// The small SAM 2 that comes with `geosam-models`.
const NANO: ModelDefinition = ModelDefinition {
    image_size: 256,
    channels: 128,
    ..definition("geosam_nano", "geosam nano", ModelType::Sam2, "geosam_nano.safetensors")
};

/// Every model of the registry: Python geosam's twelve, SAM ViT-H and MobileSAM, and the small model in the
/// box.
pub const MODEL_DEFINITIONS: &[ModelDefinition] = &[
    definition("sam_b", "SAM ViT-B", ModelType::Sam, "sam_b.pt"),
    definition("sam_l", "SAM ViT-L", ModelType::Sam, "sam_l.pt"),
    definition("sam_h", "SAM ViT-H", ModelType::Sam, "sam_h.pt"),
    definition("mobile_sam", "MobileSAM", ModelType::Sam, "mobile_sam.pt"),
    definition("sam2_t", "SAM 2 tiny", ModelType::Sam2, "sam2_t.pt"),
    definition("sam2_s", "SAM 2 small", ModelType::Sam2, "sam2_s.pt"),
    definition("sam2_b", "SAM 2 base+", ModelType::Sam2, "sam2_b.pt"),
    definition("sam2_l", "SAM 2 large", ModelType::Sam2, "sam2_l.pt"),
    definition("sam2.1_t", "SAM 2.1 tiny", ModelType::Sam2, "sam2.1_t.pt"),
    definition("sam2.1_s", "SAM 2.1 small", ModelType::Sam2, "sam2.1_s.pt"),
    definition("sam2.1_b", "SAM 2.1 base+", ModelType::Sam2, "sam2.1_b.pt"),
    definition("sam2.1_l", "SAM 2.1 large", ModelType::Sam2, "sam2.1_l.pt"),
    definition("sam3", "SAM 3", ModelType::Sam3, "sam3.pt"),
    definition("sam3.1_multiplex", "SAM 3.1 multiplex", ModelType::Sam3, "sam3.1_multiplex.pt"),
    NANO,
];

impl ModelDefinition {
    /// The registered model with this identifier.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown identifier, listing the known ones.
    pub fn by_id(model_id: &str) -> Result<&'static Self> {
        MODEL_DEFINITIONS.iter().find(|d| d.model_id == model_id).ok_or_else(|| {
            let known: Vec<_> = MODEL_DEFINITIONS.iter().map(|d| d.model_id).collect();
            Error::invalid_argument("model", format!("one of {}", known.join(", ")), model_id)
        })
    }

    /// Bytes of one chip's features, as files and memory hold them in `f32`.
    #[must_use]
    pub const fn feature_bytes(&self) -> usize {
        self.model_type.feature_bytes_of(self.image_size, self.channels)
    }

    /// The registered model a checkpoint's file name stands for: exact names first, then the longest identifier the
    /// name contains. Content is the better witness; see `geosam_models::recognise`.
    #[must_use]
    pub fn by_filename(path: &Path) -> Option<&'static Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        MODEL_DEFINITIONS
            .iter()
            .find(|d| d.filename == name)
            .or_else(|| MODEL_DEFINITIONS.iter().filter(|d| name.contains(d.model_id)).max_by_key(|d| d.model_id.len()))
    }
}

/// How chips are prepared for the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preprocess {
    /// RGB order, Pillow's antialiased bilinear, zero padding after normalisation.
    #[default]
    Standard,
    /// Bit for bit what Python geosam 0.1.3 feeds the network: channels reversed, OpenCV's integer bilinear, padding
    /// with 114 before normalisation, every chip stretched by itself unless it is u8.
    #[serde(rename = "geosam-0.1")]
    Geosam01,
}

impl Preprocess {
    /// `standard` or `geosam-0.1`, as manifests record it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Geosam01 => "geosam-0.1",
        }
    }
}

/// Precision of the matrix products of the image encoder, by far most of its work. Sums, norms, softmax, positions, the
/// neck and everything that answers prompts are in f32 in any case. Read from text: `f32`, `bf16` or `f16`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision, the numbers of the reference systems.
    #[default]
    F32,
    /// Factors rounded to bf16, sums in f32: half the memory for the weights, and about twice the speed on processors with
    /// AVX512-BF16 (AMD since Zen 4, Intel since Cooper Lake; elsewhere it is slower than f32, as weights are unpacked for
    /// every product). `benches/runs` has the times, and how far features and masks were off.
    Bf16,
    /// Factors rounded to f16, on GPUs only: the type that their fastest attention works in. Half the memory for the
    /// weights, and more of a value's digits than bf16 keeps.
    F16,
}

impl std::str::FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            other => Err(Error::invalid_argument("precision", "f32, bf16 or f16", other)),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// What identifies a loaded model, so that features are only ever decoded by a model with the encoder that made them.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Identifier: of the registry, or a program's own.
    pub model_id: String,
    /// Family.
    pub model_type: ModelType,
    /// The file the weights came from.
    pub checkpoint_path: PathBuf,
    /// Side of the model's square input in pixels.
    pub image_size: usize,
    /// Hash of the weights that features depend on, the same for every container they come in; `None` if the model has none.
    pub fingerprint: Option<String>,
    /// How chips are prepared.
    pub preprocess: Preprocess,
    /// How exactly they are encoded.
    pub precision: Precision,
}

impl ModelSpec {
    /// `geosam_nano`, the small SAM 2 that is compiled into `geosam-models`, with its defaults and without a fingerprint.
    ///
    /// ```
    /// use geosam_core::ModelSpec;
    ///
    /// let nano = ModelSpec::nano();
    /// assert_eq!((nano.model_id.as_str(), nano.image_size), ("geosam_nano", 256));
    /// ```
    #[must_use]
    pub fn nano() -> Self {
        Self {
            model_id: NANO.model_id.to_string(),
            model_type: NANO.model_type,
            checkpoint_path: PathBuf::from(NANO.filename),
            image_size: NANO.image_size,
            fingerprint: None,
            preprocess: Preprocess::default(),
            precision: Precision::default(),
        }
    }

    /// Bytes of the features it makes of a chip; a model that is not in the registry is taken for one of its family.
    #[must_use]
    pub fn feature_bytes(&self) -> usize {
        let channels = ModelDefinition::by_id(&self.model_id).map_or(CHANNELS, |definition| definition.channels);
        self.model_type.feature_bytes_of(self.image_size, channels)
    }

    /// The checkpoint path that feature files and manifests record: the real file's folder, absolute, with the name
    /// under which Python geosam and the QGIS plugin know these weights.
    #[must_use]
    pub fn reference_checkpoint_path(&self) -> PathBuf {
        let absolute = std::path::absolute(&self.checkpoint_path).unwrap_or_else(|_| self.checkpoint_path.clone());
        match ModelDefinition::by_id(&self.model_id) {
            Ok(definition) => absolute.with_file_name(definition.filename),
            Err(_) => absolute,
        }
    }
}
