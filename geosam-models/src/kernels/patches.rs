//! Convolution of an image to tokens, for kernels that see each pixel a few times at most.
//!
//! Costs 2·tokens·outputs·channels·kernel² operations, reads the image a few times and writes the tokens once. Of
//! `benches/encoder.rs`, two cores, share of the f32 peak measured in the same run: 57 to 61 % for 14×14 and 16×16 patches, about
//! 50 % for 7×7, whose squares of 147 values are short for a product, 10 % for the 3×3 of three channels that MobileSAM begins
//! with.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor, module};
use rayon::prelude::*;

use super::activation::activate_by_operators;
use super::affine::{Affine, RowAffine};
use super::buffer::{self, Buffer};
use super::cast::in_type;
use super::matmul::Threads;
use super::rows::Chunks;
use crate::device::is_cpu;
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

/// activation(the convolution of `images`), channels last, in f32 whatever the type of the weight. The squares are gathered a
/// few at a time and multiplied with the weight, while they are in the cache.
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
        let by_operators = if is_cpu(&images.device()) { by_convolution } else { by_products };
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

/// Images `[batch, height, width, channels]` and a weight `[outputs, kernel, kernel, channels]`, whatever the layout.
fn channels_last(images: Tensor<4>, layout: Layout, weight: Tensor<2>, kernel: usize) -> (Tensor<4>, Tensor<4>) {
    let [outputs, seen] = weight.dims();
    let channels = seen / (kernel * kernel);
    match layout {
        Layout::ChannelsFirst => {
            let weight = weight.reshape([outputs, channels, kernel, kernel]);
            (images.permute([0, 2, 3, 1]), weight.permute([0, 2, 3, 1]))
        }
        Layout::ChannelsLast => (images, weight.reshape([outputs, kernel, kernel, channels])),
    }
}

/// [`patches`] with the operator of that name.
fn by_convolution(
    images: Tensor<4>,
    layout: Layout,
    affine: Affine,
    Patches { kernel, stride, padding }: Patches,
) -> Tensor<4> {
    let weight = affine.weight.unpacked(&images.device());
    let (images, weight) = channels_last(images, layout, weight, kernel);
    let [images, weight] = [images, weight].map(|x| x.permute([0, 3, 1, 2]));
    let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    module::conv2d(images, weight, Some(affine.bias), options).permute([0, 2, 3, 1])
}

/// [`patches`] for GPUs, as a product of matrices: its kernels add up in f32 in any precision, and those of convolutions in
/// f16 in f16.
///
/// The image is cut in squares of stride × stride pixels, and so is what each token sees, filled up with zeros. Every square of
/// the image is multiplied with every part of the kernel, at once, which gives numbers of the weight's type; a token is the sum
/// of its squares' products in f32.
fn by_products(
    images: Tensor<4>,
    layout: Layout,
    affine: Affine,
    Patches { kernel, stride, padding }: Patches,
) -> Tensor<4> {
    let weight = affine.weight.unpacked(&images.device());
    let dtype = weight.dtype();
    let (images, weight) = channels_last(images, layout, weight, kernel);
    let ([batch, height, width, channels], [outputs, ..]) = (images.dims(), weight.dims());
    let [down, across] = [height, width].map(|side| (side + 2 * padding - kernel) / stride + 1);
    // Squares that a token sees, and that the image has, along an axis.
    let parts = kernel.div_ceil(stride);
    let [rows, columns] = [down, across].map(|tokens| tokens + parts - 1);

    let images = placed_in_zeros(in_type(images, dtype), [rows * stride, columns * stride], padding);
    let squares = images.reshape([batch, rows, stride, columns, stride, channels]).permute([0, 1, 3, 2, 4, 5]);
    let weight = placed_in_zeros(weight, [parts * stride; 2], 0);
    let weight = weight.reshape([outputs, parts, stride, parts, stride, channels]).permute([1, 3, 0, 2, 4, 5]);
    let [square, several] = [stride * stride * channels, parts * parts * outputs];
    let (squares, weight) = (squares.reshape([batch * rows * columns, square]), weight.reshape([several, square]));
    if parts == 1 {
        let tokens = Affine::new(weight, affine.bias).by_operators(squares);
        return in_type(tokens, DType::F32).reshape([batch, down, across, outputs]);
    }
    let products = squares.matmul(weight.transpose()).reshape([batch, rows, columns, several]);
    let part = |index: usize| {
        let [row, column, first] = [index / parts, index % parts, index * outputs];
        let seen = [0..batch, row..row + down, column..column + across, first..first + outputs];
        in_type(products.clone().slice(seen), DType::F32)
    };
    let bias = in_type(affine.bias, DType::F32).reshape([1, 1, 1, outputs]);
    (0..parts * parts).fold(bias, |sum, index| sum + part(index))
}

/// `x` from row and column `offset` on within zeros, cut off where it reaches over their edge.
///
/// # Shapes
/// - x: `[batch, height, width, channels]`
/// - output: `[batch, rows, columns, channels]`
fn placed_in_zeros(x: Tensor<4>, [rows, columns]: [usize; 2], offset: usize) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    if [rows, columns, offset] == [height, width, 0] {
        return x;
    }
    let [height, width] = [height.min(rows - offset), width.min(columns - offset)];
    let x = x.slice([0..batch, 0..height, 0..width, 0..channels]);
    let place = [0..batch, offset..offset + height, offset..offset + width, 0..channels];
    Tensor::zeros([batch, rows, columns, channels], (&x.device(), x.dtype())).slice_assign(place, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 2.6e-7.
    const TOLERANCE: f64 = 2e-6;

    fn compare(images: &Tensor<4>, layout: Layout, affine: impl Fn() -> Affine, geometry: Patches) {
        for activation in [None, Some(Activation::Gelu)] {
            let expected = by_convolution(images.clone(), layout, affine(), geometry);
            let expected = activate_by_operators(expected, activation);
            let actual = patches(images.clone(), layout, affine(), geometry, activation);
            assert_eq!(actual.dims(), expected.dims());
            let by_products = by_products(images.clone(), layout, affine(), geometry);
            let by_products = activate_by_operators(by_products, activation);
            assert_eq!(by_products.dims(), expected.dims());
            let expected = expected.into_data().try_into_vec::<f32>().expect("computed in f32");
            for found in [actual, by_products] {
                let error = relative_error(found, &expected);
                assert!(error < TOLERANCE, "{layout:?} {geometry:?} {:?}: {error}", images.dims());
            }
        }
    }

    #[test]
    fn agrees_with_burn() {
        for (kernel, stride, padding) in [(4, 4, 0), (7, 4, 3), (3, 2, 1), (3, 1, 1)] {
            for [height, width] in [[16, 24], [256, 260], [17, 30]] {
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

    /// As on a GPU: weights in half precision, images in any.
    #[test]
    fn products_in_half_precision_are_close_and_answered_in_f32() {
        for (dtype, tolerance) in HALF {
            for (kernel, stride, padding) in [(4, 4, 0), (7, 4, 3), (3, 1, 1)] {
                let affine = || Affine::new(input("weight", [10, 3 * kernel * kernel], 0.3), input("bias", [10], 1.0));
                let geometry = Patches { kernel, stride, padding };
                let images = input("images", [2, 3, 16, 24], 1.0);
                let expected = by_convolution(images.clone(), Layout::ChannelsFirst, affine(), geometry);
                let expected = expected.into_data().try_into_vec::<f32>().expect("computed in f32");
                for images in [images.clone(), in_type(images, dtype)] {
                    let found = by_products(images, Layout::ChannelsFirst, affine().of_type(dtype), geometry);
                    let error = relative_error(found, &expected);
                    assert!(error > 0.0 && error < tolerance, "{dtype:?} {geometry:?}: {error}");
                }
            }
        }
    }

    /// Measured: at most 3.3e-4 and 2.7e-3.
    const HALF: [(DType, f64); 2] = [(DType::F16, 1e-3), (DType::BF16, 1e-2)];
}
