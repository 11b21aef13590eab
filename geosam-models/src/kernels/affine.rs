//! Affine maps as the kernels apply them: x Wᵀ + b, the weight laid out for the products.
//!
//! A map of r rows takes 2·r·inputs·outputs operations and reads the weight once for every chunk of rows. `benches/matmul.rs`
//! measures the products alone: in f32 one core reaches 82 to 97 % of its peak from 384 inputs on if the weight lies by columns;
//! if it lies by rows, each chunk of rows rearranges it first, which costs little over thousands of rows, and a tenth to a third
//! over 256.

use burn::tensor::{DType, Device, Tensor, TensorData, module};
use rayon::prelude::*;

use super::activation::activate;
use super::bf16::{self, PackedMatrix};
use super::buffer::{self, Buffer};
use super::cast::in_type;
#[cfg(feature = "train")]
use super::differentiable;
use super::few_rows::{self, FEW};
use super::matmul::{Matrix, Threads, add_matmul, add_matmul_transposed, matmul, matmul_transposed};
use super::norm::RowNorm;
use super::rows::{CHUNK, Chunks, elementwise};
use super::simd::vectorised;
use crate::nn::Activation;

/// Products of fewer multiplications run on one core.
const PARALLEL: usize = 1 << 22;

/// x Wᵀ + b, for a weight `[outputs, inputs]` and a bias `[outputs]`.
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    pub(crate) weight: Weight,
    pub(crate) bias: Tensor<1>,
}

/// A weight `[outputs, inputs]`, in the precision of the products with it.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // short-lived, a few at a time
pub(crate) enum Weight {
    /// In f32, or on a GPU in the type of the tensor.
    Plain(Tensor<2>),
    /// In bf16 for the CPU, transposed and packed.
    Packed(PackedMatrix),
}

/// A weight `[outputs, inputs]` of the CPU, for products in bf16.
pub(crate) fn pack(weight: &Tensor<2>) -> PackedMatrix {
    let [_, inputs] = weight.dims();
    let weight = Buffer::of(weight).expect("the weight is on the CPU");
    PackedMatrix::of_transposed(Matrix::new(weight.values(), inputs))
}

/// A weight `[outputs, inputs]` with the weights of an input side by side in memory: products with it need not rearrange
/// it. The tensor is the same to whoever asks for its values.
pub(crate) fn by_columns(weight: Tensor<2>) -> Tensor<2> {
    match Buffer::of(&weight.clone().transpose()) {
        Some(columns) => columns.into_tensor::<2>().transpose(),
        None => weight,
    }
}

impl Weight {
    pub(super) fn unpacked(self, device: &Device) -> Tensor<2> {
        match self {
            Self::Plain(weight) => weight,
            Self::Packed(packed) => {
                let shape = [packed.columns(), packed.depth()];
                Tensor::from_data(TensorData::new(packed.to_transposed(), shape), (device, DType::F32))
            }
        }
    }
}

impl Affine {
    /// In the type of the weight.
    pub(crate) fn new(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        Self { weight: Weight::Plain(weight), bias }
    }

    /// As it lies on a GPU.
    #[cfg(test)]
    pub(super) fn of_type(self, dtype: DType) -> Self {
        let weight = self.weight.unpacked(&self.bias.device());
        Self::new(in_type(weight, dtype), in_type(self.bias, dtype))
    }

    /// Of whatever type, in the type of the weight, which is that of the output.
    pub(super) fn by_operators<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        let weight = self.weight.unpacked(&self.bias.device());
        #[cfg(feature = "train")]
        if let Some(y) = differentiable::affine(&x, &weight, &self.bias) {
            return y;
        }
        module::linear(in_type(x, weight.dtype()), weight.transpose(), Some(self.bias))
    }
}

/// [`Affine`] on the CPU.
pub(super) struct RowAffine {
    pub(super) weight: RowWeight,
    bias: Buffer,
    inputs: usize,
    outputs: usize,
}

/// [`Weight`] on the CPU.
pub(super) enum RowWeight {
    /// `[outputs, inputs]`
    Rows(Buffer),
    /// `[inputs, outputs]`
    Columns(Buffer),
    Bf16(PackedMatrix),
}

impl RowWeight {
    /// Values that a product packs anew for every chunk of rows.
    pub(super) fn packed_per_chunk(&self) -> usize {
        match self {
            Self::Rows(weight) => weight.values().len(),
            Self::Columns(_) | Self::Bf16(_) => 0,
        }
    }
}

impl RowAffine {
    pub(super) fn of(affine: &Affine) -> Option<Self> {
        let bias = Buffer::of(&affine.bias)?;
        let (weight, [outputs, inputs]) = match &affine.weight {
            Weight::Plain(weight) => {
                let columns = Buffer::of_columns(weight).map(RowWeight::Columns);
                (columns.or_else(|| Buffer::of(weight).map(RowWeight::Rows))?, weight.dims())
            }
            Weight::Packed(packed) => (RowWeight::Bf16(packed.clone()), [packed.columns(), packed.depth()]),
        };
        Some(Self { weight, bias, inputs, outputs })
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// activation(norm(x) Wᵀ + b) of all rows.
    pub(super) fn apply(&self, input: &[f32], norm: Option<&RowNorm>, activation: Option<Activation>) -> Vec<f32> {
        let Self { inputs, outputs, .. } = *self;
        let rows = input.len() / inputs;
        let mut output = buffer::zeroed(rows * outputs);
        if let (RowWeight::Rows(weight), true) = (&self.weight, rows <= FEW && norm.is_none()) {
            few_rows::affine(&mut output, input, weight.values(), self.bias.values());
            output.chunks_exact_mut(outputs).for_each(|row| activate(row, activation));
            return output;
        }
        if rows * inputs * outputs < PARALLEL && norm.is_none() {
            self.map(&mut output, input, activation, Threads::One);
            return output;
        }
        let chunks = Chunks::of(rows, inputs.max(outputs), self.weight.packed_per_chunk());
        chunks.for_each(&mut output, outputs, |output, first, threads, scratch| {
            let input = &input[first * inputs..][..output.len() / outputs * inputs];
            match norm {
                None => self.map(output, input, activation, threads),
                Some(norm) => {
                    let [normed] = scratch.buffers([input.len()]);
                    elementwise(threads, normed, input, inputs, |normed, x| norm.apply(normed, x));
                    self.map(output, normed, activation, threads);
                }
            }
        });
        output
    }

    /// activation(x Wᵀ + b) of some rows.
    pub(super) fn map(&self, output: &mut [f32], input: &[f32], activation: Option<Activation>, threads: Threads) {
        match &self.weight {
            RowWeight::Rows(weight) => {
                let (x, weight) = (Matrix::new(input, self.inputs), Matrix::new(weight.values(), self.inputs));
                matmul_transposed(output, 1.0, x, weight, threads);
            }
            RowWeight::Columns(weight) => {
                let (x, weight) = (Matrix::new(input, self.inputs), Matrix::new(weight.values(), self.outputs));
                matmul(output, x, weight, threads);
            }
            RowWeight::Bf16(packed) => bf16::product(output, input, packed),
        }
        self.add_bias(output, activation, threads);
    }

    /// Adds x Wᵀ + b to `sum`.
    pub(super) fn add_to(&self, sum: &mut [f32], input: &[f32], threads: Threads) {
        match &self.weight {
            RowWeight::Rows(weight) => {
                let (x, weight) = (Matrix::new(input, self.inputs), Matrix::new(weight.values(), self.inputs));
                add_matmul_transposed(sum, x, weight, threads);
            }
            RowWeight::Columns(weight) => {
                let (x, weight) = (Matrix::new(input, self.inputs), Matrix::new(weight.values(), self.outputs));
                add_matmul(sum, x, weight, threads);
            }
            RowWeight::Bf16(packed) => bf16::add_product(sum, input, packed),
        }
        self.add_bias(sum, None, threads);
    }

    fn add_bias(&self, values: &mut [f32], activation: Option<Activation>, threads: Threads) {
        let bias = self.bias.values();
        let work = |chunk: &mut [f32]| {
            vectorised(
                #[inline(always)]
                || {
                    for row in chunk.chunks_exact_mut(bias.len()) {
                        for (value, offset) in row.iter_mut().zip(bias) {
                            *value += offset;
                        }
                        activate(row, activation);
                    }
                },
            );
        };
        match threads {
            Threads::One => work(values),
            Threads::All => values.par_chunks_mut(CHUNK.div_ceil(bias.len()) * bias.len()).for_each(work),
        }
    }
}
