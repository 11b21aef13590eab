use super::*;
use crate::golden::{Golden, assert_images_do_not_touch, input, load_seeded};
use crate::image_features::ImageFeatures;

/// Measured: at most 9.6e-7, at the features.
const TOLERANCE: f64 = 2e-5;

fn encoder() -> ImageEncoderViT {
    let config = VitConfig {
        image_size: 128,
        width: 64,
        depth: 3,
        heads: 2,
        global_attention: vec![1],
        window: 3,
        features: 32,
        ..VitConfig::vit_b()
    };
    load_seeded("image_encoder", |weights| ImageEncoderViT::load(weights, &config))
}

#[test]
fn every_stage_agrees_with_segment_anything() {
    let golden = Golden::open("vit_encoder.safetensors");
    let encoder = encoder();
    let images = input("images", [1, 3, 128, 128], 2.0);

    let patches = encoder.patch_embed.forward(images.clone());
    let mut errors = vec![golden.error("patch_embed", patches.clone())];
    let mut x = patches + encoder.pos_embed.val();
    for (index, block) in encoder.blocks.iter().enumerate() {
        x = block.forward(x);
        errors.push(golden.error(&format!("blocks.{index}"), x.clone()));
    }
    errors.push(golden.error("features", encoder.forward(images)));
    assert!(errors.iter().all(|&error| error < TOLERANCE), "{errors:?}");
}

#[test]
fn images_of_a_batch_do_not_touch_each_other() {
    let encoder = encoder();
    let encode = |images| ImageFeatures { embedding: encoder.forward(images), high_res: None };
    assert_images_do_not_touch(encode, input("batch", [2, 3, 128, 128], 2.0));
}
