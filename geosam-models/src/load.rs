//! From a checkpoint file to a model.

use std::path::Path;

use geosam_core::{ModelSpec, Precision, Preprocess, Result};

use crate::checkpoint::Checkpoint;
use crate::device::DeviceChoice;
use crate::segmenter::Sam;
use crate::weights::TensorSource;

/// How a model is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelOptions {
    /// Where it runs (default: [`DeviceChoice::Auto`]).
    pub device: DeviceChoice,
    /// How chips are prepared (default: [`Preprocess::Standard`]). Any features of the same weights can be queried,
    /// however their chips were prepared.
    pub preprocess: Preprocess,
    /// How exactly chips are encoded (default: [`Precision::F32`]). Prompts are answered in f32. Not every device has every
    /// precision: [`Precision::F16`] is for GPUs.
    pub precision: Precision,
}

/// Loads a model from a PyTorch or safetensors checkpoint, whatever the file is called: the names and shapes of its
/// tensors say which model it is. Half-precision weights are computed with in single precision.
///
/// # Errors
/// [`Error::Io`](geosam_core::Error::Io) or [`Error::InvalidFile`](geosam_core::Error::InvalidFile) if the file cannot be
/// read or is no SAM; [`Error::CheckpointMismatch`](geosam_core::Error::CheckpointMismatch) if tensors are missing,
/// misshapen or superfluous, each by name; [`Error::Unsupported`](geosam_core::Error::Unsupported) for an architecture
/// that was never published, a file of SAM 3 without the part that answers clicks, or a device or precision that this build
/// or machine lacks, with the remedy.
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
    let spec = spec(&checkpoint, options)?;
    Sam::load(&checkpoint, &checkpoint.recognised().config, spec, options)
}

/// Loads `geosam_nano`, the small SAM 2 that is part of this crate (feature `nano`, on by default): chips of 256 × 256
/// pixels, every kind of prompt, and weights that were trained on drawn scenes by `examples/train_nano.rs`. It needs no file
/// and takes milliseconds; the published models know far more of the world.
///
/// # Errors
/// [`Error::Unsupported`](geosam_core::Error::Unsupported) for a device or precision that this build or machine lacks.
///
/// # Examples
/// ```
/// use geosam_core::Segmenter;
/// use geosam_models::{ModelOptions, load_nano};
///
/// let model = load_nano(&ModelOptions::default())?;
/// assert_eq!((model.spec().model_id.as_str(), model.spec().image_size), ("geosam_nano", 256));
/// # Ok::<(), geosam_core::Error>(())
/// ```
#[cfg(feature = "nano")]
pub fn load_nano(options: &ModelOptions) -> Result<Sam> {
    let checkpoint = Checkpoint::nano()?;
    let spec = spec(&checkpoint, options)?;
    Sam::load(&checkpoint, &checkpoint.recognised().config, spec, options)
}

fn spec(checkpoint: &Checkpoint, options: &ModelOptions) -> Result<ModelSpec> {
    let recognised = checkpoint.recognised();
    Ok(ModelSpec {
        model_id: recognised.model_id.clone(),
        model_type: recognised.config.model_type(),
        checkpoint_path: checkpoint.path(),
        image_size: recognised.config.image_size(),
        fingerprint: Some(checkpoint.fingerprint()?),
        preprocess: options.preprocess,
        precision: options.precision,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::RefCell;
    use std::path::PathBuf;

    use geosam_core::torch_file::{TensorDtype, TensorRef, TorchFile, Value, write_torch_file};

    use super::*;
    use crate::random_checkpoint::write_random_checkpoint;
    use crate::segmenter::SamConfig;

    /// A checkpoint, and which of its tensors were read.
    #[derive(Debug)]
    struct Watched<'a> {
        checkpoint: &'a Checkpoint,
        read: RefCell<Vec<String>>,
    }

    impl TensorSource for Watched<'_> {
        fn path(&self) -> PathBuf {
            self.checkpoint.path()
        }

        fn names(&self) -> Vec<String> {
            self.checkpoint.names()
        }

        fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
            self.checkpoint.shape(name, wanted)
        }

        fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
            self.read.borrow_mut().push(name.to_string());
            self.checkpoint.read(name, shape)
        }
    }

    #[test]
    fn what_the_network_needs_is_read_once_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (small, large) = (folder.path().join("small.pt"), folder.path().join("large.pt"));
        write_random_checkpoint(&small, &SamConfig::small_sam3(), 3).unwrap();
        let file = TorchFile::open(&small).unwrap();
        let mut tensors = file.root().as_dict().unwrap().to_vec();
        let needed = tensors.len();
        // The detector of the published file is as large as the rest, and the complex numbers are no weights.
        for (name, dtype) in [
            ("detector.backbone.language_backbone.encoder.token_embedding.weight", TensorDtype::F32),
            ("detector.transformer.decoder.query_embed.weight", TensorDtype::F16),
            ("detector.backbone.vision_backbone.trunk.blocks.0.attn.freqs_cis", TensorDtype::Complex64),
        ] {
            let decoy = TensorRef::in_memory(dtype, &[512, 512], vec![1; 512 * 512 * dtype.size()]).unwrap();
            tensors.push((Value::Str(name.to_string()), Value::Tensor(decoy)));
        }
        write_torch_file(&large, &Value::Dict(tensors)).unwrap();

        let checkpoint = Checkpoint::open(&large).unwrap();
        let watched = Watched { checkpoint: &checkpoint, read: RefCell::default() };
        let options = ModelOptions::default();
        let spec = spec(&checkpoint, &options).unwrap();
        Sam::load(&watched, &checkpoint.recognised().config, spec, &options).unwrap();
        let mut read = watched.read.into_inner();
        read.sort();
        assert_eq!((read.len(), checkpoint.recognised().tensors), (needed, needed + 3));
        assert_eq!(read, checkpoint.names());
    }
}
