//! From a checkpoint file to a model.

use std::path::Path;

use geosam_core::{ModelSpec, Preprocess, Result};

use crate::checkpoint::Checkpoint;
use crate::device::DeviceChoice;
use crate::segmenter::Sam;

/// How a model is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelOptions {
    /// Where it runs (default: [`DeviceChoice::Auto`]).
    pub device: DeviceChoice,
    /// How chips are prepared (default: [`Preprocess::Standard`]). Any features of the same weights can be queried,
    /// however their chips were prepared.
    pub preprocess: Preprocess,
}

/// Loads a model from a PyTorch or safetensors checkpoint, whatever the file is called: the names and shapes of its
/// tensors say which model it is. Half-precision weights are computed with in single precision.
///
/// # Errors
/// [`Error::Io`](geosam_core::Error::Io) or [`Error::InvalidFile`](geosam_core::Error::InvalidFile) if the file cannot be
/// read or is no SAM; [`Error::CheckpointMismatch`](geosam_core::Error::CheckpointMismatch) if tensors are missing,
/// misshapen or superfluous, each by name; [`Error::Unsupported`](geosam_core::Error::Unsupported) for an architecture
/// that was never published, or a file of SAM 3 without the part that answers clicks.
///
/// # Examples
/// ```no_run
/// use geosam_models::{ModelOptions, load_model};
///
/// let model = load_model("sam_vit_b_01ec64.pth", &ModelOptions::default())?;
/// # Ok::<(), geosam_core::Error>(())
/// ```
pub fn load_model(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Sam> {
    let checkpoint = Checkpoint::open(path.as_ref())?;
    let recognised = checkpoint.recognised();
    let config = &recognised.config;
    let spec = ModelSpec {
        model_id: recognised.model_id.clone(),
        model_type: config.model_type(),
        checkpoint_path: path.as_ref().to_path_buf(),
        image_size: config.image_size(),
        fingerprint: Some(checkpoint.fingerprint()?),
        preprocess: options.preprocess,
    };
    Sam::load(&checkpoint, config, spec, &options.device.device())
}
