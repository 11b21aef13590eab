//! Checkpoints: PyTorch and safetensors files under the tensor names of the official releases.
//!
//! Files are recognised by content, opened without reading their tensors, and read tensor by tensor.

mod container;
mod fingerprint;
mod hugging_face;
mod random;
mod recognise;
mod safetensors;
mod tensor_index;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use geosam_core::torch_file::TensorRef;
use geosam_core::{Error, Result};

pub use container::Container;
pub use random::RandomWeights;
pub use recognise::{Layout, Recognised};
pub use write::write_checkpoint;

use self::container::Listing;
use self::recognise::{Family, family, identify, prevailing_dtype};
use self::tensor_index::TensorIndex;
use crate::weights::TensorSource;

/// Says what a checkpoint is, by its tensors' names and shapes; no tensor is read.
///
/// # Errors
/// As [`Checkpoint::open`].
pub fn recognise(path: &Path) -> Result<Recognised> {
    Ok(Checkpoint::open(path)?.recognised)
}

/// An open checkpoint of a SAM, its tensors under official names and read one by one.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    recognised: Recognised,
    tensors: BTreeMap<String, TensorRef>,
    /// Tensors of kinds that cannot be read, with the kind.
    unreadable: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a PyTorch (`.pt`, `.pth`) or safetensors file, told apart by content, and recognises it.
    ///
    /// Hugging Face's names of SAM are translated; those of SAM 2 and 3 are kept as they are.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::InvalidFile`] if the file is truncated, malformed or executes code, or if its tensors
    /// are not those of a SAM.
    pub fn open(path: &Path) -> Result<Self> {
        let Listing { container, tensors, unreadable } = Listing::open(path)?;
        let (family, layout) = family(path, &tensors)?;
        let (count, dtype) = (tensors.len() + unreadable.len(), prevailing_dtype(&tensors));
        let (tensors, unreadable) = if (family, layout) == (Family::SamVit, Layout::HuggingFace) {
            (rename(tensors), rename(unreadable))
        } else {
            (tensors, unreadable)
        };
        let index = TensorIndex { path, tensors: &tensors };
        let (model_id, label, config) = identify(path, family, &index)?;
        let recognised = Recognised { model_id, label, config, container, layout, dtype, tensors: count };
        Ok(Self { path: path.to_path_buf(), recognised, tensors, unreadable })
    }

    /// What the checkpoint is.
    #[must_use]
    pub fn recognised(&self) -> &Recognised {
        &self.recognised
    }

    /// A tensor by its official name, not yet read.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorRef> {
        self.tensors.get(name)
    }

    /// A hash of the weights, in hexadecimal: the same for every container, layout and (where it holds the values
    /// exactly) dtype they come in. Large tensors are sampled, so it costs milliseconds, not a pass over the file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::InvalidFile`] if tensors cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        fingerprint::fingerprint(tensors.filter(|(name, tensor)| is_needed(name) && tensor.dtype().casts_to_f32()))
    }
}

impl TensorSource for Checkpoint {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// All tensors but those that no network has a use for: counters of batch norms, and MobileSAM's classifier.
    fn names(&self) -> Vec<String> {
        self.tensors.keys().filter(|name| is_needed(name)).cloned().collect()
    }

    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        match self.tensors.get(name) {
            Some(tensor) => Some(tensor.shape().to_vec()),
            // Reading it is what fails, and says why.
            None => self.unreadable.contains_key(name).then(|| wanted.to_vec()),
        }
    }

    fn read(&self, name: &str, _shape: &[usize]) -> Result<Vec<f32>> {
        match (self.tensors.get(name), self.unreadable.get(name)) {
            (Some(tensor), _) => tensor.read_f32(),
            (None, Some(kind)) => Err(Error::Unsupported {
                what: format!("tensor {name} of kind {kind}"),
                reason: "save the checkpoint with dense tensors of float32, float16 or bfloat16".to_string(),
            }),
            (None, None) => Err(Error::CheckpointMismatch {
                path: self.path.clone(),
                model: self.recognised.label.clone(),
                problems: vec![format!("{name} is missing")],
            }),
        }
    }
}

/// What published files hold besides the network that answers prompts on one image: counters of batch norms, MobileSAM's
/// classifier, the memory with which SAM 2 and 3 follow objects through a video, and SAM 3's detector.
fn is_needed(name: &str) -> bool {
    const BELOW: [&str; 15] = [
        "image_encoder.norm_head.",
        "image_encoder.head.",
        "memory_attention.",
        "memory_encoder.",
        "mask_downsample.",
        "maskmem_tpos_enc",
        "no_mem_pos_enc",
        "no_obj_ptr",
        "no_obj_embed_spatial",
        "obj_ptr_proj.",
        "obj_ptr_tpos_proj.",
        "sam_mask_decoder.pred_obj_score_head.",
        "detector.",
        "tracker.",
        "freqs_cis",
    ];
    const SAM3: [&str; 8] = [
        "detector.backbone.vision_backbone.trunk.",
        "detector.backbone.vision_backbone.sam2_convs.0.",
        "detector.backbone.vision_backbone.sam2_convs.1.",
        "detector.backbone.vision_backbone.sam2_convs.2.",
        "tracker.sam_prompt_encoder.",
        "tracker.sam_mask_decoder.",
        "tracker.no_mem_embed",
        "tracker.no_mem_embed",
    ];
    if name.ends_with(".num_batches_tracked") || name.ends_with(".freqs_cis") {
        return false;
    }
    if name.contains("pred_obj_score_head") {
        return false;
    }
    SAM3.iter().any(|s| name.starts_with(s)) || !BELOW.iter().any(|start| name.starts_with(start))
}

fn rename<T>(tensors: BTreeMap<String, T>) -> BTreeMap<String, T> {
    tensors.into_iter().map(|(name, tensor)| (hugging_face::official_name(&name), tensor)).collect()
}
