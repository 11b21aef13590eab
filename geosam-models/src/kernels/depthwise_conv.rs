//! Convolution of every channel by itself. By itself it runs at 9 to 10 % of the f32 peak (`benches/encoder.rs`, two cores): 18
//! operations for 8 bytes and more.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor, module};
use rayon::prelude::*;

use super::activation::{activate, activate_by_operators};
use super::buffer::{self, Buffer};
use super::cast::in_type;
use super::simd::{LANES, vectorised};
use crate::nn::{Activation, assert_shape};

/// Side of the kernel.
const SIDE: usize = 3;
const TAPS: usize = SIDE * SIDE;

/// Depthwise 3×3 convolution of channels-last images, padded with one pixel of zeros.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    /// `[channels, 1, 3, 3]`
    pub(crate) weight: Tensor<4>,
    /// `[channels]`
    pub(crate) bias: Tensor<1>,
    pub(crate) stride: usize,
}

impl Depthwise {
    /// In the type of `x`, computed in f32: convolutions in f16 add up in f16.
    pub(super) fn by_operators(self, x: Tensor<4>) -> Tensor<4> {
        let [channels] = self.bias.dims();
        let options = ConvOptions::new([self.stride; 2], [1; 2], [1; 2], channels);
        let dtype = x.dtype();
        let x = in_type(x, DType::F32).permute([0, 3, 1, 2]);
        in_type(module::conv2d(x, self.weight, Some(self.bias), options), dtype).permute([0, 2, 3, 1])
    }
}

/// activation(conv(x)). Costs 18 operations for every value of the output; memory is what bounds it.
///
/// # Shapes
/// - x: `[batch, height, width, channels]`
/// - output: `[batch, ⌈height / stride⌉, ⌈width / stride⌉, channels]`
pub(crate) fn depthwise_conv3x3(x: Tensor<4>, conv: Depthwise, activation: Option<Activation>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    assert_shape!(conv.bias, [channels]);
    let (Some(input), Some(by_lines)) = (Buffer::of(&x), LineDepthwise::of(&conv)) else {
        return activate_by_operators(conv.by_operators(x), activation);
    };
    let stride = conv.stride;
    let [rows, columns] = [height.div_ceil(stride), width.div_ceil(stride)];
    let mut output = buffer::zeroed(batch * rows * columns * channels);
    output.par_chunks_exact_mut(columns * channels).enumerate().for_each(|(index, output)| {
        let (image, centre) = (index / rows * height, index % rows * stride);
        let line = |row| &input.values()[(image + row) * width * channels..][..width * channels];
        by_lines.convolve(output, neighbours(centre, height).map(|row| row.map(line)), activation);
    });
    buffer::tensor(output, [batch, rows, columns, channels])
}

/// `centre` and the lines, or pixels, on both sides of it, as far as there are any among `count`.
#[inline(always)]
pub(super) fn neighbours(centre: usize, count: usize) -> [Option<usize>; SIDE] {
    [centre.checked_sub(1), Some(centre), (centre + 1 < count).then_some(centre + 1)]
}

/// [`Depthwise`] on the CPU, a line of pixels at a time.
pub(super) struct LineDepthwise {
    /// `[9, channels]`, so that the innermost loop runs over neighbours.
    taps: Buffer,
    bias: Buffer,
    /// A pixel of the padding.
    zeros: Vec<f32>,
    stride: usize,
}

impl LineDepthwise {
    pub(super) fn of(conv: &Depthwise) -> Option<Self> {
        let [channels] = conv.bias.dims();
        assert_shape!(conv.weight, [channels, 1, SIDE, SIDE]);
        let taps = Buffer::of(&conv.weight.clone().reshape([channels, TAPS]).transpose())?;
        Some(Self { taps, bias: Buffer::of(&conv.bias)?, zeros: vec![0.0; channels], stride: conv.stride })
    }

    /// The line of the output that sees these lines of the input, `None` being padding.
    pub(super) fn convolve(&self, output: &mut [f32], lines: [Option<&[f32]>; SIDE], activation: Option<Activation>) {
        let channels = self.zeros.len();
        let width = lines.iter().flatten().map(|line| line.len() / channels).max().unwrap_or(0);
        vectorised(
            #[inline(always)]
            || {
                for (column, output) in output.chunks_exact_mut(channels).enumerate() {
                    let columns = neighbours(column * self.stride, width);
                    let pixels: [&[f32]; TAPS] =
                        std::array::from_fn(|tap| match (lines[tap / SIDE], columns[tap % SIDE]) {
                            (Some(line), Some(column)) => &line[column * channels..][..channels],
                            _ => &self.zeros,
                        });
                    self.convolve_pixel(output, pixels);
                    activate(output, activation);
                }
            },
        );
    }

    #[inline(always)]
    fn convolve_pixel(&self, output: &mut [f32], pixels: [&[f32]; TAPS]) {
        let channels = self.zeros.len();
        let (taps, bias) = (&self.taps.values()[..TAPS * channels], &self.bias.values()[..channels]);
        let whole = channels / LANES * LANES;
        // The sums stay in registers over all taps.
        for start in (0..whole).step_by(LANES) {
            let mut sums = [0.0; LANES];
            sums.copy_from_slice(&bias[start..start + LANES]);
            for (tap, pixel) in pixels.iter().enumerate() {
                let weights = &taps[tap * channels + start..][..LANES];
                let values = &pixel[start..start + LANES];
                for lane in 0..LANES {
                    sums[lane] = values[lane].mul_add(weights[lane], sums[lane]);
                }
            }
            output[start..start + LANES].copy_from_slice(&sums);
        }
        for channel in whole..channels {
            let products =
                pixels.iter().enumerate().map(|(tap, pixel)| pixel[channel] * taps[tap * channels + channel]);
            output[channel] = bias[channel] + products.sum::<f32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 1.3e-7.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn agrees_with_burn() {
        for (size, channels, stride) in [([1, 1], 1, 1), ([5, 7], 19, 1), ([8, 6], 32, 2), ([7, 9], 16, 2)] {
            for activation in [None, Some(Activation::Gelu)] {
                let x = input("x", [2, size[0], size[1], channels], 1.0);
                let (weight, bias) = (input("weight", [channels, 1, 3, 3], 1.0), input("bias", [channels], 1.0));
                let conv = Depthwise { weight, bias, stride };
                let expected = activate_by_operators(conv.clone().by_operators(x.clone()), activation).into_data();
                let expected = expected.try_into_vec::<f32>().expect("computed in f32");
                let error = relative_error(depthwise_conv3x3(x, conv, activation), &expected);
                assert!(error < TOLERANCE, "{size:?} {channels} {stride}: {error}");
            }
        }
    }
}
