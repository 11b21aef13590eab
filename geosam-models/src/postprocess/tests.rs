#![allow(clippy::unwrap_used)]

use super::*;
use crate::golden::{Golden, uniform};

const SIZE: usize = 40;
const SIDE: usize = 10;

/// The masks of `make_image_goldens.py`: content on whole logits, and between them.
const MASKS: [(usize, usize); 8] = [(10, 10), (40, 40), (30, 40), (33, 50), (100, 37), (7, 90), (2, 200), (64, 64)];

#[test]
fn masks_are_those_of_torch() {
    let golden = Golden::open("images.safetensors");
    let logits: Vec<f32> = uniform("logits", 2 * SIDE * SIDE).map(|u| (u * 5.0) as f32).collect();
    for (height, width) in MASKS {
        let letterbox = Letterbox::new(Shape::new(height, width), SIZE);
        let found: Vec<u8> = masks_at_source(&logits, SIDE, &letterbox).into_iter().map(u8::from).collect();
        assert!(found == golden.bytes(&format!("masks {height}x{width}")), "{height}×{width}");
    }
}

#[test]
fn a_logit_of_zero_is_outside() {
    let letterbox = Letterbox::new(Shape::square(4), 4);
    assert_eq!(masks_at_source(&[0.0], 1, &letterbox), [false; 16]);
}

#[test]
fn stability_is_the_ratio_of_areas_around_the_threshold() {
    // One logit a pixel, and padding of 9 on the right that is not of the chip.
    let letterbox = Letterbox::new(Shape::new(4, 2), 4);
    let logits: Vec<f32> =
        [[2.0, 2.0, 9.0, 9.0], [0.5, 2.0, 9.0, 9.0], [-0.5, -2.0, 9.0, 9.0], [-1.0, 1.0, 9.0, 9.0]].concat();
    // Above 1 are three, above −1 six of the eight.
    assert_eq!(stability_at_source(&logits, 4, &letterbox, 1.0), 0.5);
    assert_eq!(stability_at_source(&logits, 4, &letterbox, 0.0), 1.0);
    assert_eq!(stability_at_source(&[-5.0; 16], 4, &letterbox, 1.0), 0.0);
}
