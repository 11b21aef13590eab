//! From a chip's bytes to the network's input.
//!
//! Every family sees the same letterbox ([`Letterbox`]); the two modes of [`Preprocess`] differ in the resampling
//! filter, the channel order and what the padding holds:
//!
//! | | `Standard` | `Geosam01` |
//! |---|---|---|
//! | resize | Pillow's antialiased bilinear | OpenCV's integer bilinear |
//! | channels | R, G, B | B, G, R |
//! | padding | 0 after normalisation | 114 before normalisation |

mod letterbox;
mod mask_prompt;
mod opencv;
mod pillow;

use std::borrow::Cow;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use geosam_core::{ModelImage, ModelType, Preprocess, Shape};
use rayon::prelude::*;

pub(crate) use letterbox::Letterbox;
pub(crate) use mask_prompt::mask_input;

use crate::kernels::in_type;

/// Byte that Python geosam's letterbox is filled with.
const GEOSAM01_FILL: usize = 114;

/// Mean and standard deviation of each network channel on the scale 0 to 255.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalization {
    pub(crate) mean: [f32; 3],
    pub(crate) std: [f32; 3],
}

impl Normalization {
    /// What the models of a family were trained with: ImageNet's statistics, and for SAM 3 the range -1 to 1.
    pub(crate) const fn of(model_type: ModelType) -> Self {
        match model_type {
            ModelType::Sam | ModelType::Sam2 => Self { mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] },
            ModelType::Sam3 => Self { mean: [127.5; 3], std: [127.5; 3] },
        }
    }

    /// The normalised value of every byte in one channel.
    fn table(&self, channel: usize) -> [f32; 256] {
        std::array::from_fn(|byte| (byte as f32 - self.mean[channel]) / self.std[channel])
    }
}

/// The network's input for `image`.
///
/// # Shapes
/// - output: `[1, 3, size, size]`
pub(crate) fn prepare(
    image: &ModelImage,
    size: usize,
    mode: Preprocess,
    normalization: Normalization,
    device: &Device,
) -> Tensor<4> {
    let values = normalized(image, size, mode, normalization);
    Tensor::from_data(TensorData::new(values, [1, 3, size, size]), (device, DType::F32))
}

/// The network's input for several images, of type `dtype`. A device that has bytes is sent them, and normalises by itself, in
/// f32.
///
/// # Shapes
/// - output: `[images, 3, size, size]`
pub(crate) fn prepare_all(
    images: &[ModelImage],
    size: usize,
    mode: Preprocess,
    normalization: Normalization,
    device: &Device,
    dtype: DType,
) -> Tensor<4> {
    let has_bytes = device.supports_dtype(DType::U8);
    let prepare = |image| {
        if has_bytes {
            prepare_there(image, size, mode, normalization, device, dtype)
        } else {
            in_type(prepare(image, size, mode, normalization, device), dtype)
        }
    };
    Tensor::cat(images.iter().map(prepare).collect(), 0)
}

/// [`prepare`] with the arithmetic on the device.
fn prepare_there(
    image: &ModelImage,
    size: usize,
    mode: Preprocess,
    normalization: Normalization,
    device: &Device,
    dtype: DType,
) -> Tensor<4> {
    let content = Letterbox::new(image.shape(), size).content();
    let Shape { height, width } = content;
    let bytes = TensorData::new(resized(image, content, mode).into_owned(), [1, height, width, 3]);
    let rgb = Tensor::<4, Int>::from_data(bytes, (device, DType::U8)).float().permute([0, 3, 1, 2]);
    let constant =
        |values: [f32; 3]| Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), (device, DType::F32));
    let normalized = |x: Tensor<4>| in_type((x - constant(normalization.mean)) / constant(normalization.std), dtype);
    let (channels, padding) = match mode {
        Preprocess::Standard => (rgb, in_type(constant([0.0; 3]), dtype)),
        Preprocess::Geosam01 => (rgb.flip([1]), normalized(constant([GEOSAM01_FILL as f32; 3]))),
    };
    let content = normalized(channels);
    if [height, width] == [size; 2] {
        return content;
    }
    padding.expand([1, 3, size, size]).slice_assign([0..1, 0..3, 0..height, 0..width], content)
}

/// What the networks of a family receive for `image`, `[3, size, size]` row-major, for comparison with other systems.
#[doc(hidden)]
#[must_use]
pub fn network_input(image: &ModelImage, model_type: ModelType, mode: Preprocess) -> Vec<f32> {
    normalized(image, model_type.image_size(), mode, Normalization::of(model_type))
}

/// `[3, size, size]` row-major.
fn normalized(image: &ModelImage, size: usize, mode: Preprocess, normalization: Normalization) -> Vec<f32> {
    let content = Letterbox::new(image.shape(), size).content();
    let rgb = resized(image, content, mode);
    let mut planes = vec![0.0; 3 * size * size];
    planes.par_chunks_mut(size * size).enumerate().for_each(|(channel, plane)| {
        let table = normalization.table(channel);
        let (source, padding) = match mode {
            Preprocess::Standard => (channel, 0.0),
            Preprocess::Geosam01 => (2 - channel, table[GEOSAM01_FILL]),
        };
        for (row, out) in plane.chunks_exact_mut(size).enumerate() {
            let filled = if row < content.height { content.width } else { 0 };
            out[filled..].fill(padding);
            if filled > 0 {
                let pixels = rgb[3 * row * content.width..][..3 * content.width].chunks_exact(3);
                for (value, pixel) in out.iter_mut().zip(pixels) {
                    *value = table[usize::from(pixel[source])];
                }
            }
        }
    });
    planes
}

/// Interleaved bytes of the image at `shape`.
fn resized(image: &ModelImage, shape: Shape, mode: Preprocess) -> Cow<'_, [u8]> {
    if image.shape() == shape {
        return Cow::Borrowed(image.rgb());
    }
    Cow::Owned(match mode {
        Preprocess::Standard => pillow::resize(image.rgb(), image.shape(), shape),
        Preprocess::Geosam01 => opencv::resize(image.rgb(), image.shape(), shape),
    })
}

#[cfg(test)]
mod tests;
