//! Checkpoints of every container and layout give the same tensors under the same names, and say what they are.
//!
//! The files beside `goldens/checkpoint/make_checkpoint_goldens.py` were made by it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod containers;
mod families;
mod fingerprints;
mod hugging_face;
mod layouts;
mod misfits;
mod random;

use std::path::{Path, PathBuf};

use geosam_core::torch_file::{TorchFile, Value};
use geosam_models::{Checkpoint, write_checkpoint};

/// Name, shape and values.
type Tensor = (String, Vec<usize>, Vec<f32>);

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/checkpoint").join(name)
}

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(&golden(name)).unwrap()
}

/// A checkpoint of a few tensors that are zero: enough to be recognised.
fn sketch<N: AsRef<str>, S: AsRef<[usize]>>(folder: &Path, file: &str, tensors: &[(N, S)]) -> PathBuf {
    let path = folder.join(file);
    let zeros = |(name, shape): &(N, S)| {
        let shape = shape.as_ref().to_vec();
        let count = shape.iter().product();
        (name.as_ref().to_string(), shape, vec![0.0; count])
    };
    write_checkpoint(&path, tensors.iter().map(zeros)).unwrap();
    path
}

/// The tensors of a PyTorch file under its own names.
fn stored(path: &Path) -> Vec<Tensor> {
    let file = TorchFile::open(path).unwrap();
    let entries = file.root().get("model").unwrap_or(file.root()).as_dict().unwrap();
    let tensor = |(name, value): &(Value, Value)| {
        let (Value::Str(name), Value::Tensor(tensor)) = (name, value) else { panic!("no tensor: {name:?}") };
        (name.clone(), tensor.shape().to_vec(), tensor.read_f32().unwrap())
    };
    entries.iter().map(tensor).collect()
}
