//! Writes the zip form of PyTorch files.

use std::io::{self, Cursor, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::pickle_writer::pickle;
use super::value::Value;
use crate::error::Result;
use crate::replace_file::replace_file;

/// Tensors start at multiples of this, so that a mapped file can be used in place.
const ALIGNMENT: u16 = 64;
/// Version of the archive, as `torch.save` writes it.
const VERSION: &[u8] = b"3\n";

/// Writes `value` to `path`, so that `torch.load` reads it. The file appears whole or not at all.
///
/// Tensors that share a storage are written separately, and each dense and row-major.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), also for a tree with [`Value::Opaque`] in it and for tensors of another file that
/// cannot be read.
pub fn write_torch_file(path: &Path, value: &Value) -> Result<()> {
    let folder = path.file_stem().map_or_else(|| "archive".into(), |stem| stem.to_string_lossy());
    replace_file(path, |file| write_torch(file, &folder, value))
}

/// Writes `value` as the zip archive of `torch.save`, its entries below `folder`. The archive is put together in memory
/// first.
///
/// # Errors
/// What `out` reports; an [`io::Error`] for a tree with [`Value::Opaque`] in it, and for tensors that cannot be read.
pub fn write_torch(out: &mut impl Write, folder: &str, value: &Value) -> io::Result<()> {
    let (pickle, tensors) = pickle(value)?;
    // In memory, because a `ZipWriter` whose output fails prints to standard error when it is dropped.
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut entry = |name: &str, bytes: &[u8]| -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(bytes.len() as u64 >= u64::from(u32::MAX))
            .with_alignment(ALIGNMENT);
        zip.start_file(format!("{folder}/{name}"), options)?;
        zip.write_all(bytes)
    };
    entry("data.pkl", &pickle)?;
    entry("byteorder", b"little")?;
    for (key, tensor) in tensors.iter().enumerate() {
        let bytes = tensor.bytes().map_err(io::Error::other)?;
        entry(&format!("data/{key}"), &bytes)?;
    }
    entry("version", VERSION)?;
    out.write_all(zip.finish()?.get_ref())
}
