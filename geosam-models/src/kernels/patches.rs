//! Convolution of an image to tokens, for kernels that see each pixel a few times at most.
//!
//! Costs 2·tokens·outputs·channels·kernel² operations, reads the image a few times and writes the tokens once. Of
//! `benches/encoder.rs`, two cores, share of the f32 peak measured in the same run: 57 to 61 % for 14×14 and 16×16 patches, about
//! 50 % for 7×7, whose squares of 147 values are short for a product, 10 % for the 3×3 of three channels that MobileSAM begins
//! with.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};
use rayon::prelude::*;

use super::activation::activate_by_operators;
use super::affine::{Affine, RowAffine};
use super::buffer::{self, Buffer};
use super::cast::in_type;
use super::matmul::Threads;
use super::rows::Chunks;
use crate::nn::Activation;

/// Geometry of [`patches`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patches {
    /// Side of the square that a token sees.
    pub(crate) kernel: usize,
    /// From one token to the next.
    pub(crate) stride: usize,
    /// Zeros added on every side.
    pub(crate) padding: usize,
}

/// Where the channels of an image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[batch, channels, height, width]`; columns of a weight in the order channel, row, column.
    ChannelsFirst,
    /// `[batch, height, width, channels]`; columns of a weight in the order row, column, channel.
    ChannelsLast,
}

/// activation(the convolution of `images`), channels last. The squares are gathered a few at a time and multiplied with
/// the weight, while they are in the cache.
///
/// # Shapes
/// - images: as `layout` says
/// - affine: weight `[outputs, channels·kernel·kernel]`, columns as `layout` says
/// - output: `[batch, (height + 2·padding - kernel) / stride + 1, likewise, outputs]`
pub(crate) fn patches(
    images: Tensor<4>,
    layout: Layout,
    affine: Affine,
    geometry: Patches,
    activation: Option<Activation>,
) -> Tensor<4> {
    let (Some(input), Some(rows)) = (Buffer::of(&images), RowAffine::of(&affine)) else {
        return activate_by_operators(by_operators(images, layout, affine, geometry), activation);
    };
    let (batch, image) = Image::of(input.values(), images.dims(), layout);
    let Patches { kernel, stride, padding } = geometry;
    let [down, across] = [image.height, image.width].map(|side| (side + 2 * padding - kernel) / stride + 1);
    let (seen, outputs) = (image.planes * image.pixel * kernel * kernel, rows.outputs());
    let tokens = batch * down * across;
    let gather = |squares: &mut [f32], first: usize| {
        squares.fill(0.0);
        for (token, square) in (first..).zip(squares.chunks_exact_mut(seen)) {
            let [index, row, column] = [token / (down * across), token / across % down, token % across];
            image.gather(square, index, [row, column].map(|at| (at * stride) as isize - padding as isize), kernel);
        }
    };
    let mut output = buffer::zeroed(tokens * outputs);
    Chunks::of(tokens, seen.max(outputs), seen * outputs).for_each(
        &mut output,
        outputs,
        |output, first, threads, scratch| {
            let [squares] = scratch.buffers([output.len() / outputs * seen]);
            match threads {
                Threads::One => gather(squares, first),
                Threads::All => squares
                    .par_chunks_mut(across * seen)
                    .enumerate()
                    .for_each(|(index, squares)| gather(squares, first + index * across)),
            }
            rows.map(output, squares, activation, threads);
        },
    );
    buffer::tensor(output, [batch, down, across, outputs])
}

/// Images whose planes have pixels of so many values: as many planes as channels, or one.
struct Image<'a> {
    values: &'a [f32],
    planes: usize,
    height: usize,
    width: usize,
    pixel: usize,
}

impl<'a> Image<'a> {
    /// How many there are, and what they look like.
    fn of(values: &'a [f32], dims: [usize; 4], layout: Layout) -> (usize, Self) {
        match (layout, dims) {
            (Layout::ChannelsFirst, [batch, planes, height, width]) => {
                (batch, Self { values, planes, height, width, pixel: 1 })
            }
            (Layout::ChannelsLast, [batch, height, width, pixel]) => {
                (batch, Self { values, planes: 1, height, width, pixel })
            }
        }
    }

    /// The square with its first pixel at `[row, column]`, into zeros.
    fn gather(&self, square: &mut [f32], index: usize, [row, column]: [isize; 2], kernel: usize) {
        let Self { planes, height, width, pixel, .. } = *self;
        let columns = column.max(0) as usize..(column + kernel as isize).clamp(0, width as isize) as usize;
        let offset = (columns.start as isize - column) as usize;
        for plane in 0..planes {
            for line in 0..kernel {
                let y = row + line as isize;
                if y < 0 || y >= height as isize {
                    continue;
                }
                let start = ((index * planes + plane) * height + y as usize) * width;
                let pixels = &self.values[(start + columns.start) * pixel..(start + columns.end) * pixel];
                square[((plane * kernel + line) * kernel + offset) * pixel..][..pixels.len()].copy_from_slice(pixels);
            }
        }
    }
}

fn by_operators(
    images: Tensor<4>,
    layout: Layout,
    affine: Affine,
    Patches { kernel, stride, padding }: Patches,
) -> Tensor<4> {
    let weight = affine.weight.unpacked(&images.device());
    let [outputs, seen] = weight.dims();
    let channels = seen / (kernel * kernel);
    let images = in_type(images, weight.dtype());
    let (images, weight) = match layout {
        Layout::ChannelsFirst => (images, weight.reshape([outputs, channels, kernel, kernel])),
        Layout::ChannelsLast => {
            let weight = weight.reshape([outputs, kernel, kernel, channels]);
            (images.permute([0, 3, 1, 2]), weight.permute([0, 3, 1, 2]))
        }
    };
    let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    module::conv2d(images, weight, Some(affine.bias), options).permute([0, 2, 3, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 2.6e-7.
    const TOLERANCE: f64 = 2e-6;

    fn compare(images: &Tensor<4>, layout: Layout, affine: impl Fn() -> Affine, geometry: Patches) {
        for activation in [None, Some(Activation::Gelu)] {
            let expected = by_operators(images.clone(), layout, affine(), geometry);
            let expected = activate_by_operators(expected, activation);
            let actual = patches(images.clone(), layout, affine(), geometry, activation);
            assert_eq!(actual.dims(), expected.dims());
            let expected = expected.into_data().try_into_vec::<f32>().expect("computed in f32");
            let error = relative_error(actual, &expected);
            assert!(error < TOLERANCE, "{layout:?} {geometry:?} {:?}: {error}", images.dims());
        }
    }

    #[test]
    fn agrees_with_burn() {
        for (kernel, stride, padding) in [(4, 4, 0), (7, 4, 3), (3, 2, 1), (3, 1, 1)] {
            for [height, width] in [[16, 24], [256, 260]] {
                let affine = || Affine::new(input("weight", [10, 3 * kernel * kernel], 0.3), input("bias", [10], 1.0));
                let geometry = Patches { kernel, stride, padding };
                compare(&input("images", [2, 3, height, width], 1.0), Layout::ChannelsFirst, affine, geometry);
                compare(&input("images", [2, height, width, 3], 1.0), Layout::ChannelsLast, affine, geometry);
            }
        }
    }

    /// Weights so large that all cores work on the same tokens.
    #[test]
    fn large_weights_agree_with_burn() {
        let affine = || Affine::new(input("weight", [300, 9 * 100], 0.05), input("bias", [300], 1.0));
        let geometry = Patches { kernel: 3, stride: 1, padding: 1 };
        compare(&input("images", [2, 31, 40, 100], 1.0), Layout::ChannelsLast, affine, geometry);
    }
}
