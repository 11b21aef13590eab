//! Checkpoints: PyTorch and safetensors files under the tensor names of the official releases.
//!
//! Files are recognised by content, opened without reading their tensors, and read tensor by tensor.

mod container;
mod fingerprint;
mod hugging_face;
mod official;
mod random;
mod recognise;
mod rename;
mod safetensors;
mod tensor_index;
mod translate;
mod unneeded;
mod view;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[cfg(feature = "nano")]
use geosam_core::ModelSpec;
use geosam_core::{Error, ModelDefinition, Result};

pub use container::Container;
pub(crate) use official::add_class_row;
pub use random::RandomWeights;
#[cfg(feature = "train")]
pub(crate) use random::SplitMix64;
pub use recognise::{Layout, Recognised};
pub use write::write_checkpoint;
pub(crate) use write::write_checkpoint_below_model;

use self::container::Listing;
use self::recognise::{Family, family, identify, prevailing_dtype};
use self::tensor_index::TensorIndex;
use self::translate::{official_name, translate};
use self::unneeded::is_unneeded;
use self::view::TensorView;
use crate::segmenter::{SamConfig, shapes_features};
use crate::weights::TensorSource;

/// Key of the metadata of safetensors files that we write, where the tensors alone do not tell one model of the registry from
/// another: those of SAM 2 and 2.1 that answer clicks are alike, as are those of SAM 3 and 3.1.
pub(crate) const MODEL_ID: &str = "geosam_model_id";

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
    family: Family,
    tensors: BTreeMap<String, TensorView>,
    /// Tensors of kinds that cannot be read, with the kind.
    unreadable: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a PyTorch (`.pt`, `.pth`) or safetensors file, told apart by content, and recognises it.
    ///
    /// Names are translated to those of the official releases: Hugging Face's, and those of SAM 3.1 to SAM 3's.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::InvalidFile`] if the file is truncated, malformed or executes code, or if its tensors
    /// are not those of a SAM; [`Error::Unsupported`] for an architecture that was never published, or a SAM 3 without
    /// the part that answers clicks.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(Listing::open(path)?, path)
    }

    /// `geosam_nano`, which is part of this crate.
    #[cfg(feature = "nano")]
    pub fn nano() -> Result<Self> {
        let path = ModelSpec::nano().checkpoint_path;
        Self::of(safetensors::of_program(include_bytes!("../../assets/geosam_nano.safetensors"), &path)?, &path)
    }

    fn of(Listing { container, tensors, unreadable, model_id: said }: Listing, path: &Path) -> Result<Self> {
        let (family, layout) = family(path, &tensors)?;
        let (count, dtype) = (tensors.len() + unreadable.len(), prevailing_dtype(&tensors));
        let tensors = translate(path, tensors, family, layout)?;
        let official = |(name, kind): (String, String)| (official_name(&name, family, layout), kind);
        let unreadable = unreadable.into_iter().map(official).collect();
        let index = TensorIndex { path, tensors: &tensors };
        let (mut model_id, mut label, config) = identify(path, family, &index)?;
        let is_alike = |id: &String| SamConfig::by_id(id).is_ok_and(|named| named == config);
        if let Some(said) = said.filter(is_alike) {
            label = ModelDefinition::by_id(&said)?.label.to_string();
            model_id = said;
        }
        let recognised = Recognised { model_id, label, config, container, layout, dtype, tensors: count };
        Ok(Self { path: path.to_path_buf(), recognised, family, tensors, unreadable })
    }

    /// What the checkpoint is.
    #[must_use]
    pub fn recognised(&self) -> &Recognised {
        &self.recognised
    }

    /// A hash of the weights that features depend on, in hexadecimal: the same for every container, layout and (where it
    /// holds the values exactly) dtype they come in, and whatever the prompt encoder and mask decoder are, so that a model
    /// whose decoder was tuned opens the feature folders of the one before. Large tensors are sampled, so it costs milliseconds,
    /// not a pass over the file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::InvalidFile`] if tensors cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        fingerprint::fingerprint(self.needed().filter(|(name, tensor)| shapes_features(name) && tensor.casts_to_f32()))
    }

    /// All tensors but those on the lists of what nobody here needs.
    fn needed(&self) -> impl Iterator<Item = (&str, &TensorView)> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        tensors.filter(|(name, _)| !is_unneeded(self.family, name))
    }
}

impl TensorSource for Checkpoint {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// All tensors but those that published files hold for other purposes: following objects through a video, finding
    /// what a text describes, classifying.
    fn names(&self) -> Vec<String> {
        self.needed().map(|(name, _)| name.to_string()).collect()
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        let stored: Vec<_> = self.tensors.get(name)?.stored_names().collect();
        // Wrappers and the prefixes of a whole class are no other name.
        (!stored.iter().all(|stored| stored.ends_with(name))).then(|| stored.join(", "))
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
