//! Convolution of every channel by itself.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};
use rayon::prelude::*;

use super::activation::{activate, activate_by_operators};
use super::buffer::{self, Buffer};
use super::simd::vectorised;
use crate::nn::{Activation, assert_shape};

/// Side of the kernel.
const SIDE: usize = 3;

/// Depthwise 3×3 convolution of channels-last images, padded with one pixel of zeros.
///
/// # Shapes
/// - x: `[batch, height, width, channels]`
/// - weight: `[channels, 1, 3, 3]`
/// - bias: `[channels]`
/// - output: `[batch, ⌈height / stride⌉, ⌈width / stride⌉, channels]`
pub(crate) fn depthwise_conv3x3(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    activation: Option<Activation>,
) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    assert_shape!(weight, [channels, 1, SIDE, SIDE]);
    assert_shape!(bias, [channels]);
    // Channels last, so that the innermost loop runs over neighbours.
    let taps = weight.clone().reshape([channels, SIDE * SIDE]).transpose();
    let (Some(input), Some(taps), Some(offset)) = (Buffer::of(&x), Buffer::of(&taps), Buffer::of(&bias)) else {
        return by_operators(x, weight, bias, stride, activation);
    };
    let image = Image { values: input.values(), height, width, channels };
    let [rows, columns] = [height.div_ceil(stride), width.div_ceil(stride)];
    let mut output = buffer::zeroed(batch * rows * columns * channels);
    output.par_chunks_exact_mut(columns * channels).enumerate().for_each(|(index, output)| {
        let (batch, row) = (index / rows, index % rows * stride);
        vectorised(
            #[inline(always)]
            || {
                image.convolve_row(output, [batch, row, stride], taps.values(), offset.values());
                activate(output, activation);
            },
        );
    });
    buffer::tensor(output, [batch, rows, columns, channels])
}

/// A batch of channels-last images.
#[derive(Clone, Copy)]
struct Image<'a> {
    values: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
}

impl Image<'_> {
    /// Output row whose window is centred on row `centre` of image `index`.
    #[inline(always)]
    fn convolve_row(&self, output: &mut [f32], [index, centre, stride]: [usize; 3], taps: &[f32], bias: &[f32]) {
        let Self { height, width, channels, .. } = *self;
        for (column, sum) in output.chunks_exact_mut(channels).enumerate() {
            sum.copy_from_slice(bias);
            for (tap, weight) in taps.chunks_exact(channels).enumerate() {
                let (row, column) = (centre + tap / SIDE, column * stride + tap % SIDE);
                // Both are one too large, for the padding.
                if (1..=height).contains(&row) && (1..=width).contains(&column) {
                    let pixel = (index * height + row - 1) * width + column - 1;
                    let pixel = &self.values[pixel * channels..][..channels];
                    for ((sum, value), weight) in sum.iter_mut().zip(pixel).zip(weight) {
                        *sum = value.mul_add(*weight, *sum);
                    }
                }
            }
        }
    }
}

fn by_operators(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    activation: Option<Activation>,
) -> Tensor<4> {
    let [_, _, _, channels] = x.dims();
    let options = ConvOptions::new([stride; 2], [1; 2], [1; 2], channels);
    let y = module::conv2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options).permute([0, 2, 3, 1]);
    activate_by_operators(y, activation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 1.4e-7.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn agrees_with_burn() {
        for (size, channels, stride) in [([1, 1], 1, 1), ([5, 7], 19, 1), ([8, 6], 32, 2), ([7, 9], 16, 2)] {
            for activation in [None, Some(Activation::Gelu)] {
                let x = input("x", [2, size[0], size[1], channels], 1.0);
                let (weight, bias) = (input("weight", [channels, 1, 3, 3], 1.0), input("bias", [channels], 1.0));
                let expected = by_operators(x.clone(), weight.clone(), bias.clone(), stride, activation).into_data();
                let expected = expected.try_into_vec::<f32>().expect("computed in f32");
                let actual = depthwise_conv3x3(x, weight, bias, stride, activation);
                let error = relative_error(actual, &expected);
                assert!(error < TOLERANCE, "{size:?} {channels} {stride}: {error}");
            }
        }
    }
}
