//! Attention between a handful of prompt tokens and thousands of image tokens, a few image tokens at a time: whatever
//! has a row for each image token stays in the cache.
//!
//! Of `benches/decoder.rs`, two cores, share of the f32 peak measured in the same run: `attend_to_image` 47 to 61 %,
//! `attend_to_prompt` 25 to 53 %, `attend_to_projected_image` 13 to 22 %, whose products are short, at a quarter of the time of
//! the first. Besides the products there are a sum, a softmax and a norm for every image token, and 3 KiB of memory traffic at a
//! width of 256.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::affine::{Affine, RowAffine};
use super::buffer::{self, Buffer};
use super::matmul::{Matrix, Threads, add_transposed_matmul, matmul};
use super::norm::{Norm, RowNorm};
use super::rows::{Chunks, Scratch};
use super::simd::{exp, vectorised};
use super::softmax::{softmax_by_operators, softmax_rows};
use crate::nn::assert_shape;

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
    let [_, tokens, _] = x.dims();
    for of_image in [&x, &position] {
        assert_shape!(of_image, [1, tokens, width]);
    }
    // Transposed, as the products read them: tokens are their rows, and queries lie side by side.
    let q = Buffer::of(&queries.clone().transpose());
    let (Some(q), Some(values), Some(positions)) = (q, Buffer::of(&x), Buffer::of(&position)) else {
        let keys = x.clone() + position;
        return softmax_by_operators(queries.matmul(keys.transpose())).matmul(x);
    };
    let q = Matrix::new(q.values(), count);
    let chunks = values.values().par_chunks(TOKENS * width).zip(positions.values().par_chunks(TOKENS * width));
    let nothing = || Found::nothing(count, width);
    let parts = chunks.fold_chunks(CHUNKS, nothing, |found, (x, position)| found.and(q, x, position));
    let found = parts.collect::<Vec<_>>().into_iter().fold(nothing(), Found::merge);
    buffer::tensor(found.finish(), [1, count, width])
}

/// Image tokens as the keys and values of an attention, which many prompts share.
#[derive(Clone, Debug)]
pub(crate) struct ProjectedImage {
    /// `[1, heads·head width, tokens]`, channel after channel as the products with queries read them.
    pub(crate) keys: Tensor<3>,
    /// `[1, tokens, heads·head width]`
    pub(crate) values: Tensor<3>,
}

/// softmax(q keysᵀ) values, head by head; a head is the work of one core.
///
/// Costs 4·queries·tokens·heads·head width operations, and reads keys and values once.
///
/// # Shapes
/// - queries: `[batch, heads, queries, head width]`, already scaled
/// - output: the same
pub(crate) fn attend_to_projected_image(queries: Tensor<4>, image: &ProjectedImage) -> Tensor<4> {
    let shape = queries.dims();
    let [batch, heads, count, head] = shape;
    let (width, tokens) = (heads * head, image.keys.dims()[2]);
    assert_shape!(image.keys, [1, width, tokens]);
    assert_shape!(image.values, [1, tokens, width]);
    let parts = (Buffer::of(&queries), Buffer::of(&image.keys), Buffer::of(&image.values), batch);
    let (Some(q), Some(keys), Some(values), 1) = parts else {
        let keys = image.keys.clone().reshape([1, heads, head, tokens]);
        let values = image.values.clone().reshape([1, tokens, heads, head]).swap_dims(1, 2);
        return softmax_by_operators(queries.matmul(keys)).matmul(values);
    };
    let mut output = buffer::zeroed(width * count);
    output.par_chunks_mut(count * head).enumerate().for_each_init(Scratch::default, |scratch, (index, output)| {
        let q = Matrix::new(&q.values()[index * output.len()..][..output.len()], head);
        let keys = Matrix::new(&keys.values()[index * head * tokens..][..head * tokens], tokens);
        let [weights] = scratch.buffers([count * tokens]);
        matmul(weights, q, keys, Threads::One);
        softmax_rows(weights, tokens);
        let values = Matrix::new(values.values(), width).narrow(index * head..(index + 1) * head);
        matmul(output, Matrix::new(weights, tokens), values, Threads::One);
    });
    buffer::tensor(output, shape)
}

/// An attention of image tokens to prompt tokens, folded into two linear maps whose weights come from the prompt, with
/// the sum and the norm that follow.
#[derive(Clone, Debug)]
pub(crate) struct AttentionToPrompt {
    /// From the queries to the logits of all heads, `[heads·prompt tokens, width of the queries]`.
    pub(crate) folding: Affine,
    pub(crate) heads: usize,
    /// From the weights of all heads, `[width, heads·prompt tokens]`.
    pub(crate) unfolding: Affine,
    pub(crate) norm: Norm,
}

/// What the image tokens look for with.
#[derive(Clone, Debug)]
pub(crate) enum Queries {
    /// The tokens themselves with this positional code, `[1, tokens, width]`.
    Positioned(Tensor<3>),
    /// Queries that many prompts share, `[1, tokens, heads·head width]`.
    Projected(Tensor<3>),
}

/// norm(x + unfolding(softmax(folding(queries)))), the softmax by head.
///
/// Costs 2·heads·prompt tokens·tokens·(width of the queries + width) operations, reads tokens and queries once and writes
/// tokens once.
///
/// # Shapes
/// - x: `[1, tokens, width]`
/// - output: `[1, tokens, width]`
pub(crate) fn attend_to_prompt(x: Tensor<3>, queries: Queries, attention: AttentionToPrompt) -> Tensor<3> {
    let [_, tokens, width] = x.dims();
    let AttentionToPrompt { folding, heads, unfolding, norm } = attention;
    let (Queries::Positioned(beside) | Queries::Projected(beside)) = &queries;
    assert_shape!(x, [1, tokens, width]);
    assert_shape!(beside, [1, tokens, _]);
    let parts = (Buffer::of(&x), Buffer::of(beside), RowAffine::of(&folding), RowAffine::of(&unfolding));
    let (Some(input), Some(beside), Some(fold), Some(unfold)) = parts else {
        let logits = folding.by_operators(match queries {
            Queries::Positioned(position) => x.clone() + position,
            Queries::Projected(queries) => queries,
        });
        let [_, _, folded] = logits.dims();
        let weights = softmax_by_operators(logits.reshape([1, tokens, heads, folded / heads]));
        return norm.by_operators(x + unfolding.by_operators(weights.reshape([1, tokens, folded])));
    };
    let norm = RowNorm::of(&norm).expect("the norm is where the tokens are");
    let folded = fold.outputs();
    let mut output = buffer::zeroed(tokens * width);
    Chunks::Own(TOKENS).for_each(&mut output, width, |output, first, _, scratch| {
        let count = output.len() / width;
        let x = &input.values()[first * width..][..output.len()];
        let beside = &beside.values()[first * fold.inputs()..][..count * fold.inputs()];
        let [sum, weights] = scratch.buffers([output.len(), count * folded]);
        match queries {
            Queries::Positioned(_) => {
                add(sum, x, beside);
                fold.map(weights, sum, None, Threads::One);
            }
            Queries::Projected(_) => fold.map(weights, beside, None, Threads::One),
        }
        softmax_rows(weights, folded / heads);
        sum.copy_from_slice(x);
        unfold.add_to(sum, weights, Threads::One);
        norm.apply(output, sum);
    });
    buffer::tensor(output, [1, tokens, width])
}

fn add(sum: &mut [f32], a: &[f32], b: &[f32]) {
    vectorised(
        #[inline(always)]
        || {
            for (sum, (a, b)) in sum.iter_mut().zip(a.iter().zip(b)) {
                *sum = a + b;
            }
        },
    );
}

/// What queries have found in the tokens so far: an online softmax, <https://arxiv.org/abs/1805.02867>, of all queries
/// side by side.
struct Found {
    /// The largest logit of each query.
    max: Vec<f32>,
    /// The sum of each query's weights, relative to the largest logit.
    sum: Vec<f32>,
    /// `[queries, width]`, not yet divided by the sums.
    attended: Vec<f32>,
    scratch: Scratch,
}

impl Found {
    fn nothing(queries: usize, width: usize) -> Self {
        Self {
            max: vec![f32::NEG_INFINITY; queries],
            sum: vec![0.0; queries],
            attended: vec![0.0; queries * width],
            scratch: Scratch::default(),
        }
    }

    /// # Shapes
    /// - queries: `[width, queries]`
    /// - x, position: `[tokens, width]`
    fn and(mut self, queries: Matrix<'_>, x: &[f32], position: &[f32]) -> Self {
        let Matrix { rows: width, columns: count, .. } = queries;
        let mut scratch = std::mem::take(&mut self.scratch);
        let [keys, weights] = scratch.buffers([x.len(), x.len() / width * count]);
        add(keys, x, position);
        matmul(weights, Matrix::new(keys, width), queries, Threads::One);
        vectorised(
            #[inline(always)]
            || self.weigh(weights),
        );
        add_transposed_matmul(&mut self.attended, Matrix::new(weights, count), Matrix::new(x, width));
        Self { scratch, ..self }
    }

    /// Makes weights of logits, `[tokens, queries]`.
    #[inline(always)]
    fn weigh(&mut self, logits: &mut [f32]) {
        let count = self.max.len();
        let mut max = self.max.clone();
        for row in logits.chunks_exact(count) {
            for (max, &logit) in max.iter_mut().zip(row) {
                *max = if logit > *max { logit } else { *max };
            }
        }
        self.rescale(&max);
        for row in logits.chunks_exact_mut(count) {
            for ((logit, max), sum) in row.iter_mut().zip(&max).zip(&mut self.sum) {
                *logit = exp(*logit - max);
                *sum += *logit;
            }
        }
        self.max = max;
    }

    /// Brings sums and what was attended to to the measure of other largest logits, none of them smaller.
    #[inline(always)]
    fn rescale(&mut self, max: &[f32]) {
        let width = self.attended.len() / max.len();
        let found = self.attended.chunks_exact_mut(width).zip(&mut self.sum);
        for ((attended, sum), (old, new)) in found.zip(self.max.iter().zip(max)) {
            if new > old {
                let scale = exp(old - new);
                *sum *= scale;
                attended.iter_mut().for_each(|value| *value *= scale);
            }
        }
    }

    fn merge(mut self, mut other: Self) -> Self {
        let max: Vec<f32> = self.max.iter().zip(&other.max).map(|(a, b)| a.max(*b)).collect();
        self.rescale(&max);
        other.rescale(&max);
        let pairs = |mine: &mut [f32], other: &[f32]| mine.iter_mut().zip(other).for_each(|(a, b)| *a += b);
        pairs(&mut self.sum, &other.sum);
        pairs(&mut self.attended, &other.attended);
        Self { max, ..self }
    }

    fn finish(mut self) -> Vec<f32> {
        let width = self.attended.len() / self.sum.len();
        for (attended, sum) in self.attended.chunks_exact_mut(width).zip(self.sum) {
            attended.iter_mut().for_each(|value| *value /= sum);
        }
        self.attended
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation;

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

    /// The largest logit comes late, early, or nowhere: sums of different measure are brought together.
    #[test]
    fn strong_logits_agree_with_burn() {
        const WIDTH: usize = 32;
        for strong in [0, 300, 1999] {
            let q = input("q", [1, 5, WIDTH], 3.0);
            let position = input("position", [1, 2000, WIDTH], 1.0);
            let token = q.clone().slice([0..1, 2..3]) * 2.0;
            let x = input("x", [1, 2000, WIDTH], 1.0).slice_assign([0..1, strong..strong + 1], token);
            let logits = q.clone().matmul((x.clone() + position.clone()).transpose());
            let expected = values(activation::softmax(logits, 2).matmul(x.clone()));
            let error = relative_error(attend_to_image(q, x, position), &expected);
            assert!(error < TOLERANCE, "{strong}: {error}");
        }
    }

    #[test]
    fn attention_to_a_projected_image_agrees_with_burn() {
        for (heads, count, tokens, head) in [(1, 1, 1, 4), (8, 8, 4096, 16), (3, 5, 700, 12)] {
            let q = input("q", [1, heads, count, head], 1.5 / (head as f64).sqrt());
            let keys = input("keys", [1, heads * head, tokens], 1.0);
            let values = input("values", [1, tokens, heads * head], 1.0);
            let logits = q.clone().matmul(keys.clone().reshape([1, heads, head, tokens]));
            let by_head = values.clone().reshape([1, tokens, heads, head]).swap_dims(1, 2);
            let expected = activation::softmax(logits, 3).matmul(by_head);
            let expected = expected.into_data().try_into_vec::<f32>().expect("computed in f32");
            let error = relative_error(attend_to_projected_image(q, &ProjectedImage { keys, values }), &expected);
            assert!(error < TOLERANCE, "{heads} {count} {tokens} {head}: {error}");
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
            let queries = input("queries", [1, tokens, width / 2], 1.0);

            let attention = AttentionToPrompt { folding, heads: HEADS, unfolding, norm };
            let narrow = AttentionToPrompt { folding: affine("narrow", HEADS * count, width / 2), ..attention.clone() };
            let expected = |attention: &AttentionToPrompt, queries: Tensor<3>| {
                let AttentionToPrompt { folding, unfolding, norm, .. } = attention.clone();
                let logits = folding.by_operators(queries);
                let weights = activation::softmax(logits.reshape([1, tokens, HEADS, count]), 3);
                let attended = unfolding.by_operators(weights.reshape([1, tokens, HEADS * count]));
                values(norm.by_operators(x.clone() + attended))
            };
            let own = expected(&attention, x.clone() + position.clone());
            let given = expected(&narrow, queries.clone());
            let cases = [(attention, Queries::Positioned(position), own), (narrow, Queries::Projected(queries), given)];
            for (attention, queries, expected) in cases {
                let error = relative_error(attend_to_prompt(x.clone(), queries, attention), &expected);
                assert!(error < TOLERANCE, "{count} {tokens} {width}: {error}");
            }
        }
    }
}
