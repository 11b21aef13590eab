#![allow(clippy::unwrap_used)]

use super::*;
use crate::golden::{Golden, assert_images_do_not_touch, input, load_seeded};

/// Measured: at most 6.2e-7, at the embedding. Norms with the other family's epsilon are 3e-5 off.
const TOLERANCE: f64 = 1e-5;

/// What `make_sam2_goldens.py` stores: one value in so many.
const SAMPLING: usize = 5;

/// The encoder of `make_sam2_goldens.py`.
fn encoder() -> ImageEncoder {
    let config = HieraConfig { image_size: 256, depths: [1, 2, 3, 2], features: 32, ..HieraConfig::miniature() };
    load_seeded("", |weights| ImageEncoder::load(weights, &config))
}

#[test]
fn features_agree_with_sam2() {
    let golden = Golden::open("hiera_encoder.safetensors");
    let ImageFeatures { embedding, high_res } = encoder().forward(input("images", [1, 3, 256, 256], 0.2));
    let [high_res0, high_res1] = high_res.unwrap();
    let errors = [("image_embed", embedding), ("high_res_feats.0", high_res0), ("high_res_feats.1", high_res1)]
        .map(|(name, features)| golden.sampled_error(name, features, SAMPLING));
    assert!(errors.iter().all(|&error| error < TOLERANCE), "{errors:?}");
}

#[test]
fn images_of_a_batch_do_not_touch_each_other() {
    let encoder = encoder();
    assert_images_do_not_touch(|images| encoder.forward(images), input("batch", [2, 3, 256, 256], 2.0));
}
