//! Checkpoint files with random weights.

mod insisted;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use geosam_core::{ModelType, Result};

use crate::checkpoint::{RandomWeights, add_class_row, write_checkpoint, write_checkpoint_below_model};
use crate::load::ModelOptions;
use crate::segmenter::{Sam, SamConfig};
use crate::weights::TensorSource;

/// Write the seeded random weights of [`Sam::random`] to a checkpoint in the official layout, which
/// [`load_model`](crate::load_model) opens. For tests and demonstrations.
///
/// In the sizes of the registry PyTorch and the Python systems open them as well: where those insist on parts that
/// nothing here runs (MobileSAM's classifier, SAM 2's memory of a video), the file has them. SAM 3's has what answers
/// clicks and no detector.
///
/// # Errors
/// As [`Sam::random`]; [`geosam_core::Error::Io`] if the file cannot be written.
pub fn write_random_checkpoint(path: &Path, config: &SamConfig, seed: u64) -> Result<()> {
    let weights = RandomWeights::new(seed);
    let recorder = Recorder { weights, tensors: RefCell::default() };
    Sam::unpublished(&recorder, config, "random", &format!("seed{seed}"), &ModelOptions::default())?;
    let mut tensors = recorder.tensors.into_inner();
    tensors.extend(insisted::tensors(config).map(|(name, shape)| {
        let values = weights.values(&name, &shape);
        (name, shape, values)
    }));
    match config.model_type() {
        ModelType::Sam | ModelType::Sam3 => write_checkpoint(path, tensors),
        ModelType::Sam2 => write_checkpoint_below_model(path, tensors),
    }
}

/// Name, shape and values.
type Tensor = (String, Vec<usize>, Vec<f32>);

/// Random weights, and which of them a model asked for.
#[derive(Debug)]
struct Recorder {
    weights: RandomWeights,
    tensors: RefCell<Vec<Tensor>>,
}

impl TensorSource for Recorder {
    fn path(&self) -> PathBuf {
        self.weights.path()
    }

    fn names(&self) -> Vec<String> {
        self.weights.names()
    }

    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        self.weights.shape(name, wanted)
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values = self.weights.read(name, shape)?;
        let (mut stored_shape, mut stored) = (shape.to_vec(), values.clone());
        let class_row = |width| self.weights.values(&format!("{name}.class"), &[width]);
        add_class_row(name, &mut stored_shape, &mut stored, class_row);
        self.tensors.borrow_mut().push((name.to_string(), stored_shape, stored));
        Ok(values)
    }
}
