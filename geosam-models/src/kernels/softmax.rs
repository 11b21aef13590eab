//! Softmax, of few long rows as of many short ones. Some twenty operations a value, most of them of the exponential; values are
//! read twice and written once, of rows in the cache.

use burn::tensor::{Tensor, activation};
use rayon::prelude::*;

use super::buffer::{self, Buffer};
#[cfg(feature = "train")]
use super::differentiable;
use super::simd::{LANES, exp, exp_and_sum, max, vectorised};

/// Values of one task, or a row where that is longer.
const CHUNK: usize = 1 << 14;

/// Softmax over the last axis.
///
/// # Shapes
/// - x: `[.., width]`, width at least 1; output: the same
pub(crate) fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let Some(input) = Buffer::of(&x) else { return softmax_by_operators(x) };
    let width = x.dims()[D - 1];
    let mut output = input.values().to_vec();
    output.par_chunks_mut((CHUNK / width).max(1) * width).for_each(|rows| softmax_rows(rows, width));
    buffer::tensor(output, x.dims())
}

/// The same with burn's operator, or under autodiff with its gradient.
pub(super) fn softmax_by_operators<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "train")]
    if let Some(y) = differentiable::softmax(&x) {
        return y;
    }
    activation::softmax(x, D - 1)
}

/// Softmax of rows where they lie, on one core.
pub(super) fn softmax_rows(rows: &mut [f32], width: usize) {
    vectorised(
        #[inline(always)]
        || if width < LANES { short(rows, width) } else { long(rows, width) },
    );
}

#[inline(always)]
fn long(rows: &mut [f32], width: usize) {
    for row in rows.chunks_exact_mut(width) {
        let scale = exp_and_sum(row, max(row)).recip();
        row.iter_mut().for_each(|value| *value *= scale);
    }
}

/// Rows shorter than a register: the exponentials of all rows are taken as if they were one.
#[inline(always)]
fn short(rows: &mut [f32], width: usize) {
    for row in rows.chunks_exact_mut(width) {
        let offset = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|value| *value -= offset);
    }
    rows.iter_mut().for_each(|value| *value = exp(*value));
    for row in rows.chunks_exact_mut(width) {
        let scale = row.iter().sum::<f32>().recip();
        row.iter_mut().for_each(|value| *value *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: 1e-6.
    const TOLERANCE: f64 = 4e-6;

    #[test]
    fn agrees_with_double_precision() {
        for (rows, width) in [(5000, 7), (1, 1), (33, 16), (3, 4097), (2, 20_000)] {
            let x = input("x", [rows, width], 12.0);
            let values = x.clone().into_data().try_into_vec::<f32>().expect("computed in f32");
            let row = |row: &[f32]| {
                let powers: Vec<_> = row.iter().map(|value| f64::from(*value).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.into_iter().map(move |power| (power / sum) as f32)
            };
            let expected: Vec<_> = values.chunks(width).flat_map(row).collect();
            let error = relative_error(softmax(x), &expected);
            assert!(error < TOLERANCE, "{rows} × {width}: {error}");
        }
    }
}
