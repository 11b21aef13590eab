//! Convolution of an image to tokens, for kernels that see each pixel a few times at most.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};

use super::buffer::{self, Buffer};
use super::linear::{Affine, RowAffine};
use super::rows::Chunks;

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

/// The convolution of `images`, channels last. The squares are gathered a few at a time and multiplied with the weight.
///
/// # Shapes
/// - images: `[batch, channels, height, width]`
/// - affine: weight `[outputs, channels·kernel·kernel]`, columns in the order channel, row, column
/// - output: `[batch, (height + 2·padding - kernel) / stride + 1, likewise, outputs]`
pub(crate) fn patches(images: Tensor<4>, affine: Affine, geometry: Patches) -> Tensor<4> {
    let (Some(input), Some(rows)) = (Buffer::of(&images), RowAffine::of(&affine)) else {
        return by_operators(images, affine, geometry);
    };
    let [batch, channels, height, width] = images.dims();
    let Patches { kernel, stride, padding } = geometry;
    let [down, across] = [height, width].map(|side| (side + 2 * padding - kernel) / stride + 1);
    let (seen, outputs) = (channels * kernel * kernel, rows.outputs());
    let tokens = batch * down * across;
    let mut output = buffer::zeroed(tokens * outputs);
    let image = Image { planes: input.values(), channels, height, width };
    Chunks::of(tokens, seen.max(outputs), seen * outputs).for_each(
        &mut output,
        outputs,
        |output, first, threads, scratch| {
            let [gathered] = scratch.buffers([output.len() / outputs * seen]);
            gathered.fill(0.0);
            for (token, square) in (first..).zip(gathered.chunks_exact_mut(seen)) {
                let [index, row, column] = [token / (down * across), token / across % down, token % across];
                image.gather(square, index, [row, column].map(|at| (at * stride) as isize - padding as isize), kernel);
            }
            rows.map(output, gathered, None, threads);
        },
    );
    buffer::tensor(output, [batch, down, across, outputs])
}

struct Image<'a> {
    planes: &'a [f32],
    channels: usize,
    height: usize,
    width: usize,
}

impl Image<'_> {
    /// The square with its first pixel at `[row, column]`, into zeros.
    fn gather(&self, square: &mut [f32], index: usize, [row, column]: [isize; 2], kernel: usize) {
        let columns = column.max(0) as usize..(column + kernel as isize).clamp(0, self.width as isize) as usize;
        let offset = (columns.start as isize - column) as usize;
        for channel in 0..self.channels {
            for line in 0..kernel {
                let y = row + line as isize;
                if y < 0 || y >= self.height as isize {
                    continue;
                }
                let plane = (index * self.channels + channel) * self.height + y as usize;
                let pixels = &self.planes[plane * self.width..][columns.clone()];
                square[(channel * kernel + line) * kernel + offset..][..pixels.len()].copy_from_slice(pixels);
            }
        }
    }
}

fn by_operators(images: Tensor<4>, affine: Affine, Patches { kernel, stride, padding }: Patches) -> Tensor<4> {
    let [_, channels, _, _] = images.dims();
    let weight = affine.weight.in_f32(&images.device());
    let [outputs, _] = weight.dims();
    let weight = weight.reshape([outputs, channels, kernel, kernel]);
    let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    module::conv2d(images, weight, Some(affine.bias), options).permute([0, 2, 3, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: 9.1e-8.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn agrees_with_burn() {
        for (kernel, stride, padding) in [(4, 4, 0), (7, 4, 3), (3, 2, 1)] {
            for [height, width] in [[16, 24], [256, 260]] {
                let images = input("images", [2, 3, height, width], 1.0);
                let affine = || Affine::new(input("weight", [10, 3 * kernel * kernel], 0.3), input("bias", [10], 1.0));
                let geometry = Patches { kernel, stride, padding };
                let expected = by_operators(images.clone(), affine(), geometry);
                let actual = patches(images, affine(), geometry);
                assert_eq!(actual.dims(), expected.dims());
                let expected = expected.into_data().try_into_vec::<f32>().expect("computed in f32");
                let error = relative_error(actual, &expected);
                assert!(error < TOLERANCE, "{geometry:?} {height} {width}: {error}");
            }
        }
    }
}
