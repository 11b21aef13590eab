//! The header of safetensors files: names, types, shapes and places of tensors as JSON.

use std::collections::BTreeMap;
#[cfg(feature = "nano")]
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "nano")]
use ::safetensors::SafeTensors;
#[cfg(feature = "nano")]
use geosam_core::Error;
use geosam_core::Result;
use geosam_core::torch_file::{TensorDtype, TensorFile, TensorRef};
use serde_json::Value;

use super::MODEL_ID;
use super::container::{Container, Listing};

/// Bytes that tell the format: the header's length, then its first character.
pub(super) const START_BYTES: usize = 9;
/// Key of what a file says beside its tensors.
const METADATA: &str = "__metadata__";
/// The format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;

pub(super) fn is_start(start: &[u8; START_BYTES]) -> bool {
    start[8] == b'{' && header_length(start) <= MAX_HEADER_BYTES
}

fn header_length(start: &[u8; START_BYTES]) -> u64 {
    let mut length = [0; 8];
    length.copy_from_slice(&start[..8]);
    u64::from_le_bytes(length)
}

/// The tensors that a file lists; none is read.
pub(super) fn list(file: TensorFile) -> Result<Listing> {
    let file = Arc::new(file);
    let mut start = [0; START_BYTES];
    file.read_at(&mut start, 0)?;
    let length = header_length(&start);
    let header = file.bytes_at(8, length as usize)?;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&header)
        .map_err(|e| file.invalid("a safetensors header", format!("malformed JSON ({e})")))?;

    let mut listing = Listing::of_container(Container::Safetensors);
    let said = header.get(METADATA).and_then(|metadata| metadata.get(MODEL_ID)?.as_str());
    listing.model_id = said.map(str::to_string);
    for (name, entry) in header.iter().filter(|(name, _)| *name != METADATA) {
        let Some(Entry { dtype, shape, start, end }) = Entry::parse(entry) else {
            return Err(file.invalid(format!("dtype, shape and data_offsets of tensor {name}"), entry.to_string()));
        };
        let Some(known) = dtype_of(dtype) else {
            listing.unreadable.insert(name.clone(), dtype.to_string());
            continue;
        };
        let size = shape.iter().try_fold(known.size() as u64, |n, side| n.checked_mul(*side as u64));
        if size.is_none() || end.checked_sub(start) != size {
            return Err(file.invalid(
                format!("bytes for a {dtype} tensor {name} of shape {shape:?}"),
                format!("offsets {start} to {end}"),
            ));
        }
        let base = 8 + length;
        let Some(end) = end.checked_add(base).filter(|end| *end <= file.size_in_bytes()) else {
            return Err(file.invalid(
                format!("tensor {name} up to position {}", u128::from(base) + u128::from(end)),
                format!("a truncated file of {} bytes", file.size_in_bytes()),
            ));
        };
        listing.tensors.insert(name.clone(), TensorRef::in_file(name.clone(), known, shape, &file, base + start..end));
    }
    Ok(listing)
}

struct Entry<'a> {
    dtype: &'a str,
    shape: Vec<usize>,
    start: u64,
    end: u64,
}

impl<'a> Entry<'a> {
    fn parse(entry: &'a Value) -> Option<Self> {
        let dtype = entry.get("dtype")?.as_str()?;
        let shape = entry.get("shape")?.as_array()?;
        let shape = shape.iter().map(|side| side.as_u64()?.try_into().ok()).collect::<Option<_>>()?;
        let [start, end] = &entry.get("data_offsets")?.as_array()?[..] else { return None };
        Some(Self { dtype, shape, start: start.as_u64()?, end: end.as_u64()? })
    }
}

/// The tensors of a file that is part of the program.
#[cfg(feature = "nano")]
pub(super) fn of_program(contents: &[u8], path: &Path) -> Result<Listing> {
    let invalid = |found: String| Error::invalid_file(path, "safetensors", "whole tensors", found);
    let file = SafeTensors::deserialize(contents).map_err(|error| invalid(error.to_string()))?;
    let mut listing = Listing::of_container(Container::Safetensors);
    for (name, tensor) in file.iter() {
        let dtype =
            dtype_of(&format!("{:?}", tensor.dtype())).ok_or_else(|| invalid(format!("{:?}", tensor.dtype())))?;
        listing.tensors.insert(name.to_string(), TensorRef::in_memory(dtype, tensor.shape(), tensor.data().to_vec())?);
    }
    Ok(listing)
}

/// The type that safetensors calls by this name; `None` for those smaller than a byte.
fn dtype_of(name: &str) -> Option<TensorDtype> {
    Some(match name {
        "F64" => TensorDtype::F64,
        "F32" => TensorDtype::F32,
        "F16" => TensorDtype::F16,
        "BF16" => TensorDtype::BF16,
        "I64" => TensorDtype::I64,
        "I32" => TensorDtype::I32,
        "I16" => TensorDtype::I16,
        "I8" => TensorDtype::I8,
        "U64" => TensorDtype::U64,
        "U32" => TensorDtype::U32,
        "U16" => TensorDtype::U16,
        "U8" => TensorDtype::U8,
        "BOOL" => TensorDtype::Bool,
        "C64" => TensorDtype::Complex64,
        "F8_E4M3" => TensorDtype::Float8E4M3Fn,
        "F8_E4M3FNUZ" => TensorDtype::Float8E4M3Fnuz,
        "F8_E5M2" => TensorDtype::Float8E5M2,
        "F8_E5M2FNUZ" => TensorDtype::Float8E5M2Fnuz,
        "F8_E8M0" => TensorDtype::Float8E8M0Fnu,
        _ => return None,
    })
}
