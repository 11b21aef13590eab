//! What a PyTorch file holds: a tree of plain values with tensors as leaves.

use super::tensor::TensorRef;

/// One value of a PyTorch file.
#[derive(Clone, Debug)]
pub enum Value {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string; also `torch.device` and dtype objects, by their names.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list or set.
    List(Vec<Value>),
    /// A tuple or `torch.Size`.
    Tuple(Vec<Value>),
    /// A dictionary, in its order.
    Dict(Vec<(Value, Value)>),
    /// A tensor or parameter.
    Tensor(TensorRef),
    /// An object that is not rebuilt: the name of its class, e.g. `argparse.Namespace`.
    Opaque(String),
}

impl Value {
    /// A dictionary with string keys.
    pub fn dict<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Dict(entries.into_iter().map(|(key, value)| (Self::Str(key.into()), value)).collect())
    }

    /// The value at a dotted path: dictionary keys, which may themselves contain dots, and list positions.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        let below = |key: &str, value| {
            let rest = path.strip_prefix(key)?;
            if rest.is_empty() { Some(value) } else { Self::get(value, rest.strip_prefix('.')?) }
        };
        match self {
            Self::Dict(entries) => entries.iter().rev().find_map(|(key, value)| below(&key.path_segment()?, value)),
            Self::List(items) | Self::Tuple(items) => {
                let position = path.split('.').next()?;
                below(position, items.get(position.parse::<usize>().ok()?)?)
            }
            _ => None,
        }
    }

    /// All tensors, each of which knows its dotted path, in the file's order.
    #[must_use]
    pub fn tensors(&self) -> Vec<&TensorRef> {
        let mut tensors = Vec::new();
        self.collect_tensors(&mut tensors);
        tensors
    }

    fn collect_tensors<'a>(&'a self, tensors: &mut Vec<&'a TensorRef>) {
        match self {
            Self::Tensor(tensor) => tensors.push(tensor),
            Self::List(items) | Self::Tuple(items) => items.iter().for_each(|item| item.collect_tensors(tensors)),
            Self::Dict(entries) => entries.iter().for_each(|(_, value)| value.collect_tensors(tensors)),
            _ => {}
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The tensor, if it is one.
    #[must_use]
    pub fn as_tensor(&self) -> Option<&TensorRef> {
        if let Self::Tensor(tensor) = self { Some(tensor) } else { None }
    }

    /// Key-value pairs, if it is a dictionary.
    #[must_use]
    pub fn as_dict(&self) -> Option<&[(Value, Value)]> {
        if let Self::Dict(entries) = self { Some(entries) } else { None }
    }

    /// Elements, if it is a list or a tuple.
    #[must_use]
    pub fn as_sequence(&self) -> Option<&[Value]> {
        if let Self::List(items) | Self::Tuple(items) = self { Some(items) } else { None }
    }

    /// What messages call the value.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::None => "None".to_string(),
            Self::Bool(_) => "a bool".to_string(),
            Self::Int(_) => "an int".to_string(),
            Self::Float(_) => "a float".to_string(),
            Self::Str(_) => "a string".to_string(),
            Self::Bytes(_) => "bytes".to_string(),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Tuple(items) => format!("a tuple of {}", items.len()),
            Self::Dict(entries) => format!("a dict of {}", entries.len()),
            Self::Tensor(tensor) => format!("a {} tensor of shape {:?}", tensor.dtype(), tensor.shape()),
            Self::Opaque(name) => format!("an object of class {name}"),
        }
    }

    /// The part of a dotted path that a dictionary key makes.
    pub(super) fn path_segment(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Str(text) => Some(text.as_str().into()),
            Self::Int(number) => Some(number.to_string().into()),
            Self::Bool(flag) => Some(flag.to_string().into()),
            _ => None,
        }
    }
}
