#![allow(clippy::unwrap_used)]

use geosam_core::{Label, PixelPoint};

use super::*;
use crate::decoder::{
    Generation, HighResTokens, ImageTokens, MaskDecoder, PromptEncoder, PromptToken, TwoWayTransformerConfig,
};
use crate::golden::{Golden, assert_images_do_not_touch, input, load_seeded};

/// Measured: at most 8e-7, at the answer to a click. Norms with the other family's epsilon are 3e-5 off.
const TOLERANCE: f64 = 1e-5;

const SIZE: usize = 168;
const FEATURES: usize = 32;

fn images() -> Tensor<4> {
    input("images", [1, 3, SIZE, SIZE], 0.2)
}

/// The encoder of `make_sam3_goldens.py`.
fn encoder() -> ImageEncoder {
    let config = PerceptionEncoderConfig {
        image_size: SIZE,
        window: 4,
        position_grid: 4,
        features: FEATURES,
        ..PerceptionEncoderConfig::miniature()
    };
    load_seeded("", |weights| ImageEncoder::load(weights, &config))
}

#[test]
fn features_agree_with_sam3() {
    let golden = Golden::open("sam3.safetensors");
    let ImageFeatures { embedding, high_res } = encoder().forward(images());
    let [high_res0, high_res1] = high_res.unwrap();
    let errors = [("image_embed", embedding), ("high_res_feats.0", high_res0), ("high_res_feats.1", high_res1)]
        .map(|(name, features)| golden.error(name, features));
    assert!(errors.iter().all(|&error| error < TOLERANCE), "{errors:?}");
}

#[test]
fn answer_to_a_click_agrees_with_sam3() {
    let golden = Golden::open("sam3.safetensors");
    let prompt_encoder =
        load_seeded("tracker.sam_prompt_encoder", |weights| PromptEncoder::load(weights, FEATURES, SIZE));
    let mask_decoder = load_seeded("tracker.sam_mask_decoder", |weights| {
        let published = TwoWayTransformerConfig::published(FEATURES, ["lin1", "lin2"]);
        let transformer = TwoWayTransformerConfig { mlp_dim: 2048, ..published };
        MaskDecoder::load(weights, transformer, Generation::Sam2)
    });

    let ImageFeatures { embedding, high_res } = encoder().forward(images());
    let embedding = embedding.flatten::<3>(2, 3).swap_dims(1, 2) + prompt_encoder.no_mask();
    let image = ImageTokens::new(embedding, prompt_encoder.dense_pe(SIZE / 14));
    let click = PromptToken::Point(PixelPoint::new(40.25, 71.5), Label::Foreground);
    let sparse = prompt_encoder.sparse(&[&[click, PromptToken::NotAPoint]]);
    let decoded = mask_decoder.forward(&image, high_res.map(HighResTokens::new).as_ref(), sparse, true);
    let errors = [golden.error("logits", decoded.logits), golden.error("scores", decoded.scores)];
    assert!(errors.iter().all(|&error| error < TOLERANCE), "{errors:?}");
}

#[test]
fn images_of_a_batch_do_not_touch_each_other() {
    let encoder = encoder();
    assert_images_do_not_touch(|images| encoder.forward(images), input("batch", [2, 3, SIZE, SIZE], 2.0));
}
