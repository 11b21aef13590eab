//! The files that checkpoints come in, and the tensors they list.

use std::collections::BTreeMap;
use std::path::Path;

use geosam_core::Result;
use geosam_core::torch_file::{TensorFile, TensorRef, TorchFile, Value};

use super::safetensors;

/// Keys below which training programs put the weights.
const WRAPPERS: [&str; 4] = ["model", "state_dict", "model_state_dict", "ema"];

/// Kind of a checkpoint file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// `torch.save`, either form.
    PyTorch,
    /// safetensors.
    Safetensors,
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PyTorch => "PyTorch",
            Self::Safetensors => "safetensors",
        })
    }
}

/// What a checkpoint file lists, under the names it uses.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) container: Container,
    pub(super) tensors: BTreeMap<String, TensorRef>,
    /// Tensors of kinds that cannot be read, with the kind: sparse, quantized, sub-byte.
    pub(super) unreadable: BTreeMap<String, String>,
    /// What the file says it is, see [`MODEL_ID`](super::MODEL_ID).
    pub(super) model_id: Option<String>,
}

impl Listing {
    /// Of no tensors.
    pub(super) fn of_container(container: Container) -> Self {
        Self { container, tensors: BTreeMap::new(), unreadable: BTreeMap::new(), model_id: None }
    }

    /// Opens a file of either kind, told apart by content.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = TensorFile::open(path, "SAM checkpoint")?;
        let mut start = [0; safetensors::START_BYTES];
        if file.size_in_bytes() >= start.len() as u64 {
            file.read_at(&mut start, 0)?;
        }
        if safetensors::is_start(&start) { safetensors::list(file) } else { Self::of_torch(&TorchFile::open(path)?) }
    }

    fn of_torch(file: &TorchFile) -> Result<Self> {
        let mut listing = Self::of_container(Container::PyTorch);
        for (key, value) in state_dict(file)? {
            match (key, value) {
                (Value::Str(name), Value::Tensor(tensor)) => {
                    listing.tensors.insert(name.clone(), tensor.clone());
                }
                (Value::Str(name), Value::Opaque(class)) => {
                    listing.unreadable.insert(name.clone(), class.clone());
                }
                _ => {}
            }
        }
        Ok(listing)
    }
}

/// The dictionary that holds the weights: the file's own, or one below a wrapper's key.
fn state_dict(file: &TorchFile) -> Result<&[(Value, Value)]> {
    let wrapped = || WRAPPERS.iter().filter_map(|key| file.root().get(key));
    let has_tensors = |entries: &[(Value, Value)]| entries.iter().any(|(_, value)| value.as_tensor().is_some());
    let candidates = wrapped().chain([file.root()]);
    if let Some(entries) = candidates.filter_map(Value::as_dict).find(|entries| has_tensors(entries)) {
        return Ok(entries);
    }
    let class = wrapped().chain([file.root()]).find_map(|value| match value {
        Value::Opaque(class) => Some(class),
        _ => None,
    });
    Err(file.invalid(
        "a state dict of tensors, alone or under the key model",
        match class {
            Some(class) => format!("a pickled object of class {class}; save its state_dict() instead"),
            None => format!("{} without tensors", file.root().kind()),
        },
    ))
}
