//! From image tokens to mask logits, a few tokens at a time.
//!
//! Of `benches/decoder.rs`, two cores: 51 to 62 % of the f32 peak measured in the same run. Besides the products there are 768
//! GELUs for each token at a width of 256, and the last product has four columns, which leave most of a register empty.

use burn::tensor::Tensor;

use super::activation::{activate, activate_by_operators};
use super::affine::{Affine, RowAffine};
use super::buffer::{self, Buffer};
use super::matmul::{Matrix, Threads, matmul_transposed};
use super::norm::{Norm, RowNorm};
use super::rows::Chunks;
use super::simd::vectorised;
use crate::nn::Activation;

/// Pixels that a token becomes.
const PIXELS: usize = 16;
/// Tokens of a chunk. Fewer would stay in the second level cache with all that they become; but of a click of SAM 2 this
/// took 7.2 ms with 128 tokens, and 6.9 with 256 or 512.
const TOKENS: usize = 256;

/// The two splits of every token into four, with what stands between them: `second(gelu(norm(first(x) + twice)))`, then
/// gelu(· + four_times) and its products with `filters`. Of what becomes of a token only the logits reach memory.
///
/// Costs 2·tokens·(width² + 4·(width / 4)·(width / 2) + 16·(width / 8)·masks) operations, and reads tokens and high-resolution
/// features once.
#[derive(Clone, Debug)]
pub(crate) struct Upscaling {
    /// `[width, width]`: four pixels of width / 4 channels.
    pub(crate) first: Affine,
    /// Of width / 4 channels.
    pub(crate) norm: Norm,
    /// `[width / 2, width / 4]`: four pixels of width / 8 channels.
    pub(crate) second: Affine,
    /// `[1, 4·tokens, width / 4]` and `[1, 16·tokens, width / 8]`, added before norm and activation.
    pub(crate) high_res: Option<[Tensor<3>; 2]>,
}

/// # Shapes
/// - x: `[batch, tokens, width]`
/// - filters: `[batch, masks, width / 8]`
/// - output: `[batch, 16·tokens, masks]`
pub(crate) fn upscaled_logits(x: Tensor<3>, upscaling: Upscaling, filters: Tensor<3>) -> Tensor<3> {
    let [batch, tokens, _] = x.dims();
    let [_, masks, _] = filters.dims();
    if batch != 1 && buffer::on_cpu(&x) {
        let rows = (0..batch).map(|row| {
            let of = |x: &Tensor<3>| x.clone().narrow(0, row, 1);
            upscaled_logits(of(&x), upscaling.clone(), of(&filters))
        });
        return Tensor::cat(rows.collect(), 0);
    }
    match fused(&x, &upscaling, &filters) {
        Some(logits) => buffer::tensor(logits, [1, PIXELS * tokens, masks]),
        None => by_operators(x, upscaling, filters),
    }
}

fn fused(x: &Tensor<3>, upscaling: &Upscaling, filters: &Tensor<3>) -> Option<Vec<f32>> {
    let [_, tokens, width] = x.dims();
    let [_, masks, channels] = filters.dims();
    let (x, filters) = (Buffer::of(x)?, Buffer::of(filters)?);
    let (first, second) = (RowAffine::of(&upscaling.first)?, RowAffine::of(&upscaling.second)?);
    let norm = RowNorm::of(&upscaling.norm)?;
    let high_res = match &upscaling.high_res {
        None => None,
        Some([twice, four_times]) => Some([Buffer::of(twice)?, Buffer::of(four_times)?]),
    };
    let filters = Matrix::new(filters.values(), channels);

    let mut logits = buffer::zeroed(PIXELS * tokens * masks);
    Chunks::Own(TOKENS).for_each(&mut logits, PIXELS * masks, |logits, token, _, scratch| {
        let count = logits.len() / (PIXELS * masks);
        let skip = |level: usize, width: usize| {
            let values = high_res.as_ref()?[level].values();
            Some(&values[token * width..][..count * width])
        };
        let [split, normed, pixels] = scratch.buffers([count * width, count * width, 2 * count * width]);
        first.map(split, &x.values()[token * width..][..count * width], None, Threads::One);
        add(split, skip(0, width), None);
        norm.apply(normed, split);
        add(normed, None, Some(Activation::Gelu));
        second.map(pixels, normed, None, Threads::One);
        add(pixels, skip(1, 2 * width), Some(Activation::Gelu));
        matmul_transposed(logits, 1.0, Matrix::new(pixels, channels), filters, Threads::One);
    });
    Some(logits)
}

/// activation(values + skip).
fn add(values: &mut [f32], skip: Option<&[f32]>, activation: Option<Activation>) {
    vectorised(
        #[inline(always)]
        || {
            if let Some(skip) = skip {
                for (value, skip) in values.iter_mut().zip(skip) {
                    *value += skip;
                }
            }
            activate(values, activation);
        },
    );
}

fn by_operators(x: Tensor<3>, upscaling: Upscaling, filters: Tensor<3>) -> Tensor<3> {
    let Upscaling { first, norm, second, high_res } = upscaling;
    let [batch, tokens, width] = x.dims();
    let [twice, four_times] = match high_res {
        Some(maps) => maps.map(Some),
        None => [None, None],
    };
    let plus = |x: Tensor<3>, skip: Option<Tensor<3>>| match skip {
        Some(skip) => x + skip,
        None => x,
    };
    let split = first.by_operators(x).reshape([batch, 4 * tokens, width / 4]);
    let normed = activate_by_operators(norm.by_operators(plus(split, twice)), Some(Activation::Gelu));
    let pixels = second.by_operators(normed).reshape([batch, PIXELS * tokens, width / 8]);
    activate_by_operators(plus(pixels, four_times), Some(Activation::Gelu)).matmul(filters.transpose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 1.2e-7.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn agrees_with_burn() {
        const WIDTH: usize = 32;
        for (batch, tokens) in [(1, 9), (2, 150)] {
            for with_high_res in [false, true] {
                let affine = |name: &str, outputs, inputs| {
                    Affine::new(
                        input(&format!("{name}.weight"), [outputs, inputs], 0.3),
                        input(&format!("{name}.bias"), [outputs], 1.0),
                    )
                };
                let high_res = with_high_res.then(|| {
                    [
                        input("twice", [1, 4 * tokens, WIDTH / 4], 1.0),
                        input("four times", [1, 16 * tokens, WIDTH / 8], 1.0),
                    ]
                });
                let (weight, bias) = (input("norm", [WIDTH / 4], 1.0), input("shift", [WIDTH / 4], 1.0));
                let upscaling = Upscaling {
                    first: affine("first", WIDTH, WIDTH),
                    norm: Norm { weight, bias, epsilon: 1e-6 },
                    second: affine("second", WIDTH / 2, WIDTH / 4),
                    high_res,
                };
                let x = input("x", [batch, tokens, WIDTH], 1.0);
                let filters = input("filters", [batch, 4, WIDTH / 8], 1.0);
                let expected = by_operators(x.clone(), upscaling.clone(), filters.clone()).into_data();
                let expected = expected.try_into_vec::<f32>().expect("computed in f32");
                let error = relative_error(upscaled_logits(x, upscaling, filters), &expected);
                assert!(error < TOLERANCE, "{batch} {tokens} {with_high_res}: {error}");
            }
        }
    }
}
