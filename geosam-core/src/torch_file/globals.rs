//! The functions and classes a PyTorch file may name, and what each of them means here.

use super::dtype::TensorDtype;
use super::unpickle::{Fault, Id, MAX_NAME_BYTES, Node, Pickle, StorageNode, TensorNode};

/// PyTorch itself stops at 64.
const MAX_DIMENSIONS: usize = 64;

/// What a global stands for.
pub(super) fn resolve(module: &str, name: &str) -> Node {
    if module == "torch"
        && let Some(dtype) = TensorDtype::from_name(name)
    {
        return Node::Dtype(dtype);
    }
    if matches!(module, "torch" | "torch.cuda" | "torch.storage") {
        if let Some(dtype) = TensorDtype::from_storage_class(name) {
            return Node::StorageClass(Some(dtype));
        }
        if matches!(name, "UntypedStorage" | "TypedStorage" | "_UntypedStorage" | "_TypedStorage") {
            return Node::StorageClass(None);
        }
    }
    Node::Global(format!("{module}.{name}"))
}

/// What a call of a global gives; a function that is not on the list refuses the file.
pub(super) fn call(pickle: &mut Pickle, callable: Id, arguments: Id) -> Result<Node, Fault> {
    let Node::Global(name) = pickle.node(callable) else {
        return Err(Fault::new("a call of a function", format!("a call of {:?}", pickle.node(callable))));
    };
    let name = name.clone();
    let given = pickle.items(arguments)?;
    let argument = |position: usize| {
        given.get(position).copied().ok_or_else(|| {
            Fault::new(format!("at least {} arguments for {name}", position + 1), format!("{}", given.len()))
        })
    };
    match name.as_str() {
        "collections.OrderedDict" | "collections.defaultdict" | "builtins.dict" | "__builtin__.dict" => {
            // An old OrderedDict comes with its pairs, a defaultdict with its factory.
            let pairs = given.first().and_then(|id| pickle.items(*id).ok()).unwrap_or_default();
            let entries = pairs.iter().filter_map(|pair| match pickle.items(*pair) {
                Ok([key, value]) => Some((*key, *value)),
                _ => None,
            });
            let entries: Vec<_> = entries.collect();
            pickle.charge(entries.len())?;
            Ok(Node::Dict(entries))
        }
        "builtins.set" | "__builtin__.set" | "builtins.frozenset" | "__builtin__.frozenset" => {
            let items = pickle.items(argument(0)?)?.to_vec();
            pickle.charge(items.len())?;
            Ok(Node::List(items))
        }
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => {
            tensor(pickle, [argument(0)?, argument(1)?, argument(2)?, argument(3)?], None)
        }
        "torch._utils._rebuild_tensor_v3" => {
            let dtype = argument(6)?;
            tensor(pickle, [argument(0)?, argument(1)?, argument(2)?, argument(3)?], Some(dtype))
        }
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
            match pickle.node(argument(0)?) {
                tensor @ (Node::Tensor(_) | Node::Opaque(_)) => Ok(tensor.clone()),
                other => Err(Fault::new("a tensor for a parameter", format!("{other:?}"))),
            }
        }
        // A tensor with Python attributes: (function, class, its arguments, attributes).
        "torch._tensor._rebuild_from_type_v2" => {
            let (function, arguments) = (argument(0)?, argument(2)?);
            match pickle.node(function) {
                Node::Global(name) if name.starts_with("torch._utils._rebuild_") => call(pickle, function, arguments),
                other => Err(refused(&format!("{other:?}"))),
            }
        }
        // Sparse, quantized, meta and wrapped tensors: nobody asks for them, and the rest of the file is fine.
        _ if name.starts_with("torch._utils._rebuild_") => Ok(Node::Opaque(name)),
        "torch.Size" => Ok(Node::Tuple(pickle.items(argument(0)?)?.iter().copied().take(MAX_DIMENSIONS).collect())),
        "torch.device" => match pickle.node(argument(0)?) {
            Node::Str(device) if device.len() <= MAX_NAME_BYTES => Ok(Node::Str(device.clone())),
            _ => Ok(Node::Opaque(name)),
        },
        // How protocol 2 writes bytes: as text whose characters are the bytes.
        "_codecs.encode" => {
            let Node::Str(text) = pickle.node(argument(0)?) else { return Err(refused(&name)) };
            let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            let bytes = bytes.ok_or_else(|| Fault::new("latin-1 text", "other characters"))?;
            pickle.charge(bytes.len())?;
            Ok(Node::Bytes(bytes))
        }
        "builtins.bytes" | "__builtin__.bytes" | "builtins.bytearray" | "__builtin__.bytearray" if given.is_empty() => {
            Ok(Node::Bytes(Vec::new()))
        }
        "numpy.dtype" => match pickle.node(argument(0)?) {
            Node::Str(code) => Ok(Node::NumpyDtype(code.chars().take(16).collect())),
            _ => Ok(Node::Opaque(name)),
        },
        "numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar" => {
            match (pickle.node(argument(0)?), pickle.node(argument(1)?)) {
                (Node::NumpyDtype(code), Node::Bytes(bytes)) => Ok(numpy_scalar(code, bytes)),
                _ => Ok(Node::Opaque(name)),
            }
        }
        // Values that checkpoints carry beside the weights; their classes are not rebuilt.
        "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct" => {
            Ok(Node::Opaque("numpy.ndarray".to_string()))
        }
        "copyreg._reconstructor" | "copy_reg._reconstructor" => Ok(instance(pickle.node(argument(0)?))),
        "builtins.complex" | "__builtin__.complex" | "torch.serialization._get_layout" => Ok(Node::Opaque(name)),
        _ if name.starts_with("pathlib.") && name.ends_with("Path") => Ok(Node::Opaque(name)),
        _ => Err(refused(&name)),
    }
}

/// What an instance of a class is: an empty dictionary, or a name.
pub(super) fn instance(class: &Node) -> Node {
    match class {
        Node::Global(name) if name == "collections.OrderedDict" => Node::Dict(Vec::new()),
        Node::Global(name) => Node::Opaque(name.clone()),
        other => Node::Opaque(format!("{other:?}").chars().take(80).collect()),
    }
}

/// Gives an object its state, of which only a numpy dtype's byte order matters.
pub(super) fn build(pickle: &mut Pickle, object: Id, state: Id) {
    let big_endian = pickle
        .items(state)
        .is_ok_and(|items| matches!(items.get(1).map(|id| pickle.node(*id)), Some(Node::Str(order)) if order == ">"));
    if let (Node::NumpyDtype(code), true) = (&mut pickle.nodes[object as usize], big_endian) {
        code.insert(0, '>');
    }
}

/// The storage that a persistent identifier `("storage", class, key, device, length)` names.
pub(super) fn storage(pickle: &Pickle, reference: Id) -> Result<StorageNode, Fault> {
    let parts = pickle.items(reference)?.iter().map(|id| pickle.node(*id)).collect::<Vec<_>>();
    match parts[..] {
        [Node::Str(kind), Node::StorageClass(dtype), Node::Str(key), _, Node::Int(_)]
        | [Node::Str(kind), Node::StorageClass(dtype), Node::Str(key), _, Node::Int(_), Node::None]
            if kind == "storage" && key.len() <= MAX_NAME_BYTES =>
        {
            Ok(StorageNode { key: key.clone(), dtype: *dtype })
        }
        _ => Err(Fault::new("a reference to a tensor storage", format!("{parts:?}"))),
    }
}

/// A tensor from storage, offset, shape, stride and, for young dtypes, the dtype.
fn tensor(pickle: &Pickle, [storage, offset, shape, stride]: [Id; 4], dtype: Option<Id>) -> Result<Node, Fault> {
    let Node::Storage(storage) = pickle.node(storage) else {
        return Err(Fault::new("a storage for a tensor", format!("{:?}", pickle.node(storage))));
    };
    let dtype = match dtype.map(|id| pickle.node(id)) {
        None => storage.dtype,
        Some(Node::Dtype(dtype)) => Some(*dtype),
        // A dtype younger than this reader; the other tensors are fine.
        Some(Node::Global(name)) => return Ok(Node::Opaque(format!("torch.Tensor of {name}"))),
        Some(_) => None,
    };
    let dtype = dtype.ok_or_else(|| Fault::new("a tensor with a dtype", "an untyped one"))?;
    let sizes = |id| -> Result<Vec<usize>, Fault> {
        let items = pickle.items(id)?;
        if items.len() > MAX_DIMENSIONS {
            return Err(Fault::new(format!("at most {MAX_DIMENSIONS} axes"), items.len().to_string()));
        }
        items.iter().map(|id| size(pickle, *id)).collect()
    };
    let (shape, stride) = (sizes(shape)?, sizes(stride)?);
    if shape.len() != stride.len() {
        return Err(Fault::new(format!("a stride for each axis of {shape:?}"), format!("{stride:?}")));
    }
    Ok(Node::Tensor(TensorNode { dtype, shape, stride, offset: size(pickle, offset)?, key: storage.key.clone() }))
}

fn size(pickle: &Pickle, id: Id) -> Result<usize, Fault> {
    match pickle.node(id) {
        Node::Int(number) if *number >= 0 => Ok(*number as usize),
        other => Err(Fault::new("a size or offset", format!("{other:?}"))),
    }
}

/// The value of a numpy scalar of the common types.
fn numpy_scalar(code: &str, bytes: &[u8]) -> Node {
    let number = match (code, bytes) {
        ("f8", bytes) => bytes.try_into().ok().map(|b| Node::Float(f64::from_le_bytes(b))),
        ("f4", bytes) => bytes.try_into().ok().map(|b| Node::Float(f32::from_le_bytes(b).into())),
        ("i8", bytes) => bytes.try_into().ok().map(|b| Node::Int(i64::from_le_bytes(b))),
        ("i4", bytes) => bytes.try_into().ok().map(|b| Node::Int(i32::from_le_bytes(b).into())),
        ("u1", [byte]) => Some(Node::Int((*byte).into())),
        ("b1", [byte]) => Some(Node::Bool(*byte != 0)),
        _ => None,
    };
    number.unwrap_or_else(|| Node::Opaque("numpy.generic".to_string()))
}

fn refused(name: &str) -> Fault {
    Fault::new(
        "tensors and plain values",
        format!("a call of {name}, which is not on the list of what may be called; nothing was executed"),
    )
}
