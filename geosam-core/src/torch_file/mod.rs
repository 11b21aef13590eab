//! PyTorch files: what `torch.save` writes and `torch.load` reads.
//!
//! [`TorchFile`] reads the zip form and the form before PyTorch 1.6. Opening reads the structure alone; a tensor's
//! bytes are read when they are asked for. Nothing in a file is executed: tensors and plain values are rebuilt here,
//! instances of other classes become [`Value::Opaque`], and a call of any other function is an error that names it.
//!
//! [`write_torch_file`] writes the zip form, so that `torch.load` reads it with `weights_only=True` and `mmap=True`.
//! Equal values give equal bytes.
//!
//! ```
//! use geosam_core::torch_file::{TensorRef, TorchFile, Value, write_torch_file};
//!
//! let path = std::env::temp_dir().join(format!("geosam-doc-{}.pt", std::process::id()));
//! let weight = TensorRef::from_f32(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
//! let model = Value::dict([("layer.weight", Value::Tensor(weight))]);
//! write_torch_file(&path, &Value::dict([("model", model), ("epoch", Value::Int(7))]))?;
//!
//! let file = TorchFile::open(&path)?;
//! assert_eq!(file.root().get("epoch").and_then(Value::as_int), Some(7));
//! let weight = file.tensor("model.layer.weight")?;
//! assert_eq!(weight.shape(), [2, 3]);
//! assert_eq!(weight.read_f32()?[5], 5.0);
//! # std::fs::remove_file(path).unwrap();
//! # Ok::<(), geosam_core::Error>(())
//! ```

mod archive;
mod dtype;
mod globals;
mod legacy;
mod pickle_writer;
mod read_at;
mod tensor;
mod tree;
mod unpickle;
mod value;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use dtype::TensorDtype;
pub use read_at::TensorFile;
pub use tensor::TensorRef;
pub use value::Value;
pub use writer::{write_torch, write_torch_file};

use self::archive::Archive;
use crate::error::{Error, Result};

/// What messages call these files.
const FORMAT: &str = "PyTorch file";
/// First bytes of a zip archive and of a pickle.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
const PICKLE_MAGIC: u8 = 0x80;

/// An open PyTorch file.
#[derive(Debug)]
pub struct TorchFile {
    file: Arc<TensorFile>,
    root: Value,
}

impl TorchFile {
    /// Opens a file of `torch.save` and reads its structure, but no tensor.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::InvalidFile`] if it is truncated, malformed, big-endian, of
    /// another kind (TorchScript included), or calls a function that tensors do not need.
    pub fn open(path: &Path) -> Result<Self> {
        let file = Arc::new(TensorFile::open(path, FORMAT)?);
        let mut start = [0; 64];
        let known = file.size_in_bytes().min(start.len() as u64) as usize;
        file.read_at(&mut start[..known], 0)?;
        let start = &start[..known];

        let (pickle, storages) = if start.starts_with(ZIP_MAGIC) {
            let Archive { pickle, storages } = Archive::read(&file)?;
            (archive::pickle(&pickle).map_err(|f| file.invalid(f.expected, f.found))?, storages)
        } else if start.first() == Some(&PICKLE_MAGIC) {
            legacy::read(&file)?
        } else {
            return Err(file.invalid("a zip archive or a pickle", describe_start(start)));
        };
        let root = tree::build(pickle, &storages, &file).map_err(|f| file.invalid(f.expected, f.found))?;
        Ok(Self { file, root })
    }

    /// The file's path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Everything in the file.
    #[must_use]
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The tensor at a dotted path, e.g. `model.image_encoder.pos_embed` or `features.high_res_feats.0`.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if there is no tensor at this path.
    pub fn tensor(&self, path: &str) -> Result<&TensorRef> {
        match self.root.get(path) {
            Some(Value::Tensor(tensor)) => Ok(tensor),
            Some(other) => Err(self.invalid(format!("a tensor {path}"), other.kind())),
            None => Err(self.invalid(format!("a tensor {path}"), self.root.kind())),
        }
    }

    /// An [`Error::InvalidFile`] about this file.
    #[must_use]
    pub fn invalid(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        self.file.invalid(expected, found)
    }
}

/// What a file that is no PyTorch file starts with, in words where the kind is well known.
fn describe_start(start: &[u8]) -> String {
    let text = String::from_utf8_lossy(start).trim_start().to_lowercase();
    if start.is_empty() {
        "an empty file".to_string()
    } else if text.starts_with("version https://git-lfs") {
        "a Git LFS pointer; run git lfs pull".to_string()
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") {
        "a web page; download the file itself".to_string()
    } else if start.get(8) == Some(&b'{') {
        "what seems to be a safetensors file".to_string()
    } else {
        let bytes: Vec<_> = start.iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("a file that starts with the bytes {}", bytes.join(" "))
    }
}
