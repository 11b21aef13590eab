//! A tensor whose bytes are read when they are asked for.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use half::f16;

use super::dtype::TensorDtype;
use super::read_at::TensorFile;
use crate::error::{Error, Result};

/// What a tensor may take beyond its storage: expanded tensors (stride 0) repeat elements, and a forged one could ask
/// for all memory.
const MAX_EXPANDED_BYTES: u64 = 1 << 28;

/// A tensor of a file, or of memory when it is to be written: its element type and shape, and where its bytes are.
#[derive(Clone, Debug)]
pub struct TensorRef {
    name: String,
    dtype: TensorDtype,
    shape: Vec<usize>,
    /// Elements from one index to the next along each axis.
    stride: Vec<usize>,
    /// Elements from the start of the storage to the first element.
    offset: usize,
    storage: Storage,
}

/// The bytes that one or several tensors view.
#[derive(Clone, Debug)]
pub(super) enum Storage {
    File { file: Arc<TensorFile>, bytes: Range<u64> },
    Memory(Arc<[u8]>),
}

impl Storage {
    fn len(&self) -> u64 {
        match self {
            Self::File { bytes, .. } => bytes.end - bytes.start,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

impl TensorRef {
    /// A dense row-major tensor in memory, to be written.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the number of values is not the product of the shape.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Result<Self> {
        if cfg!(target_endian = "little") {
            return Self::dense_in_memory(TensorDtype::F32, shape, bytemuck::cast_slice(values));
        }
        Self::in_memory(TensorDtype::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// As [`TensorRef::from_f32`], stored in half precision; values beyond its range become infinite.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the number of values is not the product of the shape.
    pub fn from_f32_as_f16(shape: &[usize], values: &[f32]) -> Result<Self> {
        let bytes = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        Self::in_memory(TensorDtype::F16, shape, bytes)
    }

    /// A dense row-major tensor of little-endian elements in memory, to be written.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the number of bytes does not fit shape and dtype.
    pub fn in_memory(dtype: TensorDtype, shape: &[usize], bytes: Vec<u8>) -> Result<Self> {
        Self::dense_in_memory(dtype, shape, bytes)
    }

    fn dense_in_memory(dtype: TensorDtype, shape: &[usize], bytes: impl AsRef<[u8]> + Into<Arc<[u8]>>) -> Result<Self> {
        let found = bytes.as_ref().len();
        let expected = shape.iter().try_fold(dtype.size(), |n, side| n.checked_mul(*side));
        if expected != Some(found) {
            return Err(Error::invalid_argument(
                "tensor",
                format!("as many {dtype} elements as shape {shape:?} has"),
                format!("{found} bytes"),
            ));
        }
        Ok(Self::dense(String::new(), dtype, shape.to_vec(), Storage::Memory(bytes.into())))
    }

    /// A dense row-major tensor that lies at `bytes` of a file of any format; nothing is read.
    #[must_use]
    pub fn in_file(
        name: String,
        dtype: TensorDtype,
        shape: Vec<usize>,
        file: &Arc<TensorFile>,
        bytes: Range<u64>,
    ) -> Self {
        let bytes = bytes.start..bytes.end.max(bytes.start);
        Self::dense(name, dtype, shape, Storage::File { file: file.clone(), bytes })
    }

    fn dense(name: String, dtype: TensorDtype, shape: Vec<usize>, storage: Storage) -> Self {
        let stride = dense_stride(&shape);
        Self { name, dtype, shape, stride, offset: 0, storage }
    }

    pub(super) fn strided(
        dtype: TensorDtype,
        shape: Vec<usize>,
        stride: Vec<usize>,
        offset: usize,
        storage: Storage,
    ) -> Self {
        Self { name: String::new(), dtype, shape, stride, offset, storage }
    }

    pub(super) fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// Dotted path of the tensor in its file, e.g. `features.high_res_feats.0`; empty for a tensor in memory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Element type.
    #[must_use]
    pub fn dtype(&self) -> TensorDtype {
        self.dtype
    }

    /// Length of each axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements from one index to the next along each axis, in the file.
    #[must_use]
    pub fn stride(&self) -> &[usize] {
        &self.stride
    }

    /// Number of elements; `None` if it is beyond what this machine can count.
    #[must_use]
    pub fn element_count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side))
    }

    /// All elements in row-major order, whatever the strides in the file, as little-endian bytes.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the file holds less than the tensor needs; [`Error::TooLarge`]; [`Error::Io`]
    pub fn read_bytes(&self) -> Result<Vec<u8>> {
        let count = self.checked_count()?;
        self.read_range(0..count)
    }

    /// As [`TensorRef::read_bytes`], borrowed where they lie in memory just so.
    pub(super) fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        match &self.storage {
            Storage::Memory(bytes) if self.is_dense() && self.offset == 0 => {
                Ok(bytes[..self.checked_count()? * self.dtype.size()].into())
            }
            _ => self.read_bytes().map(Cow::Owned),
        }
    }

    /// All elements in row-major order, cast to `f32`.
    ///
    /// # Errors
    /// As [`TensorRef::read_bytes`]; [`Error::Unsupported`] for complex and eight-bit floating types.
    pub fn read_f32(&self) -> Result<Vec<f32>> {
        let count = self.checked_count()?;
        self.read_f32_range(0..count)
    }

    /// The elements of a range of row-major positions, cast to `f32`. Where the file is dense only they are read.
    ///
    /// # Errors
    /// As [`TensorRef::read_f32`]; [`Error::InvalidArgument`] if the range leaves the tensor.
    pub fn read_f32_range(&self, range: Range<usize>) -> Result<Vec<f32>> {
        if !self.dtype.casts_to_f32() {
            return Err(Error::Unsupported {
                what: format!("reading tensor {} of type {} as float32", self.name, self.dtype),
                reason: "only real numbers can be cast; read its bytes instead".to_string(),
            });
        }
        let count = self.checked_count()?;
        if range.end > count || range.start > range.end {
            return Err(Error::invalid_argument("range", format!("positions below {count}"), format!("{range:?}")));
        }
        // The common case without a second copy: the file's bytes are the values.
        if cfg!(target_endian = "little") && self.dtype == TensorDtype::F32 && self.is_dense() {
            let mut values = vec![0.0f32; range.len()];
            self.copy_storage(bytemuck::cast_slice_mut(&mut values), self.offset + range.start)?;
            return Ok(values);
        }
        Ok(self.dtype.cast_to_f32(&self.read_range(range)?).unwrap_or_default())
    }

    /// Number of elements, after checking that they all lie in the storage.
    fn checked_count(&self) -> Result<usize> {
        let size = self.dtype.size() as u64;
        let held = self.storage.len();
        let count = self.element_count();
        if count == Some(0) {
            return Ok(0);
        }
        let last = self.shape.iter().zip(&self.stride).try_fold(self.offset as u64, |last, (side, stride)| {
            last.checked_add((*side as u64 - 1).checked_mul(*stride as u64)?)
        });
        let needed = last.and_then(|last| last.checked_add(1)?.checked_mul(size));
        match (count, needed) {
            (Some(count), Some(needed)) if needed <= held => {
                let bytes = (count as u64).saturating_mul(size);
                if bytes > held.max(MAX_EXPANDED_BYTES) {
                    return Err(Error::TooLarge {
                        what: format!("tensor {} of shape {:?}", self.name, self.shape),
                        found: format!("{bytes} bytes"),
                        limit: format!("{} bytes", held.max(MAX_EXPANDED_BYTES)),
                        remedy: "save the tensor with .contiguous()",
                    });
                }
                Ok(count)
            }
            _ => Err(self.invalid(
                format!("{} {} elements for tensor {}", Product(&self.shape), self.dtype, self.name),
                format!("a truncated storage of {held} bytes"),
            )),
        }
    }

    /// Elements of a range of row-major positions that `checked_count` has found to be there.
    fn read_range(&self, range: Range<usize>) -> Result<Vec<u8>> {
        let size = self.dtype.size();
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if self.is_dense() {
            let mut bytes = vec![0; range.len() * size];
            self.copy_storage(&mut bytes, self.offset + range.start)?;
            return Ok(bytes);
        }
        let span = self.shape.iter().zip(&self.stride).map(|(side, stride)| (side - 1) * stride).sum::<usize>() + 1;
        let mut storage = vec![0; span * size];
        self.copy_storage(&mut storage, self.offset)?;
        let mut bytes = Vec::with_capacity(range.len() * size);
        for position in range {
            let mut rest = position;
            let mut element = 0;
            for (side, stride) in self.shape.iter().zip(&self.stride).rev() {
                element += rest % side * stride;
                rest /= side;
            }
            bytes.extend_from_slice(&storage[element * size..(element + 1) * size]);
        }
        Ok(bytes)
    }

    /// Fills `buffer` from element `first` of the storage on.
    fn copy_storage(&self, buffer: &mut [u8], first: usize) -> Result<()> {
        let start = first * self.dtype.size();
        match &self.storage {
            Storage::File { file, bytes } => file.read_at(buffer, bytes.start + start as u64),
            Storage::Memory(bytes) => {
                buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
                Ok(())
            }
        }
    }

    fn is_dense(&self) -> bool {
        // The stride of an axis of length 1 is never used and may be anything.
        self.shape.iter().zip(&self.stride).zip(dense_stride(&self.shape)).all(|((n, s), d)| *n == 1 || *s == d)
    }

    fn invalid(&self, expected: String, found: String) -> Error {
        match &self.storage {
            Storage::File { file, .. } => file.invalid(expected, found),
            Storage::Memory(_) => Error::InvalidArgument { parameter: "tensor", expected, found },
        }
    }
}

/// Strides of a row-major tensor; saturating, because the shape may be forged.
fn dense_stride(shape: &[usize]) -> Vec<usize> {
    let mut stride = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        stride[axis - 1] = stride[axis].saturating_mul(shape[axis]);
    }
    stride
}

/// Prints a shape as `2×3`.
struct Product<'a>(&'a [usize]);

impl std::fmt::Display for Product<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("1");
        }
        let sides: Vec<_> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&sides.join("×"))
    }
}
