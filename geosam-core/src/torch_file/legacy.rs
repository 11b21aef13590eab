//! The form of PyTorch before 1.6: five pickles (magic number, version, system, object, storage keys), then each
//! storage as its length and its bytes.

use std::collections::HashMap;
use std::io::{BufReader, Seek};
use std::ops::Range;

use super::read_at::TensorFile;
use super::unpickle::{Fault, Node, Pickle};
use crate::error::Result;

/// `0x1950a86a20f9469cfc6c`, little-endian.
const MAGIC_NUMBER: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL_VERSION: i64 = 1001;

/// The object's pickle and where the bytes of each storage are, by its key.
pub(super) fn read(file: &TensorFile) -> Result<(Pickle, HashMap<String, Range<u64>>)> {
    let mut input = BufReader::new(file.handle());
    let fault = |f: Fault| file.invalid(f.expected, f.found);

    let magic = Pickle::read(&mut input).map_err(fault)?;
    if !matches!(magic.node(magic.root), Node::BigInt(number) if *number == MAGIC_NUMBER) {
        return Err(file.invalid("the magic number of torch.save", "another pickle, perhaps of the pickle module"));
    }
    let version = Pickle::read(&mut input).map_err(fault)?;
    if !matches!(version.node(version.root), Node::Int(PROTOCOL_VERSION)) {
        let found = format!("{:?}", version.node(version.root));
        return Err(file.invalid(format!("version {PROTOCOL_VERSION} of the legacy form"), found));
    }
    let system = Pickle::read(&mut input).map_err(fault)?;
    if !is_little_endian(&system) {
        return Err(file.invalid("little-endian tensors", "big-endian ones; save the file again on a common machine"));
    }
    let object = Pickle::read(&mut input).map_err(fault)?;
    let keys = Pickle::read(&mut input).map_err(fault)?;

    let mut position = input.stream_position().map_err(|e| crate::Error::io("read", file.path(), e))?;
    let mut storages = HashMap::new();
    for id in keys.items(keys.root).map_err(fault)? {
        let Node::Str(key) = keys.node(*id) else { return Err(file.invalid("storage keys", "other values")) };
        let Some(element_size) = object.storages.get(key) else {
            return Err(file.invalid("storages that a tensor uses", format!("storage {key} beside them")));
        };
        let mut count = [0; 8];
        file.read_at(&mut count, position)?;
        let start = position + 8;
        let end = u64::from_le_bytes(count).checked_mul(*element_size as u64).and_then(|len| start.checked_add(len));
        match end {
            Some(end) if end <= file.size_in_bytes() => {
                storages.insert(key.clone(), start..end);
                position = end;
            }
            _ => {
                let found = format!("a truncated file of {} bytes", file.size_in_bytes());
                return Err(file.invalid(format!("storage {key} at position {start}"), found));
            }
        }
    }
    Ok((object, storages))
}

fn is_little_endian(system: &Pickle) -> bool {
    let Node::Dict(entries) = system.node(system.root) else { return false };
    entries.iter().any(|(key, value)| {
        matches!((system.node(*key), system.node(*value)), (Node::Str(key), Node::Bool(true)) if key == "little_endian")
    })
}
