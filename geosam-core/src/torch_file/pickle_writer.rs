//! Writes values as a pickle of protocol 2, with the instructions and globals that `torch.save` uses.

use std::io::{self, Write};

use super::tensor::TensorRef;
use super::value::Value;

/// The pickle of a value, and its tensors: the storage of the n-th has the key `n`.
pub(super) fn pickle(value: &Value) -> io::Result<(Vec<u8>, Vec<&TensorRef>)> {
    let mut writer = PickleWriter { out: vec![0x80, 2], tensors: Vec::new() };
    writer.value(value)?;
    writer.out.push(b'.');
    Ok((writer.out, writer.tensors))
}

struct PickleWriter<'a> {
    out: Vec<u8>,
    tensors: Vec<&'a TensorRef>,
}

impl<'a> PickleWriter<'a> {
    fn value(&mut self, value: &'a Value) -> io::Result<()> {
        match value {
            Value::None => self.out.push(b'N'),
            Value::Bool(flag) => self.out.push(if *flag { 0x88 } else { 0x89 }),
            Value::Int(number) => self.int(*number)?,
            Value::Float(number) => {
                self.out.push(b'G');
                self.out.extend(number.to_be_bytes());
            }
            Value::Str(text) => self.string(text)?,
            Value::Bytes(bytes) => {
                // Protocol 2 has no bytes: text whose characters are the bytes.
                self.global("_codecs", "encode")?;
                self.string(&bytes.iter().map(|b| char::from(*b)).collect::<String>())?;
                self.string("latin1")?;
                self.out.extend([0x86, b'R']);
            }
            Value::List(items) => {
                self.out.extend(b"](");
                items.iter().try_for_each(|item| self.value(item))?;
                self.out.push(b'e');
            }
            Value::Tuple(items) => {
                self.out.push(b'(');
                items.iter().try_for_each(|item| self.value(item))?;
                self.out.push(b't');
            }
            Value::Dict(entries) => {
                self.out.extend(b"}(");
                for (key, value) in entries {
                    self.value(key)?;
                    self.value(value)?;
                }
                self.out.push(b'u');
            }
            Value::Tensor(tensor) => self.tensor(tensor)?,
            Value::Opaque(name) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("an object of {name} cannot be written"),
                ));
            }
        }
        Ok(())
    }

    /// A call of `_rebuild_tensor_v2`, or of `_v3` with the dtype for types that have no storage class.
    fn tensor(&mut self, tensor: &'a TensorRef) -> io::Result<()> {
        let dtype = tensor.dtype();
        let class = dtype.storage_class();
        self.global("torch._utils", if class.is_some() { "_rebuild_tensor_v2" } else { "_rebuild_tensor_v3" })?;
        self.out.push(b'(');

        let elements = to_int(tensor.element_count())?;
        self.out.push(b'(');
        self.string("storage")?;
        match class {
            Some(class) => self.global("torch", class)?,
            None => self.global("torch.storage", "UntypedStorage")?,
        }
        self.string(&self.tensors.len().to_string())?;
        self.string("cpu")?;
        self.int(if class.is_some() { elements } else { elements * to_int(Some(dtype.size()))? })?;
        self.out.extend(b"tQ");

        self.int(0)?; // offset
        self.sizes(tensor.shape().iter().copied())?;
        self.sizes(dense_stride(tensor.shape()))?;
        self.out.push(0x89); // requires_grad
        self.global("collections", "OrderedDict")?; // hooks
        self.out.extend(b")R");
        if class.is_none() {
            self.global("torch", dtype.name())?;
        }
        self.out.extend(b"tR");
        self.tensors.push(tensor);
        Ok(())
    }

    fn sizes(&mut self, sizes: impl IntoIterator<Item = usize>) -> io::Result<()> {
        self.out.push(b'(');
        sizes.into_iter().try_for_each(|size| self.int(to_int(Some(size))?))?;
        self.out.push(b't');
        Ok(())
    }

    fn int(&mut self, number: i64) -> io::Result<()> {
        if let Ok(number) = u8::try_from(number) {
            self.out.extend([b'K', number]);
        } else if let Ok(number) = i32::try_from(number) {
            self.out.push(b'J');
            self.out.extend(number.to_le_bytes());
        } else {
            self.out.extend([0x8a, 8]);
            self.out.write_all(&number.to_le_bytes())?;
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> io::Result<()> {
        let length = u32::try_from(text.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.out.push(b'X');
        self.out.extend(length.to_le_bytes());
        self.out.write_all(text.as_bytes())
    }

    fn global(&mut self, module: &str, name: &str) -> io::Result<()> {
        write!(self.out, "c{module}\n{name}\n")
    }
}

fn dense_stride(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product::<usize>().max(1)).collect()
}

fn to_int(size: Option<usize>) -> io::Result<i64> {
    size.and_then(|s| i64::try_from(s).ok()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
