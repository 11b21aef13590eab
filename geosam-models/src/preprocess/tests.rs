#![allow(clippy::unwrap_used)]

use super::*;
use crate::golden::{Golden, uniform};

const SIZE: usize = 40;

/// The chips of `make_image_goldens.py`: square, enlarged, halved, shrunk, long and thin.
const CHIPS: [(usize, usize); 8] = [(40, 40), (25, 33), (80, 80), (61, 90), (97, 31), (3, 77), (13, 13), (120, 41)];

fn image(height: usize, width: usize) -> ModelImage {
    let name = format!("image {height}x{width}");
    let bytes = uniform(&name, 3 * height * width).map(|u| ((u + 1.0) * 128.0) as u8);
    ModelImage::new(Shape::new(height, width), bytes.collect()).unwrap()
}

#[test]
fn standard_resizing_is_pillows_byte_for_byte() {
    let golden = Golden::open("images.safetensors");
    for (height, width) in CHIPS {
        let image = image(height, width);
        let content = Letterbox::new(image.shape(), SIZE).content();
        let found = resized(&image, content, Preprocess::Standard);
        assert!(*found == golden.bytes(&format!("pillow {height}x{width}")), "{height}×{width}");
    }
}

#[test]
fn geosam01_letterbox_is_ultralytics_byte_for_byte() {
    let golden = Golden::open("images.safetensors");
    for (height, width) in CHIPS {
        let planes = normalized(&image(height, width), SIZE, Preprocess::Geosam01, BYTES);
        let found: Vec<u8> = (0..SIZE * SIZE)
            .flat_map(|pixel| [0, 1, 2].map(|channel| planes[channel * SIZE * SIZE + pixel] as u8))
            .collect();
        assert!(found == golden.bytes(&format!("geosam-0.1 {height}x{width}")), "{height}×{width}");
    }
}

/// Leaves bytes as they are.
const BYTES: Normalization = Normalization { mean: [0.0; 3], std: [1.0; 3] };

#[test]
fn standard_pads_with_zero_after_normalisation() {
    let planes = normalized(&image(25, 33), SIZE, Preprocess::Standard, Normalization::of(ModelType::Sam));
    for plane in planes.chunks_exact(SIZE * SIZE) {
        assert!(plane[30 * SIZE..].iter().all(|&v| v == 0.0));
        assert!(plane[..30 * SIZE].iter().any(|&v| v != 0.0));
    }
}

#[test]
fn a_device_that_normalises_by_itself_makes_the_same() {
    let device = Device::flex();
    let images: Vec<_> = CHIPS.iter().map(|&(height, width)| image(height, width)).collect();
    for mode in [Preprocess::Standard, Preprocess::Geosam01] {
        for family in [ModelType::Sam, ModelType::Sam3] {
            let normalization = Normalization::of(family);
            let there: Vec<_> = images
                .iter()
                .map(|image| prepare_there(image, SIZE, mode, normalization, &device, DType::F32))
                .collect();
            for (image, found) in images.iter().zip(&there) {
                let expected = prepare(image, SIZE, mode, normalization, &device);
                found.clone().into_data().assert_eq(&expected.into_data(), true);
            }
            let all = prepare_all(&images, SIZE, mode, normalization, &device, DType::F32);
            assert_eq!(all.dims(), [images.len(), 3, SIZE, SIZE]);
            all.clone().into_data().assert_eq(&Tensor::cat(there, 0).into_data(), true);
            let half = prepare_all(&images, SIZE, mode, normalization, &device, DType::F16);
            half.into_data().assert_eq(&all.cast(DType::F16).into_data(), true);
        }
    }
}

#[test]
fn channels_are_normalised_in_their_order() {
    let image = ModelImage::new(Shape::square(1), vec![10, 20, 30]).unwrap();
    let first = |mode| {
        let planes = normalized(&image, 1, mode, Normalization::of(ModelType::Sam));
        [planes[0], planes[1], planes[2]]
    };
    let expected = [(10.0 - 123.675) / 58.395, (20.0 - 116.28) / 57.12, (30.0 - 103.53) / 57.375];
    assert_eq!(first(Preprocess::Standard), expected);
    let reversed = [(30.0 - 123.675) / 58.395, (20.0 - 116.28) / 57.12, (10.0 - 103.53) / 57.375];
    assert_eq!(first(Preprocess::Geosam01), reversed);
}
