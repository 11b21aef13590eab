//! Affine maps, with what comes before and after them done while the rows are in the cache.

use burn::tensor::{DType, Device, Tensor, TensorData, module};
use rayon::prelude::*;

use super::activation::{activate, activate_by_operators};
use super::bf16::{self, PackedMatrix};
use super::buffer::{self, Buffer};
use super::few_rows::{self, FEW};
use super::matmul::{Matrix, Threads, add_matmul_transposed, matmul_transposed};
use super::norm::{Norm, RowNorm};
use super::rows::Chunks;
use super::simd::vectorised;
use crate::nn::Activation;

/// Products of fewer multiplications run on one core.
const PARALLEL: usize = 1 << 22;
/// Values of one task of the elementwise part.
const CHUNK: usize = 1 << 14;

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
    F32(Tensor<2>),
    /// Transposed and packed.
    Bf16(PackedMatrix),
}

/// A weight `[outputs, inputs]` of the CPU, for products in bf16.
pub(crate) fn pack(weight: &Tensor<2>) -> PackedMatrix {
    let [_, inputs] = weight.dims();
    let weight = Buffer::of(weight).expect("the weight is on the CPU");
    PackedMatrix::of_transposed(Matrix::new(weight.values(), inputs))
}

impl Weight {
    pub(super) fn in_f32(self, device: &Device) -> Tensor<2> {
        match self {
            Self::F32(weight) => weight,
            Self::Bf16(packed) => {
                let shape = [packed.columns(), packed.depth()];
                Tensor::from_data(TensorData::new(packed.to_transposed(), shape), (device, DType::F32))
            }
        }
    }
}

impl Affine {
    /// In f32.
    pub(crate) fn new(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        Self { weight: Weight::F32(weight), bias }
    }

    pub(super) fn by_operators<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        module::linear(x, self.weight.in_f32(&self.bias.device()).transpose(), Some(self.bias))
    }
}

/// activation(norm(x) Wᵀ + b).
///
/// # Shapes
/// - x: `[.., inputs]`
/// - output: `[.., outputs]`
pub(crate) fn linear<const D: usize>(
    x: Tensor<D>,
    norm: Option<Norm>,
    affine: Affine,
    activation: Option<Activation>,
) -> Tensor<D> {
    let fused = || {
        let input = Buffer::of(&x)?;
        let rows = RowAffine::of(&affine)?;
        let norm = norm.as_ref().map(RowNorm::of);
        if let Some(None) = norm {
            return None;
        }
        let mut shape = x.dims();
        shape[D - 1] = rows.outputs;
        Some(buffer::tensor(rows.apply(input.values(), norm.flatten().as_ref(), activation), shape))
    };
    fused().unwrap_or_else(|| {
        let x = match norm {
            Some(norm) => norm.by_operators(x),
            None => x,
        };
        activate_by_operators(affine.by_operators(x), activation)
    })
}

/// sum + x Wᵀ + b, in the memory of `sum` where nobody else uses it.
///
/// # Shapes
/// - sum: `[.., outputs]`
/// - x: `[.., inputs]`
/// - output: `[.., outputs]`
pub(crate) fn add_linear<const D: usize>(sum: Tensor<D>, x: Tensor<D>, affine: Affine) -> Tensor<D> {
    let (Some(input), Some(rows), true) = (Buffer::of(&x), RowAffine::of(&affine), buffer::on_cpu(&sum)) else {
        return sum + affine.by_operators(x);
    };
    let mut sum = buffer::Owned::of(sum);
    let input = input.values();
    let RowAffine { inputs, outputs, .. } = rows;
    let chunks = Chunks::of(input.len() / inputs, inputs.max(outputs), rows.weight.packed_per_chunk());
    chunks.for_each(sum.values_mut(), outputs, |sum, first, threads, _| {
        rows.add_to(sum, &input[first * inputs..][..sum.len() / outputs * inputs], threads);
    });
    sum.into_tensor()
}

/// x + W₂ activation(W₁ norm(x) + b₁) + b₂, in the memory of `x` where nobody else uses it. What lies between the two maps
/// is never in memory as a whole.
///
/// # Shapes
/// - x: `[.., width]`
/// - output: the same
pub(crate) fn add_mlp<const D: usize>(
    x: Tensor<D>,
    norm: &Norm,
    [first, second]: [Affine; 2],
    activation: Activation,
) -> Tensor<D> {
    let parts = (RowNorm::of(norm), RowAffine::of(&first), RowAffine::of(&second), buffer::on_cpu(&x));
    let (Some(norm), Some(first), Some(second), true) = parts else {
        let hidden = first.by_operators(norm.clone().by_operators(x.clone()));
        return x + second.by_operators(activate_by_operators(hidden, Some(activation)));
    };
    let mut x = buffer::Owned::of(x);
    let (width, hidden_width) = (first.inputs, first.outputs);
    let values = x.values_mut();
    let packed = first.weight.packed_per_chunk() + second.weight.packed_per_chunk();
    let chunks = Chunks::of(values.len() / width, hidden_width, packed);
    chunks.for_each(values, width, |x, _, threads, scratch| {
        let [normed, hidden] = scratch.buffers([x.len(), x.len() / width * hidden_width]);
        elementwise(threads, normed, x, width, |normed, x| norm.apply(normed, x));
        first.map(hidden, normed, Some(activation), threads);
        second.add_to(x, hidden, threads);
    });
    x.into_tensor()
}

/// [`Affine`] on the CPU.
pub(super) struct RowAffine {
    weight: RowWeight,
    bias: Buffer,
    inputs: usize,
    outputs: usize,
}

/// [`Weight`] on the CPU.
enum RowWeight {
    F32(Buffer),
    Bf16(PackedMatrix),
}

impl RowWeight {
    /// Values that a product packs anew for every chunk of rows.
    fn packed_per_chunk(&self) -> usize {
        match self {
            Self::F32(weight) => weight.values().len(),
            Self::Bf16(_) => 0,
        }
    }
}

impl RowAffine {
    pub(super) fn of(affine: &Affine) -> Option<Self> {
        let bias = Buffer::of(&affine.bias)?;
        let (weight, [outputs, inputs]) = match &affine.weight {
            Weight::F32(weight) => (RowWeight::F32(Buffer::of(weight)?), weight.dims()),
            Weight::Bf16(packed) => (RowWeight::Bf16(packed.clone()), [packed.columns(), packed.depth()]),
        };
        Some(Self { weight, bias, inputs, outputs })
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// activation(norm(x) Wᵀ + b) of all rows.
    fn apply(&self, input: &[f32], norm: Option<&RowNorm>, activation: Option<Activation>) -> Vec<f32> {
        let Self { inputs, outputs, .. } = *self;
        let rows = input.len() / inputs;
        let mut output = buffer::zeroed(rows * outputs);
        if let (RowWeight::F32(weight), true) = (&self.weight, rows <= FEW && norm.is_none()) {
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
            RowWeight::F32(weight) => {
                let (x, weight) = (Matrix::new(input, self.inputs), Matrix::new(weight.values(), self.inputs));
                matmul_transposed(output, 1.0, x, weight, threads);
            }
            RowWeight::Bf16(packed) => bf16::product(output, input, packed),
        }
        self.add_bias(output, activation, threads);
    }

    /// Adds x Wᵀ + b to `sum`.
    pub(super) fn add_to(&self, sum: &mut [f32], input: &[f32], threads: Threads) {
        match &self.weight {
            RowWeight::F32(weight) => {
                let (x, weight) = (Matrix::new(input, self.inputs), Matrix::new(weight.values(), self.inputs));
                add_matmul_transposed(sum, x, weight, threads);
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

/// Runs `work` on whole rows of `output` and `input`, both `width` wide.
fn elementwise(
    threads: Threads,
    output: &mut [f32],
    input: &[f32],
    width: usize,
    work: impl Fn(&mut [f32], &[f32]) + Sync + Send,
) {
    match threads {
        Threads::One => work(output, input),
        Threads::All => {
            let chunk = CHUNK.div_ceil(width) * width;
            output.par_chunks_mut(chunk).zip(input.par_chunks(chunk)).for_each(|(output, input)| work(output, input));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation;

    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 4.5e-7, with 2048 inputs.
    const TOLERANCE: f64 = 2e-6;

    /// Rows, inputs and outputs: few rows, on one core, on each core by itself, on all cores together; some left over.
    const SIZES: [[usize; 3]; 7] =
        [[1, 3, 5], [7, 32, 96], [4, 2048, 256], [12, 80, 300], [333, 129, 67], [5000, 48, 96], [1500, 320, 840]];

    fn affine([inputs, outputs]: [usize; 2]) -> Affine {
        Affine::new(input("weight", [outputs, inputs], 0.3), input("bias", [outputs], 1.0))
    }

    fn norm(width: usize) -> Norm {
        Norm { weight: input("norm", [width], 1.0), bias: input("shift", [width], 1.0), epsilon: 1e-6 }
    }

    fn values(x: Tensor<3>) -> Vec<f32> {
        x.into_data().try_into_vec::<f32>().expect("computed in f32")
    }

    #[test]
    fn linear_agrees_with_burn() {
        for [rows, inputs, outputs] in SIZES {
            for activation in [None, Some(Activation::Gelu), Some(Activation::Relu)] {
                for norm in [None, Some(norm(inputs))] {
                    let x = input("x", [2, rows, inputs], 1.0);
                    let normed = norm.clone().map_or(x.clone(), |norm| norm.by_operators(x.clone()));
                    let expected = activate_by_operators(affine([inputs, outputs]).by_operators(normed), activation);
                    let actual = linear(x, norm.clone(), affine([inputs, outputs]), activation);
                    let error = relative_error(actual, &values(expected));
                    assert!(error < TOLERANCE, "{rows} {inputs} {outputs} {activation:?} {norm:?}: {error}");
                }
            }
        }
    }

    /// Products in bf16 are those of rounded factors; the sums' order and rounding are all that differs.
    #[test]
    fn packed_weights_give_the_products_of_rounded_factors() {
        for [rows, inputs, outputs] in SIZES {
            let (weight, bias) = (input("weight", [outputs, inputs], 0.3), input("bias", [outputs], 1.0));
            let packed = pack(&weight);
            let packed = || Affine { weight: Weight::Bf16(packed.clone()), bias: bias.clone() };
            // Short enough for bf16 to hold it.
            let x = (input("x", [2, rows, inputs], 1.0) * 64.0).round() / 64.0;
            let expected = values(packed().by_operators(x.clone()));
            let error = relative_error(linear(x.clone(), None, packed(), None), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
            let sum = input("sum", [2, rows, outputs], 1.0);
            let expected = values(sum.clone() + packed().by_operators(x.clone()));
            let error = relative_error(add_linear(sum, x, packed()), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
        }
    }

    #[test]
    fn sums_agree_with_burn() {
        for [rows, inputs, outputs] in SIZES {
            let (x, sum) = (input("x", [2, rows, inputs], 1.0), input("sum", [2, rows, outputs], 1.0));
            let expected = values(sum.clone() + affine([inputs, outputs]).by_operators(x.clone()));
            let kept = sum.clone();
            let error = relative_error(add_linear(sum, x.clone(), affine([inputs, outputs])), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
            kept.into_data().assert_eq(&input("sum", [2, rows, outputs], 1.0).into_data(), true);

            let layers = || [affine([inputs, outputs]), affine([outputs, inputs])];
            let [first, second] = layers();
            let hidden = activation::gelu(first.by_operators(norm(inputs).by_operators(x.clone())));
            let expected = values(x.clone() + second.by_operators(hidden));
            let error = relative_error(add_mlp(x, &norm(inputs), layers(), Activation::Gelu), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
        }
    }
}
