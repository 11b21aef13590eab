#![allow(clippy::unwrap_used)]

use burn::tensor::Tensor;
use geosam_core::{Label, PixelPoint};

use super::*;
use crate::decoder::{PromptEncoder, PromptToken};
use crate::golden::{Golden, input, load_seeded};

/// Measured: 9e-7.
const TOLERANCE: f64 = 2e-5;

const WIDTH: usize = 256;
const GRID: usize = 8;
const SIZE: usize = 128;

fn foreground() -> PromptToken {
    PromptToken::Point(PixelPoint::new(40.25, 71.5), Label::Foreground)
}

fn corners() -> [PromptToken; 2] {
    [PromptToken::TopLeft(PixelPoint::new(12.5, 30.25)), PromptToken::BottomRight(PixelPoint::new(90.0, 101.5))]
}

/// The cases of `make_decoder_goldens.py`: name, tokens, whether there is a mask.
fn cases() -> [(&'static str, Vec<PromptToken>, bool); 6] {
    let background = PromptToken::Point(PixelPoint::new(3.0, 120.75), Label::Background);
    // More tokens than are folded into the image's space.
    let many = (0..14)
        .map(|i| {
            let at = PixelPoint::new(8.0 * f64::from(i) + 1.0, 120.0 - 7.0 * f64::from(i));
            PromptToken::Point(at, if i % 2 == 1 { Label::Foreground } else { Label::Background })
        })
        .chain([PromptToken::NotAPoint])
        .collect();
    [
        ("points", vec![foreground(), background, PromptToken::NotAPoint], false),
        ("many_points", many, false),
        ("box", corners().to_vec(), false),
        ("both", [vec![foreground()], corners().to_vec()].concat(), false),
        ("points_and_mask", vec![foreground(), PromptToken::NotAPoint], true),
        ("mask", vec![], true),
    ]
}

fn modules() -> (PromptEncoder, MaskDecoder) {
    (
        load_seeded("prompt_encoder", |weights| PromptEncoder::load(weights, WIDTH, SIZE)),
        load_seeded("mask_decoder", |weights| {
            let transformer = TwoWayTransformerConfig::published(WIDTH, ["lin1", "lin2"]);
            MaskDecoder::load(weights, transformer, Generation::Sam)
        }),
    )
}

fn features() -> Tensor<3> {
    input("features", [1, WIDTH, GRID, GRID], 2.0).flatten::<3>(2, 3).swap_dims(1, 2)
}

#[test]
fn tokens_logits_and_scores_agree_with_segment_anything() {
    let golden = Golden::open("decoder.safetensors");
    let (prompt_encoder, mask_decoder) = modules();
    let position = prompt_encoder.dense_pe(GRID);
    let mut errors = vec![("dense_pe".to_string(), golden.error("dense_pe", position.clone()))];
    for (case, tokens, with_mask) in cases() {
        let sparse = prompt_encoder.sparse(&[&tokens]);
        if !tokens.is_empty() {
            errors.push((format!("{case}.sparse"), golden.error(&format!("{case}.sparse"), sparse.clone())));
        }
        let dense = if with_mask {
            prompt_encoder.dense(input("mask", [1, 1, 4 * GRID, 4 * GRID], 8.0))
        } else {
            prompt_encoder.no_mask()
        };
        let image = ImageTokens::new(features() + dense, position.clone());
        let [single, triple] =
            [false, true].map(|multimask| mask_decoder.forward(&image, None, sparse.clone(), multimask));
        let logits = Tensor::cat(vec![single.logits, triple.logits], 1);
        let scores = Tensor::cat(vec![single.scores, triple.scores], 1);
        errors.push((format!("{case}.logits"), golden.error(&format!("{case}.logits"), logits)));
        errors.push((format!("{case}.scores"), golden.error(&format!("{case}.scores"), scores)));
    }
    assert!(errors.iter().all(|(_, error)| *error < TOLERANCE), "{errors:?}");
}

#[test]
fn prompts_of_a_batch_do_not_touch_each_other() {
    let (prompt_encoder, mask_decoder) = modules();
    let image = ImageTokens::new(features() + prompt_encoder.no_mask(), prompt_encoder.dense_pe(GRID));
    let prompts = [corners(), [foreground(), PromptToken::NotAPoint]];
    let sparse = prompt_encoder.sparse(&[&prompts[0], &prompts[1]]);
    let together = mask_decoder.forward(&image, None, sparse, true).logits;
    for (index, prompt) in prompts.iter().enumerate() {
        let alone = mask_decoder.forward(&image, None, prompt_encoder.sparse(&[prompt]), true).logits.into_data();
        let alone = alone.try_to_vec::<f32>().unwrap();
        let error = crate::golden::relative_error(together.clone().slice(index..=index), &alone);
        assert!(error < TOLERANCE, "{error}");
    }
}
