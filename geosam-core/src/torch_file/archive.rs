//! The zip form of PyTorch files: `data.pkl`, `data/<key>`, `version`, `byteorder`, below one folder.

use std::collections::HashMap;
use std::io::{BufReader, Cursor, Read};
use std::ops::Range;

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::read_at::TensorFile;
use super::unpickle::Fault;
use crate::error::{Error, Result};

/// Largest pickle: those of the largest models are below 1 MiB.
const MAX_PICKLE_BYTES: u64 = 256 << 20;
/// Fixed part of a zip entry's local header.
const LOCAL_HEADER_BYTES: usize = 30;

/// The entries of a PyTorch zip archive; of its tensors only the places are known.
pub(super) struct Archive {
    pub(super) pickle: Vec<u8>,
    /// Where the bytes of each storage are, by its key.
    pub(super) storages: HashMap<String, Range<u64>>,
}

impl Archive {
    pub(super) fn read(file: &TensorFile) -> Result<Self> {
        let malformed = |e: ZipError| file.invalid("a whole zip archive", format!("a truncated or damaged one ({e})"));
        let mut zip = ZipArchive::new(BufReader::new(file.handle())).map_err(malformed)?;

        let names: Vec<String> =
            zip.file_names().map(|n| n.map(Into::into)).collect::<Result<_, _>>().map_err(malformed)?;
        let folder = names.iter().find_map(|name| name.strip_suffix("data.pkl")).map(str::to_string);
        if names.iter().any(|name| name.ends_with("/constants.pkl") || name.contains("/code/")) {
            return Err(
                file.invalid("a file of torch.save", "a TorchScript archive; save the model's state_dict() instead")
            );
        }
        let Some(folder) = folder else {
            return Err(file.invalid("a zip archive with data.pkl", format!("one of {} other entries", names.len())));
        };

        let order = small_entry(&mut zip, &format!("{folder}byteorder")).map_err(malformed)?;
        if order.is_some_and(|order| order != b"little") {
            return Err(
                file.invalid("little-endian tensors", "big-endian ones; save the file again on a common machine")
            );
        }
        let pickle = small_entry(&mut zip, &format!("{folder}data.pkl")).map_err(malformed)?;
        let pickle = pickle.ok_or_else(|| file.invalid("data.pkl of at most 256 MiB", "a larger one"))?;

        let prefix = format!("{folder}data/");
        let mut storages = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            let Some(key) = name.strip_prefix(&prefix) else { continue };
            let entry = zip.by_index_data(index).map_err(malformed)?;
            if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
                return Err(file.invalid("stored entries, as torch.save writes them", format!("{name} compressed")));
            }
            let start = data_start(file, entry.header_start())?;
            let end = start.saturating_add(entry.size());
            if end > file.size_in_bytes() {
                let found = format!("{name} of {} bytes in a file of {}", entry.size(), file.size_in_bytes());
                return Err(file.invalid("entries within the file", found));
            }
            storages.insert(key.to_string(), start..end);
        }
        Ok(Self { pickle, storages })
    }
}

/// An entry's bytes, checked against their CRC; `None` if there is no such entry or it is too large.
fn small_entry(zip: &mut ZipArchive<BufReader<&std::fs::File>>, name: &str) -> Result<Option<Vec<u8>>, ZipError> {
    let mut entry = match zip.by_name(name) {
        Ok(entry) if entry.size() <= MAX_PICKLE_BYTES => entry,
        Ok(_) | Err(ZipError::FileNotFound) => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    entry.by_ref().take(MAX_PICKLE_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Where an entry's data starts: behind its local header, whose length the central directory does not tell.
fn data_start(file: &TensorFile, header_start: u64) -> Result<u64, Error> {
    let mut header = [0; LOCAL_HEADER_BYTES];
    file.read_at(&mut header, header_start)?;
    if header[..4] != *b"PK\x03\x04" {
        return Err(file.invalid(format!("a zip entry at position {header_start}"), "other bytes"));
    }
    let length = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    Ok(header_start + LOCAL_HEADER_BYTES as u64 + length(26) + length(28))
}

/// Reads the archive's pickle.
pub(super) fn pickle(bytes: &[u8]) -> Result<super::unpickle::Pickle, Fault> {
    super::unpickle::Pickle::read(&mut Cursor::new(bytes))
}
