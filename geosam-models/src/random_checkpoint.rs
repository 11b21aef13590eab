//! Checkpoint files with random weights.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use geosam_core::Result;

use crate::checkpoint::{RandomWeights, write_checkpoint};
use crate::load::ModelOptions;
use crate::segmenter::{Sam, SamConfig};
use crate::weights::TensorSource;

/// Write the seeded random weights of [`Sam::random`] to a checkpoint in the official layout, which
/// [`load_model`](crate::load_model), PyTorch and the Python systems open. For tests and demonstrations.
///
/// # Errors
/// As [`Sam::random`]; [`geosam_core::Error::Io`] if the file cannot be written.
pub fn write_random_checkpoint(path: &Path, config: &SamConfig, seed: u64) -> Result<()> {
    let recorder = Recorder { weights: RandomWeights::new(seed), tensors: RefCell::default() };
    Sam::random_from(&recorder, config, seed, &ModelOptions::default())?;
    write_checkpoint(path, recorder.tensors.into_inner())
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
        self.tensors.borrow_mut().push((name.to_string(), shape.to_vec(), values.clone()));
        Ok(values)
    }
}
