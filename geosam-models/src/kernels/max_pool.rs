//! Pooling of channels-last images: three comparisons for each value of the output; memory is what bounds it.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::buffer::{self, Buffer};
use super::simd::vectorised;
use crate::nn::assert_shape;

/// The largest of every square of 2×2 tokens, in each channel. Reads each value once.
///
/// # Shapes
/// - x: `[batch, height, width, channels]`, height and width even
/// - output: `[batch, height / 2, width / 2, channels]`
pub(crate) fn max_pool2x2(x: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    assert_shape!(x, [_, height / 2 * 2, width / 2 * 2, _]);
    let Some(input) = Buffer::of(&x) else { return by_operators(x) };
    let mut output = buffer::zeroed(batch * height / 2 * (width / 2) * channels);
    let row = width * channels;
    output.par_chunks_mut(row / 2).zip(input.values().par_chunks(2 * row)).for_each(|(output, rows)| {
        let (upper, lower) = rows.split_at(row);
        vectorised(
            #[inline(always)]
            || {
                let pairs = upper.chunks_exact(2 * channels).zip(lower.chunks_exact(2 * channels));
                for (output, (upper, lower)) in output.chunks_exact_mut(channels).zip(pairs) {
                    for channel in 0..channels {
                        let above = upper[channel].max(upper[channels + channel]);
                        output[channel] = above.max(lower[channel].max(lower[channels + channel]));
                    }
                }
            },
        );
    });
    buffer::tensor(output, [batch, height / 2, width / 2, channels])
}

fn by_operators(x: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let x = x.reshape([batch * height / 2, 2, width * channels]).max_dim(1);
    x.reshape([batch * height / 2 * width / 2, 2, channels]).max_dim(1).reshape([
        batch,
        height / 2,
        width / 2,
        channels,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::input;

    #[test]
    fn is_burns() {
        for [batch, height, width, channels] in [[1, 2, 2, 1], [2, 6, 4, 5], [1, 10, 8, 33]] {
            let x = input("x", [batch, height, width, channels], 1.0);
            max_pool2x2(x.clone()).into_data().assert_eq(&by_operators(x).into_data(), true);
        }
    }
}
