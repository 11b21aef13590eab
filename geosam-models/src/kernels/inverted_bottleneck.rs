//! Widen, convolve every channel by itself, narrow: without the wide image in memory.
//!
//! Of `benches/encoder.rs`, two cores, share of the f32 peak measured in the same run: 43 % for 64 → 256 → 64 channels to 66 %
//! for 160 → 320 → 320. The narrower the maps, the more of the time goes into the two GELUs and nine products for each value of
//! the wide image.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::activation::{activate, activate_by_operators};
use super::affine::{Affine, RowAffine};
use super::buffer::{self, Buffer};
use super::cast::in_type;
use super::depthwise_conv::{Depthwise, LineDepthwise, neighbours};
use super::matmul::Threads;
use super::rows::Scratch;
use super::simd::vectorised;
use crate::nn::{Activation, assert_shape};

const GELU: Option<Activation> = Some(Activation::Gelu);
/// Pixels of one matrix product, at least: its weights are packed anew each time, which takes the time of twenty pixels.
const PIXELS: usize = 256;
/// Tasks for every core, so that one that is held up delays the others little.
const BANDS: usize = 4;
/// Lines of a task, at least: up to two more are widened again by its neighbour.
const BAND: usize = 16;

/// narrow(gelu(depthwise(gelu(widen(x))))), and if it is `residual` gelu(x + that).
///
/// Of the wide image only the lines that the depthwise convolution is about to see exist, in the cache of the core that
/// works on a band of lines.
///
/// Costs 2·width·(pixels·inputs + pixels of the output·(9 + outputs)) operations, reads x and writes the output once.
#[derive(Clone, Debug)]
pub(crate) struct InvertedBottleneck {
    /// `[width, inputs]`
    pub(crate) widen: Affine,
    /// Of `width` channels.
    pub(crate) depthwise: Depthwise,
    /// `[outputs, width]`
    pub(crate) narrow: Affine,
    /// Whether the input is added and the sum activated. Only where the output has the shape of the input.
    pub(crate) residual: bool,
}

/// # Shapes
/// - x: `[batch, height, width, inputs]`
/// - output: `[batch, ⌈height / stride⌉, ⌈width / stride⌉, outputs]`
pub(crate) fn inverted_bottleneck(x: Tensor<4>, parts: InvertedBottleneck) -> Tensor<4> {
    let Some(band) = Band::of(&x, &parts) else { return by_operators(x, parts) };
    let [batch, height, width, _] = x.dims();
    let [rows, columns] = [height, width].map(|side| side.div_ceil(parts.depthwise.stride));
    let outputs = band.narrow.outputs();
    let mut output = buffer::zeroed(batch * rows * columns * outputs);
    let lines = rows.div_ceil(BANDS * rayon::current_num_threads()).max(BAND);
    for (image, output) in output.chunks_exact_mut(rows * columns * outputs).enumerate() {
        let bands = output.par_chunks_mut(lines * columns * outputs).enumerate();
        bands.for_each_init(Scratch::default, |scratch, (index, output)| {
            band.run(output, image, index * lines, scratch);
        });
    }
    let output = buffer::tensor(output, [batch, rows, columns, outputs]);
    if parts.residual {
        assert_shape!(output, [batch, height, width, x.dims()[3]]);
    }
    output
}

/// What works on a band of lines.
struct Band {
    input: Buffer,
    /// Of the input: height, width and channels.
    dims: [usize; 3],
    widen: RowAffine,
    depthwise: LineDepthwise,
    stride: usize,
    narrow: RowAffine,
    residual: bool,
}

impl Band {
    fn of(x: &Tensor<4>, parts: &InvertedBottleneck) -> Option<Self> {
        let [_, height, width, channels] = x.dims();
        Some(Self {
            input: Buffer::of(x)?,
            dims: [height, width, channels],
            widen: RowAffine::of(&parts.widen)?,
            depthwise: LineDepthwise::of(&parts.depthwise)?,
            stride: parts.depthwise.stride,
            narrow: RowAffine::of(&parts.narrow)?,
            residual: parts.residual,
        })
    }

    /// The lines of the output from `first` on.
    fn run(&self, output: &mut [f32], image: usize, first: usize, scratch: &mut Scratch) {
        let [height, width, channels] = self.dims;
        let image = &self.input.values()[image * height * width * channels..][..height * width * channels];
        let (wide, columns) = (self.widen.outputs(), width.div_ceil(self.stride));
        let line = columns * self.narrow.outputs();
        let count = output.len() / line;

        // Lines are widened a few at a time, into a ring that holds them and the two before them.
        let together = (PIXELS / width).max(1);
        let slots = together * (1 + 2_usize.div_ceil(together));
        let (start, end) =
            ((first * self.stride).saturating_sub(1), ((first + count - 1) * self.stride + 2).min(height));
        let slot = |row: usize| (row - start) % slots * width * wide;
        let mut widened = start;

        let narrowed = (PIXELS / columns).max(1);
        let [ring, convolved] = scratch.buffers([slots * width * wide, narrowed * columns * wide]);
        for (step, output) in output.chunks_mut(narrowed * line).enumerate() {
            let convolved = &mut convolved[..output.len() / line * columns * wide];
            for (index, convolved) in convolved.chunks_exact_mut(columns * wide).enumerate() {
                let centre = (first + step * narrowed + index) * self.stride;
                while widened < (centre + 2).min(height) {
                    let next = (widened + together).min(end);
                    let ring = &mut ring[slot(widened)..][..(next - widened) * width * wide];
                    let lines = &image[widened * width * channels..next * width * channels];
                    self.widen.map(ring, lines, GELU, Threads::One);
                    widened = next;
                }
                let line = |row: usize| &ring[slot(row)..][..width * wide];
                self.depthwise.convolve(convolved, neighbours(centre, height).map(|row| row.map(line)), GELU);
            }
            if self.residual {
                let start = (first + step * narrowed) * line;
                output.copy_from_slice(&image[start..][..output.len()]);
                self.narrow.add_to(output, convolved, Threads::One);
                vectorised(
                    #[inline(always)]
                    || activate(output, GELU),
                );
            } else {
                self.narrow.map(output, convolved, None, Threads::One);
            }
        }
    }
}

fn by_operators(x: Tensor<4>, parts: InvertedBottleneck) -> Tensor<4> {
    let y = activate_by_operators(parts.widen.by_operators(x.clone()), GELU);
    let y = activate_by_operators(parts.depthwise.by_operators(y), GELU);
    let y = in_type(parts.narrow.by_operators(y), x.dtype());
    if parts.residual { activate_by_operators(x + y, GELU) } else { y }
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 1.4e-7.
    const TOLERANCE: f64 = 2e-6;

    fn parts([inputs, wide, outputs]: [usize; 3], stride: usize) -> InvertedBottleneck {
        let affine = |name: &str, inputs, outputs| {
            let bias = input(&format!("{name} bias"), [outputs], 1.0);
            Affine::new(input(name, [outputs, inputs], 0.5), bias)
        };
        let weight = input("depthwise", [wide, 1, 3, 3], 1.0);
        InvertedBottleneck {
            widen: affine("widen", inputs, wide),
            depthwise: Depthwise { weight, bias: input("bias", [wide], 1.0), stride },
            narrow: affine("narrow", wide, outputs),
            residual: stride == 1,
        }
    }

    /// Bands of one line and of many; lines that are widened one by one and several at a time.
    #[test]
    fn agrees_with_burn() {
        for [height, width] in [[1, 1], [5, 300], [41, 130], [70, 33], [150, 7]] {
            for (stride, outputs) in [(1, 12), (2, 20)] {
                let parts = parts([12, 19, outputs], stride);
                let x = input("x", [2, height, width, 12], 1.0);
                let expected = by_operators(x.clone(), parts.clone());
                let actual = inverted_bottleneck(x, parts);
                assert_eq!(actual.dims(), expected.dims());
                let expected = expected.into_data().try_into_vec::<f32>().expect("computed in f32");
                let error = relative_error(actual, &expected);
                assert!(error < TOLERANCE, "{height} {width} {stride}: {error}");
            }
        }
    }

    /// As on a GPU: maps in half precision, the depthwise convolution and the tokens in f32.
    #[test]
    fn maps_in_half_precision_are_close_and_tokens_stay_in_f32() {
        for (dtype, tolerance) in HALF {
            for (stride, outputs) in [(1, 12), (2, 20)] {
                let x = input("x", [2, 9, 11, 12], 1.0);
                let parts = parts([12, 19, outputs], stride);
                let expected = by_operators(x.clone(), parts.clone()).into_data().try_into_vec::<f32>();
                let [widen, narrow] = [&parts.widen, &parts.narrow].map(|affine| affine.clone().of_type(dtype));
                let found = by_operators(x, InvertedBottleneck { widen, narrow, ..parts });
                let error = relative_error(found, &expected.expect("computed in f32"));
                assert!(error > 0.0 && error < tolerance, "{dtype:?} {stride}: {error}");
            }
        }
    }

    /// Measured: at most 5.9e-4 and 5.0e-3.
    const HALF: [(DType, f64); 2] = [(DType::F16, 2e-3), (DType::BF16, 2e-2)];
}
