//! Attention between a handful of prompt tokens and thousands of image tokens, a few image tokens at a time: whatever
//! has a row for each image token stays in the cache.

use burn::tensor::{Tensor, activation};
use rayon::prelude::*;

use super::buffer::{self, Buffer};
use super::linear::{Affine, RowAffine};
use super::matmul::{Matrix, Threads, add_matmul, matmul_transposed};
use super::norm::{Norm, RowNorm};
use super::online_softmax::OnlineSoftmax;
use super::rows::{Chunks, Scratch};
use super::simd::vectorised;
use super::softmax::softmax_rows;

/// Image tokens of a chunk: half a mebibyte with their positions at a width of 256.
const TOKENS: usize = 256;

/// Chunks that one core attends to in a row. Which tokens are summed together, and in which order, must not depend on
/// how many cores there are and which of them is free: the same prompt has the same answer to the bit.
const CHUNKS: usize = 2;

/// softmax(q (x + position)ᵀ) x: queries attend to image tokens. Cores share the image tokens, not the queries, and
/// bring together at the end what they have found.
///
/// Costs 4·queries·tokens·width operations, and reads tokens and positions once.
///
/// # Shapes
/// - queries: `[1, queries, width]`, already scaled
/// - x, position: `[1, tokens, width]`
/// - output: `[1, queries, width]`
pub(crate) fn attend_to_image(queries: Tensor<3>, x: Tensor<3>, position: Tensor<3>) -> Tensor<3> {
    let [_, count, width] = queries.dims();
    let (Some(q), Some(values), Some(positions)) = (Buffer::of(&queries), Buffer::of(&x), Buffer::of(&position)) else {
        let keys = x.clone() + position;
        return activation::softmax(queries.matmul(keys.transpose()), 2).matmul(x);
    };
    let q = Matrix::new(q.values(), width);
    let chunks = values.values().par_chunks(TOKENS * width).zip(positions.values().par_chunks(TOKENS * width));
    let nothing = || Found::nothing(count, width);
    let parts = chunks.fold_chunks(CHUNKS, nothing, |found, (x, position)| found.and(q, x, position));
    let found = parts.collect::<Vec<_>>().into_iter().fold(nothing(), Found::merge);
    buffer::tensor(found.finish(width), [1, count, width])
}

/// An attention of image tokens to prompt tokens, folded into two linear maps whose weights come from the prompt, with
/// the sum and the norm that follow.
#[derive(Clone, Debug)]
pub(crate) struct AttentionToPrompt {
    /// To the logits of all heads, `[heads·prompt tokens, width]`.
    pub(crate) folding: Affine,
    pub(crate) heads: usize,
    /// From the weights of all heads, `[width, heads·prompt tokens]`.
    pub(crate) unfolding: Affine,
    pub(crate) norm: Norm,
}

/// norm(x + unfolding(softmax(folding(x + position)))), the softmax by head.
///
/// Costs 4·heads·prompt tokens·tokens·width operations, reads tokens and positions once and writes tokens once.
///
/// # Shapes
/// - x, position: `[1, tokens, width]`
/// - output: `[1, tokens, width]`
pub(crate) fn attend_to_prompt(x: Tensor<3>, position: Tensor<3>, attention: AttentionToPrompt) -> Tensor<3> {
    let [_, tokens, width] = x.dims();
    let AttentionToPrompt { folding, heads, unfolding, norm } = attention;
    let parts = (Buffer::of(&x), Buffer::of(&position), RowAffine::of(&folding), RowAffine::of(&unfolding));
    let (Some(input), Some(positions), Some(fold), Some(unfold)) = parts else {
        let logits = folding.by_operators(x.clone() + position);
        let [_, _, folded] = logits.dims();
        let weights = activation::softmax(logits.reshape([1, tokens, heads, folded / heads]), 3);
        return norm.by_operators(x + unfolding.by_operators(weights.reshape([1, tokens, folded])));
    };
    let norm = RowNorm::of(&norm).expect("the norm is where the tokens are");
    let folded = fold.outputs();
    let mut output = buffer::zeroed(tokens * width);
    Chunks::Own(TOKENS).for_each(&mut output, width, |output, first, _, scratch| {
        let of = |buffer| -> &[f32] { &Buffer::values(buffer)[first * width..][..output.len()] };
        let (x, positions) = (of(&input), of(&positions));
        let [sum, weights] = scratch.buffers([output.len(), output.len() / width * folded]);
        add(sum, x, positions);
        fold.map(weights, sum, None, Threads::One);
        softmax_rows(weights, folded / heads);
        sum.copy_from_slice(x);
        unfold.add_to(sum, weights, Threads::One);
        norm.apply(output, sum);
    });
    buffer::tensor(output, [1, tokens, width])
}

fn add(sum: &mut [f32], a: &[f32], b: &[f32]) {
    for (sum, (a, b)) in sum.iter_mut().zip(a.iter().zip(b)) {
        *sum = a + b;
    }
}

/// What has been seen of the keys.
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

    fn and(mut self, queries: Matrix<'_>, x: &[f32], position: &[f32]) -> Self {
        let width = queries.columns;
        let [keys, logits] = self.scratch.buffers([x.len(), queries.rows * x.len() / width]);
        add(keys, x, position);
        let (keys, values) = (Matrix::new(keys, width), Matrix::new(x, width));
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

    /// Measured: at most 8.9e-7, over 4096 tokens.
    const TOLERANCE: f64 = 2e-6;

    fn values(x: Tensor<3>) -> Vec<f32> {
        x.into_data().try_into_vec::<f32>().expect("computed in f32")
    }

    #[test]
    fn attention_to_the_image_agrees_with_burn() {
        for (queries, tokens, width) in [(1, 1, 16), (56, 4096, 256), (9, 700, 32)] {
            let q = input("q", [1, queries, width], 1.5 / (width as f64).sqrt());
            let [x, position] = ["x", "position"].map(|name| input(name, [1, tokens, width], 1.0));
            let logits = q.clone().matmul((x.clone() + position.clone()).transpose());
            let expected = values(activation::softmax(logits, 2).matmul(x.clone()));
            let error = relative_error(attend_to_image(q, x, position), &expected);
            assert!(error < TOLERANCE, "{queries} {tokens} {width}: {error}");
        }
    }

    #[test]
    fn attention_to_the_image_does_not_depend_on_the_cores() {
        let [q, x, position] =
            [("q", 56), ("x", 5184), ("position", 5184)].map(|(name, rows)| input(name, [1, rows, 64], 0.2));
        let on = |cores| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build().expect("threads");
            pool.install(|| values(attend_to_image(q.clone(), x.clone(), position.clone())))
        };
        let one = on(1);
        assert!([2, 3, 7].into_iter().all(|cores| on(cores) == one));
    }

    #[test]
    fn attention_to_the_prompt_agrees_with_burn() {
        for (count, tokens, width) in [(7, 4096, 256), (1, 5, 16), (12, 700, 64)] {
            const HEADS: usize = 8;
            let affine = |name: &str, outputs: usize, inputs: usize| {
                Affine::new(
                    input(&format!("{name}.weight"), [outputs, inputs], (inputs as f64).sqrt().recip()),
                    input(&format!("{name}.bias"), [outputs], 1.0),
                )
            };
            let (folding, unfolding) = (affine("fold", HEADS * count, width), affine("unfold", width, HEADS * count));
            let norm = Norm { weight: input("norm", [width], 1.0), bias: input("shift", [width], 1.0), epsilon: 1e-5 };
            let [x, position] = ["x", "position"].map(|name| input(name, [1, tokens, width], 1.0));

            let logits = folding.clone().by_operators(x.clone() + position.clone());
            let weights = activation::softmax(logits.reshape([1, tokens, HEADS, count]), 3);
            let attended = unfolding.clone().by_operators(weights.reshape([1, tokens, HEADS * count]));
            let expected = values(norm.clone().by_operators(x.clone() + attended));
            let attention = AttentionToPrompt { folding, heads: HEADS, unfolding, norm };
            let error = relative_error(attend_to_prompt(x, position, attention), &expected);
            assert!(error < TOLERANCE, "{count} {tokens} {width}: {error}");
        }
    }
}
