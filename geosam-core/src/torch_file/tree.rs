//! From the nodes of a pickle, which may share each other, to a tree of values.

use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::ops::Range;
use std::sync::Arc;

use super::read_at::TensorFile;
use super::tensor::{Storage, TensorRef};
use super::unpickle::{Fault, Id, Node, Pickle};
use super::value::Value;

/// Deepest nesting; also what ends a value that contains itself.
const MAX_DEPTH: usize = 200;
/// Bytes of text that count as one value.
const TEXT_UNIT: usize = 16;

/// The tree below the pickle's root, its tensors bound to their bytes and named by their dotted paths.
pub(super) fn build(
    pickle: Pickle,
    storages: &HashMap<String, Range<u64>>,
    file: &Arc<TensorFile>,
) -> Result<Value, Fault> {
    let root = pickle.root;
    Builder { pickle, storages, file, path: String::new() }.value(root, MAX_DEPTH)
}

struct Builder<'a> {
    pickle: Pickle,
    storages: &'a HashMap<String, Range<u64>>,
    file: &'a Arc<TensorFile>,
    /// Dotted path of the value that is being built.
    path: String,
}

impl Builder<'_> {
    fn value(&mut self, id: Id, depth: usize) -> Result<Value, Fault> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Fault::new(format!("at most {MAX_DEPTH} nested values"), "more"));
        };
        self.pickle.charge(1)?;
        let text_size = match self.pickle.node(id) {
            Node::Str(text) | Node::Opaque(text) | Node::Global(text) => text.len(),
            Node::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        self.pickle.charge(text_size / TEXT_UNIT)?;
        Ok(match self.pickle.node(id) {
            Node::None => Value::None,
            Node::Bool(flag) => Value::Bool(*flag),
            Node::Int(number) => Value::Int(*number),
            Node::BigInt(_) => Value::Opaque("int".to_string()),
            Node::Float(number) => Value::Float(*number),
            Node::Str(text) => Value::Str(text.clone()),
            Node::Bytes(bytes) => Value::Bytes(bytes.clone()),
            Node::Dtype(dtype) => Value::Str(dtype.name().to_string()),
            Node::StorageClass(_) | Node::Storage(_) => Value::Opaque("torch.Storage".to_string()),
            Node::NumpyDtype(_) => Value::Opaque("numpy.dtype".to_string()),
            Node::Global(name) | Node::Opaque(name) => Value::Opaque(name.clone()),
            Node::List(_) => Value::List(self.items(id, depth)?),
            Node::Tuple(_) => Value::Tuple(self.items(id, depth)?),
            Node::Dict(_) => Value::Dict(self.entries(id, depth)?),
            Node::Tensor(_) => Value::Tensor(self.tensor(id)?),
        })
    }

    fn items(&mut self, id: Id, depth: usize) -> Result<Vec<Value>, Fault> {
        let count = self.pickle.items(id)?.len();
        let mut values = Vec::new();
        for position in 0..count {
            let item = self.pickle.items(id)?[position];
            values.push(self.value_below(position, item, depth)?);
        }
        Ok(values)
    }

    fn entries(&mut self, id: Id, depth: usize) -> Result<Vec<(Value, Value)>, Fault> {
        let mut values = Vec::new();
        for position in 0.. {
            let Node::Dict(entries) = self.pickle.node(id) else { break };
            let Some((key, value)) = entries.get(position).copied() else { break };
            let key = self.value(key, depth)?;
            let value = self.value_below(key.path_segment().unwrap_or_default(), value, depth)?;
            values.push((key, value));
        }
        Ok(values)
    }

    /// A value one segment further down the path.
    fn value_below(&mut self, segment: impl Display, id: Id, depth: usize) -> Result<Value, Fault> {
        let length = self.path.len();
        let dot = if length == 0 { "" } else { "." };
        // Writing to a string cannot fail.
        let _ = write!(self.path, "{dot}{segment}");
        let value = self.value(id, depth);
        self.path.truncate(length);
        value
    }

    fn tensor(&mut self, id: Id) -> Result<TensorRef, Fault> {
        self.pickle.charge(self.path.len() / TEXT_UNIT)?;
        let Node::Tensor(node) = self.pickle.node(id) else { return Err(Fault::new("a tensor", "another value")) };
        let node = node.clone();
        let bytes = self
            .storages
            .get(&node.key)
            .ok_or_else(|| Fault::new(format!("storage {} of tensor {}", node.key, self.path), "a file without it"))?;
        let storage = Storage::File { file: self.file.clone(), bytes: bytes.clone() };
        Ok(TensorRef::strided(node.dtype, node.shape, node.stride, node.offset, storage).named(self.path.clone()))
    }
}
