//! A handful of queries attends to many keys.

use burn::tensor::{Tensor, activation};
use rayon::prelude::*;

use super::buffer::{self, Buffer};
use super::matmul::{Matrix, Threads, add_matmul, matmul_transposed};
use super::online_softmax::OnlineSoftmax;
use super::rows::Scratch;
use super::simd::vectorised;

/// Keys of a block; with its values it is half a mebibyte at a width of 256, and read from memory once.
const KEYS: usize = 256;

/// softmax(q kᵀ) v, every query by itself. Cores share the keys, not the queries, and bring together at the end what
/// they have found.
///
/// # Shapes
/// - queries: `[1, queries, width]`, already scaled
/// - keys, values: `[1, keys, width]`
/// - output: `[1, queries, width]`
pub(crate) fn cross_attention(queries: Tensor<3>, keys: Tensor<3>, values: Tensor<3>) -> Tensor<3> {
    let [_, count, width] = queries.dims();
    let (Some(q), Some(k), Some(v)) = (Buffer::of(&queries), Buffer::of(&keys), Buffer::of(&values)) else {
        return by_operators(queries, keys, values);
    };
    let q = Matrix::new(q.values(), width);
    let blocks = k.values().par_chunks(KEYS * width).zip(v.values().par_chunks(KEYS * width));
    let found = blocks.fold(|| Found::nothing(count, width), |found, (keys, values)| found.and(q, keys, values));
    let found = found.reduce(|| Found::nothing(count, width), Found::merge);
    buffer::tensor(found.finish(width), [1, count, width])
}

fn by_operators(queries: Tensor<3>, keys: Tensor<3>, values: Tensor<3>) -> Tensor<3> {
    activation::softmax(queries.matmul(keys.transpose()), 2).matmul(values)
}

/// What one core has seen of the keys.
struct Found {
    softmax: Vec<OnlineSoftmax>,
    /// `[queries, width]`
    attended: Vec<f32>,
    scratch: Scratch,
}

impl Found {
    fn nothing(queries: usize, width: usize) -> Self {
        Self {
            softmax: vec![OnlineSoftmax::default(); queries],
            attended: vec![0.0; queries * width],
            scratch: Scratch::default(),
        }
    }

    fn and(mut self, queries: Matrix<'_>, keys: &[f32], values: &[f32]) -> Self {
        let width = queries.columns;
        let (keys, values) = (Matrix::new(keys, width), Matrix::new(values, width));
        let [logits] = self.scratch.buffers([queries.rows * keys.rows]);
        matmul_transposed(logits, 1.0, queries, keys, Threads::One);
        vectorised(
            #[inline(always)]
            || {
                let rows = logits.chunks_exact_mut(keys.rows).zip(self.attended.chunks_exact_mut(width));
                for (softmax, (logits, attended)) in self.softmax.iter_mut().zip(rows) {
                    softmax.take_in(logits, attended);
                }
            },
        );
        let weights = Matrix { values: logits, rows: queries.rows, columns: keys.rows };
        add_matmul(&mut self.attended, weights, values);
        self
    }

    fn merge(mut self, other: Self) -> Self {
        let width = self.attended.len() / self.softmax.len().max(1);
        let others = other.softmax.into_iter().zip(other.attended.chunks_exact(width));
        let mine = self.softmax.iter_mut().zip(self.attended.chunks_exact_mut(width));
        for ((softmax, attended), (other, other_attended)) in mine.zip(others) {
            softmax.merge(attended, other, other_attended);
        }
        self
    }

    fn finish(mut self, width: usize) -> Vec<f32> {
        for (attended, softmax) in self.attended.chunks_exact_mut(width).zip(self.softmax) {
            let scale = softmax.sum().recip();
            attended.iter_mut().for_each(|value| *value *= scale);
        }
        self.attended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: 4e-7.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn agrees_with_burn() {
        for (queries, keys, width) in [(1, 1, 16), (56, 4096, 256), (9, 700, 32)] {
            let q = input("q", [1, queries, width], 1.5);
            let [k, v] = ["k", "v"].map(|name| input(name, [1, keys, width], 1.0));
            let expected = by_operators(q.clone(), k.clone(), v.clone()).into_data();
            let expected = expected.try_into_vec::<f32>().expect("computed in f32");
            let error = relative_error(cross_attention(q, k, v), &expected);
            assert!(error < TOLERANCE, "{queries} {keys} {width}: {error}");
        }
    }
}
