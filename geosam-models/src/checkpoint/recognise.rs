//! What a checkpoint is, from the names and shapes of its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use geosam_core::torch_file::{TensorDtype, TensorRef};
use geosam_core::{Error, ModelDefinition, Result};

use super::container::Container;
use super::tensor_index::{TensorIndex, has};
use crate::sam::TinyVitConfig;
use crate::sam3::PerceptionEncoderConfig;
use crate::segmenter::{ImageEncoderConfig, SamConfig};

/// Whose tensor names a checkpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Those of the official releases, which ultralytics uses, too.
    Official,
    /// Those of the `transformers` library.
    HuggingFace,
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Official => "official",
            Self::HuggingFace => "Hugging Face",
        })
    }
}

/// What [`crate::recognise`] finds out about a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Identifier of the registry, e.g. `sam2.1_s`; for sizes that were never published one that names them.
    pub model_id: String,
    /// Name for people, e.g. `SAM 2.1 small`.
    pub label: String,
    /// The network; [`SamConfig::model_type`] is the family.
    pub config: SamConfig,
    /// Kind of the file.
    pub container: Container,
    /// Whose names the file uses.
    pub layout: Layout,
    /// Type of most of the values.
    pub dtype: TensorDtype,
    /// Number of tensors in the file, needed or not.
    pub tensors: usize,
}

impl std::fmt::Display for Recognised {
    /// For example `SAM ViT-B, official layout, 314 tensors, f32`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dtype = match self.dtype {
            TensorDtype::F64 => "f64",
            TensorDtype::F32 => "f32",
            TensorDtype::F16 => "f16",
            TensorDtype::BF16 => "bf16",
            other => other.name(),
        };
        write!(f, "{}, {} layout, {} tensors, {dtype}", self.label, self.layout, self.tensors)
    }
}

/// Families by a name (or the start of names) that no other family has, the first that is found. Of a SAM 3.1 the
/// trunk is that of SAM 3.
const MARKS: [(&str, Family, Layout); 11] = [
    ("image_encoder.trunk.blocks.0.", Family::Sam2, Layout::Official),
    ("image_encoder.patch_embed.seq.", Family::MobileSam, Layout::Official),
    ("image_encoder.blocks.0.attn.qkv.", Family::SamVit, Layout::Official),
    ("tracker.model.interactive_sam_mask_decoder.", Family::Sam31, Layout::Official),
    ("detector.backbone.vision_backbone.trunk.", Family::Sam3, Layout::Official),
    ("sam3_model.backbone.vision_backbone.trunk.", Family::Sam3, Layout::Official),
    ("vision_encoder.layers.0.attn.qkv.", Family::SamVit, Layout::HuggingFace),
    ("vision_encoder.backbone.blocks.0.", Family::Sam2, Layout::HuggingFace),
    ("detector_model.vision_encoder.backbone.", Family::Sam3, Layout::HuggingFace),
    ("vision_encoder.backbone.embeddings.", Family::Sam3, Layout::HuggingFace),
    ("vision_encoder.backbone.layers.0.", Family::Sam3, Layout::HuggingFace),
];

/// What decides on names and on what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    SamVit,
    MobileSam,
    /// And 2.1.
    Sam2,
    Sam3,
    Sam31,
}

/// The family and layout of tensors, under the names of the file.
pub(super) fn family(path: &Path, tensors: &BTreeMap<String, TensorRef>) -> Result<(Family, Layout)> {
    let found = MARKS.iter().find(|(mark, ..)| has(tensors, mark));
    found.map(|(_, family, layout)| (*family, *layout)).ok_or_else(|| {
        let names: Vec<_> = tensors.keys().take(4).map(String::as_str).collect();
        let found = format!("{} other tensors ({}, …)", tensors.len(), names.join(", "));
        Error::invalid_file(path, "SAM checkpoint", "the tensors of SAM, MobileSAM, SAM 2 or SAM 3", found)
    })
}

/// Identifier, name and network. `index` has official names.
pub(super) fn identify(path: &Path, family: Family, index: &TensorIndex<'_>) -> Result<(String, String, SamConfig)> {
    // Identifier; what to call a model that is not in the registry; its encoder.
    let (id, description, image_encoder) = match family {
        Family::SamVit => {
            let config = index.vit_config()?;
            let (width, depth) = (config.width, config.depth);
            let id = match (width, depth) {
                (768, 12) => "sam_b".to_string(),
                (1024, 24) => "sam_l".to_string(),
                (1280, 32) => "sam_h".to_string(),
                _ => format!("sam_vit_{width}x{depth}"),
            };
            (id, format!("SAM ViT of width {width} and depth {depth}"), ImageEncoderConfig::Vit(config))
        }
        Family::MobileSam => {
            let config = index.tiny_vit_config()?;
            let widths = config.widths.map(|width| width.to_string()).join("-");
            let published = config == TinyVitConfig::mobile();
            let id = if published { "mobile_sam".to_string() } else { format!("mobile_sam_{widths}") };
            (id, format!("MobileSAM of widths {widths}"), ImageEncoderConfig::Tiny(config))
        }
        Family::Sam2 => {
            let config = index.hiera_config()?;
            let (width, depth) = (config.width, config.depth());
            let version = if is_sam21(path, index) { "2.1" } else { "2" };
            let id = match (width, depth) {
                (96, 12) => format!("sam{version}_t"),
                (96, 16) => format!("sam{version}_s"),
                (112, 24) => format!("sam{version}_b"),
                (144, 48) => format!("sam{version}_l"),
                (32, 8) => "geosam_nano".to_string(),
                _ => format!("sam{version}_hiera_{width}x{depth}"),
            };
            let description = format!("SAM {version} of width {width} and depth {depth}");
            (id, description, ImageEncoderConfig::Hiera(config))
        }
        Family::Sam3 | Family::Sam31 => {
            if !index.has("tracker.sam_mask_decoder.transformer.") {
                return Err(detector_alone(path));
            }
            let config = index.perception_config()?;
            let (width, depth) = (config.width, config.depth);
            let (id, version) = if family == Family::Sam31 { ("sam3.1_multiplex", "3.1") } else { ("sam3", "3") };
            let published = config == PerceptionEncoderConfig::sam3();
            let id = if published { id.to_string() } else { format!("{id}_{width}x{depth}") };
            let description = format!("SAM {version} of width {width} and depth {depth}");
            (id, description, ImageEncoderConfig::Perception(config))
        }
    };
    let label = ModelDefinition::by_id(&id).map_or(description, |definition| definition.label.to_string());
    Ok((id, label, SamConfig { image_encoder }))
}

fn detector_alone(path: &Path) -> Error {
    let reason = "it lacks the tracker, which answers clicks and boxes; sam3.pt, sam3.1_multiplex.pt and the files of \
                  Hugging Face's Sam3VideoModel and Sam3TrackerModel have it";
    Error::Unsupported { what: format!("SAM 3's detector alone ({})", path.display()), reason: reason.to_string() }
}

/// SAM 2.1 has tensors for video that SAM 2 lacks. Files without any video tensors cannot be told apart by content;
/// there the name of the file or of its folder decides, as in `sam2.1-hiera-tiny/model.safetensors`.
fn is_sam21(path: &Path, index: &TensorIndex<'_>) -> bool {
    if index.has("no_obj_embed_spatial") || index.has("obj_ptr_tpos_proj.") {
        return true;
    }
    let named =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().contains("sam2.1"));
    !index.has("memory_encoder.") && (named(path) || path.parent().is_some_and(named))
}

/// The type of most of the values.
pub(super) fn prevailing_dtype(tensors: &BTreeMap<String, TensorRef>) -> TensorDtype {
    let mut counts = BTreeMap::<TensorDtype, usize>::new();
    for tensor in tensors.values() {
        let count = counts.entry(tensor.dtype()).or_default();
        *count = count.saturating_add(tensor.element_count().unwrap_or(usize::MAX));
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(TensorDtype::F32, |(dtype, _)| dtype)
}
