//! Affine map with what follows it done while the result is in the cache.

use burn::tensor::{Tensor, module};
use rayon::prelude::*;

use super::activation::{activate, activate_by_operators};
use super::buffer::{self, Buffer};
use super::matmul::{Matrix, Threads, matmul_transposed};
use super::simd::vectorised;
use crate::nn::Activation;

/// Products of fewer multiplications run on one core.
const PARALLEL: usize = 1 << 22;
/// Values of one task of the elementwise part.
const CHUNK: usize = 1 << 14;

/// activation(x Wᵀ + b).
///
/// # Shapes
/// - x: `[.., inputs]`
/// - weight: `[outputs, inputs]`
/// - bias: `[outputs]`
/// - output: `[.., outputs]`
pub(crate) fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Option<Activation>,
) -> Tensor<D> {
    let (Some(input), Some(matrix), Some(offset)) = (Buffer::of(&x), Buffer::of(&weight), Buffer::of(&bias)) else {
        return by_operators(x, weight, bias, activation);
    };
    let [outputs, inputs] = weight.dims();
    let mut shape = x.dims();
    shape[D - 1] = outputs;
    let (a, b) = (Matrix::new(input.values(), inputs), Matrix::new(matrix.values(), inputs));
    let mut output = vec![0.0; a.rows * outputs];
    let threads = if a.rows * outputs * inputs < PARALLEL { Threads::One } else { Threads::All };
    matmul_transposed(&mut output, 1.0, a, b, threads);
    let rows = CHUNK.div_ceil(outputs);
    output.par_chunks_mut(rows * outputs).for_each(|chunk| {
        vectorised(
            #[inline(always)]
            || add_and_activate(chunk, offset.values(), activation),
        );
    });
    buffer::tensor(output, shape)
}

#[inline(always)]
fn add_and_activate(values: &mut [f32], bias: &[f32], activation: Option<Activation>) {
    for row in values.chunks_exact_mut(bias.len()) {
        for (value, offset) in row.iter_mut().zip(bias) {
            *value += offset;
        }
        activate(row, activation);
    }
}

fn by_operators<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Option<Activation>,
) -> Tensor<D> {
    activate_by_operators(module::linear(x, weight.transpose(), Some(bias)), activation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 5.5e-8.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn agrees_with_burn() {
        for (rows, inputs, outputs) in [(1, 3, 5), (7, 32, 96), (333, 129, 67)] {
            for activation in [None, Some(Activation::Gelu), Some(Activation::Relu)] {
                let x = input("x", [2, rows, inputs], 1.0);
                let (weight, bias) = (input("weight", [outputs, inputs], 0.3), input("bias", [outputs], 1.0));
                let expected = by_operators(x.clone(), weight.clone(), bias.clone(), activation).into_data();
                let expected = expected.try_into_vec::<f32>().expect("computed in f32");
                let error = relative_error(linear(x, weight, bias, activation), &expected);
                assert!(error < TOLERANCE, "{rows} {inputs} {outputs} {activation:?}: {error}");
            }
        }
    }
}
