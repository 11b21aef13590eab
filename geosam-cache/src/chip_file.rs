//! One chip's features on disk.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use geosam_core::{EncodedImageFeatures, Error, FeaturePrecision, Result};
use sha2::{Digest, Sha256};

/// Extension of chip files.
pub(crate) const EXTENSION: &str = "pt";

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Write a chip file, whole or not at all.
///
/// # Errors
/// [`Error::Io`]; then nothing new is left.
pub(crate) fn write(path: &Path, features: &EncodedImageFeatures, precision: FeaturePrecision) -> Result<Written> {
    features.save_pt(path, precision)?;
    let bytes = std::fs::metadata(path).map_err(|source| Error::io("read", path, source))?.len();
    Ok(Written { bytes, sha256: sha256(path)? })
}

/// SHA-256 of a file in hexadecimal.
///
/// # Errors
/// [`Error::Io`]
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let hash = || -> std::io::Result<Sha256> {
        let mut file = BufReader::new(File::open(path)?);
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hash),
                n => hash.update(&buffer[..n]),
            }
        }
    };
    let digest = hash().map_err(|source| Error::io("read", path, source))?.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The element type as NumPy and PyTorch name it.
pub(crate) const fn dtype(precision: FeaturePrecision) -> &'static str {
    match precision {
        FeaturePrecision::F32 => "float32",
        FeaturePrecision::F16 => "float16",
    }
}
