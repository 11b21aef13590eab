//! Reads a pickle without executing anything.
//!
//! A pickle is a program for a stack machine, and its `REDUCE` instruction calls any function the file names. This
//! machine builds plain values and tensors by itself; calls go to the list in `globals.rs`, and any other call refuses
//! the file. Instances of unknown classes become opaque names, so a checkpoint's training arguments do no harm.

use std::collections::HashMap;
use std::io::{BufRead, Read};

use super::dtype::TensorDtype;
use super::globals;

/// Longest string or bytes value.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// Most values a pickle may build, counting a value as often as it is copied: the guard against memo bombs.
const MAX_VALUES: usize = 1 << 22;
/// Longest name of a global, or key of a storage.
pub(super) const MAX_NAME_BYTES: usize = 1024;
/// Longest description of a fault: what was found may be a long text.
const MAX_FAULT_CHARS: usize = 200;

/// Why a pickle cannot be read: what was expected, and what was found.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) expected: String,
    pub(super) found: String,
}

impl Fault {
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into().chars().take(MAX_FAULT_CHARS).collect() }
    }
}

/// Position of a value in [`Pickle::nodes`]; values are shared by position, as the pickle's memo shares them.
pub(super) type Id = u32;

/// A value under construction.
#[derive(Clone, Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, little-endian two's complement.
    BigInt(Vec<u8>),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Dtype(TensorDtype),
    /// A `torch.*Storage` class; `None` is the untyped one.
    StorageClass(Option<TensorDtype>),
    Storage(StorageNode),
    Tensor(TensorNode),
    NumpyDtype(String),
    /// A global that is neither a dtype nor a storage class, by its dotted name.
    Global(String),
    /// An object that is not rebuilt, by the dotted name of its class.
    Opaque(String),
}

/// A storage that the pickle refers to; its bytes are elsewhere in the file.
#[derive(Clone, Debug)]
pub(super) struct StorageNode {
    pub(super) key: String,
    pub(super) dtype: Option<TensorDtype>,
}

/// A tensor that views a storage.
#[derive(Clone, Debug)]
pub(super) struct TensorNode {
    pub(super) dtype: TensorDtype,
    pub(super) shape: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) offset: usize,
    pub(super) key: String,
}

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
    /// Every storage the pickle refers to, with bytes for one of its elements.
    pub(super) storages: HashMap<String, usize>,
    budget: usize,
}

impl Pickle {
    /// Reads one pickle and leaves `input` behind its last byte.
    pub(super) fn read(input: &mut dyn BufRead) -> Result<Self, Fault> {
        let mut machine = Machine {
            input,
            pickle: Pickle { nodes: Vec::new(), root: 0, storages: HashMap::new(), budget: MAX_VALUES },
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        while machine.step()? {}
        machine.pickle.root = machine.pop()?;
        Ok(machine.pickle)
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    /// Counts `amount` values against the limit.
    pub(super) fn charge(&mut self, amount: usize) -> Result<(), Fault> {
        self.budget = self
            .budget
            .checked_sub(amount)
            .ok_or_else(|| Fault::new(format!("at most {MAX_VALUES} values"), "a pickle that expands to more"))?;
        Ok(())
    }

    fn push(&mut self, node: Node) -> Result<Id, Fault> {
        self.charge(1)?;
        self.nodes.push(node);
        Ok(self.nodes.len() as Id - 1)
    }

    /// The elements of a tuple or list.
    pub(super) fn items(&self, id: Id) -> Result<&[Id], Fault> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => Ok(items),
            other => Err(Fault::new("a tuple", format!("{other:?}"))),
        }
    }
}

struct Machine<'a> {
    input: &'a mut dyn BufRead,
    pickle: Pickle,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl Machine<'_> {
    /// Executes one instruction; `false` after the last.
    fn step(&mut self) -> Result<bool, Fault> {
        let [opcode] = self.array()?;
        match opcode {
            0x80 => {
                let [protocol] = self.array()?;
                if protocol > 5 {
                    return Err(Fault::new("pickle protocol 2 to 5", format!("protocol {protocol}")));
                }
            }
            0x95 => drop(self.array::<8>()?), // FRAME: only a hint for buffering
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(number.into()))?;
            }
            b'K' => {
                let [number] = self.array()?;
                self.push(Node::Int(number.into()))?;
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(number.into()))?;
            }
            0x8a => self.long::<1>()?,
            0x8b => self.long::<4>()?,
            b'G' => {
                let number = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(number))?;
            }
            0x8c => self.string::<1>()?,
            b'X' => self.string::<4>()?,
            0x8d => self.string::<8>()?,
            b'U' => self.string::<1>()?, // Python 2's str
            b'T' => self.string::<4>()?,
            b'C' => self.bytes::<1>()?,
            b'B' => self.bytes::<4>()?,
            0x8e | 0x96 => self.bytes::<8>()?,
            b']' | 0x8f => self.push(Node::List(Vec::new()))?, // a set is kept as a list
            b')' => self.push(Node::Tuple(Vec::new()))?,
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::List(items))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items))?;
            }
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(opcode - 0x84));
                let items = first.filter(|f| *f >= self.floor()).ok_or_else(underflow)?;
                let items = self.stack.split_off(items);
                self.push(Node::Tuple(items))?;
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(Vec::new()))?;
                self.set_items(&items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let [slot] = self.array()?;
                self.memoize(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memoize(slot)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => {
                let [slot] = self.array()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(globals::resolve(&module, &name))?;
            }
            0x93 => {
                let (name, module) = (self.pop_string()?, self.pop_string()?);
                self.push(globals::resolve(&module, &name))?;
            }
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let node = globals::call(&mut self.pickle, callable, arguments)?;
                self.push(node)?;
            }
            0x81 | 0x92 => {
                if opcode == 0x92 {
                    self.pop()?; // keyword arguments
                }
                let (_arguments, class) = (self.pop()?, self.pop()?);
                self.push(globals::instance(self.pickle.node(class)))?;
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                globals::build(&mut self.pickle, object, state);
            }
            b'Q' => {
                let reference = self.pop()?;
                let storage = globals::storage(&self.pickle, reference)?;
                let element_size = storage.dtype.map_or(1, TensorDtype::size);
                self.pickle.storages.insert(storage.key.clone(), element_size);
                self.push(Node::Storage(storage))?;
            }
            other => return Err(Fault::new("a pickle as torch.save writes it", format!("instruction {other:#04x}"))),
        }
        Ok(true)
    }

    fn push(&mut self, node: Node) -> Result<(), Fault> {
        let id = self.pickle.push(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// Height of the stack below which values belong to an open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        if self.stack.len() <= self.floor() { Err(underflow()) } else { self.stack.pop().ok_or_else(underflow) }
    }

    fn top(&self) -> Result<Id, Fault> {
        if self.stack.len() <= self.floor() {
            Err(underflow())
        } else {
            self.stack.last().copied().ok_or_else(underflow)
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_string(&mut self) -> Result<String, Fault> {
        let id = self.pop()?;
        match self.pickle.node(id) {
            Node::Str(text) if text.len() <= MAX_NAME_BYTES => Ok(text.clone()),
            other => Err(Fault::new("the name of a global", format!("{other:?}"))),
        }
    }

    fn append(&mut self, items: &[Id]) -> Result<(), Fault> {
        let list = self.top()?;
        match &mut self.pickle.nodes[list as usize] {
            Node::List(list) => list.extend_from_slice(items),
            Node::Opaque(_) => {}
            other => return Err(Fault::new("a list to append to", format!("{other:?}"))),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), Fault> {
        let dict = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match &mut self.pickle.nodes[dict as usize] {
            Node::Dict(entries) if rest.is_empty() => entries.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            Node::Opaque(_) => {}
            other => return Err(Fault::new("pairs for a dictionary", format!("{other:?}"))),
        }
        Ok(())
    }

    fn memoize(&mut self, slot: u32) -> Result<(), Fault> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), Fault> {
        let id = self.memo.get(&slot).ok_or_else(|| Fault::new("a value in the memo", format!("empty slot {slot}")))?;
        self.stack.push(*id);
        self.pickle.charge(1)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|_| truncated())?;
        Ok(bytes)
    }

    /// A little-endian length of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.array::<N>()?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>, Fault> {
        if length > MAX_TEXT_BYTES {
            return Err(Fault::new(format!("at most {MAX_TEXT_BYTES} bytes of text"), format!("{length} bytes")));
        }
        // Grows as bytes arrive: a forged length allocates nothing.
        let mut bytes = Vec::new();
        (&mut *self.input).take(length).read_to_end(&mut bytes).map_err(|_| truncated())?;
        if (bytes.len() as u64) < length { Err(truncated()) } else { Ok(bytes) }
    }

    fn string<const N: usize>(&mut self) -> Result<(), Fault> {
        let length = self.length::<N>()?;
        // Lone surrogates, which Python allows, are replaced.
        let text = String::from_utf8_lossy(&self.take(length)?).into_owned();
        self.push(Node::Str(text))
    }

    fn bytes<const N: usize>(&mut self) -> Result<(), Fault> {
        let length = self.length::<N>()?;
        let bytes = self.take(length)?;
        self.push(Node::Bytes(bytes))
    }

    fn long<const N: usize>(&mut self) -> Result<(), Fault> {
        let length = self.length::<N>()?;
        let bytes = self.take(length)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut number = [if negative { 0xff } else { 0 }; 8];
        let node = if bytes.len() <= 8 {
            number[..bytes.len()].copy_from_slice(&bytes);
            Node::Int(i64::from_le_bytes(number))
        } else {
            Node::BigInt(bytes)
        };
        self.push(node)
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut bytes = Vec::new();
        (&mut *self.input).take(MAX_NAME_BYTES as u64).read_until(b'\n', &mut bytes).map_err(|_| truncated())?;
        if bytes.pop() != Some(b'\n') {
            return Err(truncated());
        }
        String::from_utf8(bytes).map_err(|_| Fault::new("the name of a global", "bytes that are not UTF-8"))
    }
}

fn underflow() -> Fault {
    Fault::new("a well-formed pickle", "an instruction without operands")
}

fn truncated() -> Fault {
    Fault::new("a whole pickle", "a truncated one")
}
