//! Affine maps of a few rows, such as the tokens of a prompt, where reading the weights is what takes the time: 4 bytes for
//! 2·rows operations. `benches/decoder.rs` sees 20 to 40 GFLOP/s for the eight tokens of a click, 9 to 16 % of the peak.

use rayon::prelude::*;

use super::simd::{LANES, vectorised};

/// Rows up to which this is faster than a matrix product that packs the weights first.
pub(super) const FEW: usize = 16;
/// Weights of one task.
const TASK: usize = 1 << 17;
/// Rows that are multiplied with a row of the weight while it is in registers.
const TOGETHER: usize = 8;

/// output = x Wᵀ + b, for `x` `[rows, inputs]`, a weight `[outputs, inputs]` and an output `[rows, outputs]`. Every weight
/// is read from memory once.
pub(super) fn affine(output: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32]) {
    let outputs = bias.len();
    let inputs = weight.len() / outputs;
    let rows = x.len() / inputs;
    // By output, as the tasks write it.
    let mut columns = vec![0.0; outputs * rows];
    let task = (TASK / inputs).max(1);
    let work = |(index, columns): (usize, &mut [f32])| {
        vectorised(
            #[inline(always)]
            || {
                for (offset, column) in columns.chunks_exact_mut(rows).enumerate() {
                    let output = index * task + offset;
                    let weight = &weight[output * inputs..][..inputs];
                    let whole = rows / TOGETHER * TOGETHER;
                    for first in (0..whole).step_by(TOGETHER) {
                        dot_all::<TOGETHER>(&mut column[first..], &x[first * inputs..], weight);
                    }
                    for row in whole..rows {
                        dot_all::<1>(&mut column[row..], &x[row * inputs..], weight);
                    }
                    for value in column {
                        *value += bias[output];
                    }
                }
            },
        );
    };
    if outputs <= task {
        work((0, &mut columns));
    } else {
        columns.par_chunks_mut(task * rows).enumerate().for_each(work);
    }
    for (row, output) in output.chunks_exact_mut(outputs).enumerate() {
        for (value, column) in output.iter_mut().zip(columns.chunks_exact(rows)) {
            *value = column[row];
        }
    }
}

/// The product of `weight` with each of the first `N` rows of `x`.
#[inline(always)]
fn dot_all<const N: usize>(values: &mut [f32], x: &[f32], weight: &[f32]) {
    let inputs = weight.len();
    let mut lanes = [[0.0; LANES]; N];
    let (chunks, rest) = weight.as_chunks::<LANES>();
    for (index, weight) in chunks.iter().enumerate() {
        for (row, lanes) in lanes.iter_mut().enumerate() {
            let x = &x[row * inputs + index * LANES..][..LANES];
            for lane in 0..LANES {
                lanes[lane] = x[lane].mul_add(weight[lane], lanes[lane]);
            }
        }
    }
    for (row, lanes) in lanes.into_iter().enumerate() {
        let mut sum = lanes.into_iter().sum::<f32>();
        for (x, weight) in x[(row + 1) * inputs - rest.len()..].iter().zip(rest) {
            sum += x * weight;
        }
        values[row] = sum;
    }
}
