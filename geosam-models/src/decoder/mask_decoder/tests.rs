#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor, TensorData};
use geosam_core::{Label, PixelPoint};

use super::*;
use crate::decoder::{PromptEncoder, PromptToken};
use crate::golden::{Golden, input, load_seeded};

/// Measured: at most 8.6e-7, of SAM 2 1.7e-6.
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
        for image in [image.clone(), mask_decoder.project(image)] {
            let [single, triple] =
                [false, true].map(|multimask| mask_decoder.forward(&image, None, sparse.clone(), multimask));
            let logits = Tensor::cat(vec![single.logits, triple.logits], 1);
            let scores = Tensor::cat(vec![single.scores, triple.scores], 1);
            errors.push((format!("{case}.logits"), golden.error(&format!("{case}.logits"), logits)));
            errors.push((format!("{case}.scores"), golden.error(&format!("{case}.scores"), scores)));
        }
    }
    assert!(errors.iter().all(|(_, error)| *error < TOLERANCE), "{errors:?}");
}

#[test]
fn prompts_of_a_batch_do_not_touch_each_other() {
    let (prompt_encoder, mask_decoder) = modules();
    let image = ImageTokens::new(features() + prompt_encoder.no_mask(), prompt_encoder.dense_pe(GRID));
    let prompts = [corners(), [foreground(), PromptToken::NotAPoint]];
    let sparse = prompt_encoder.sparse(&[&prompts[0], &prompts[1]]);
    for image in [image.clone(), mask_decoder.project(image)] {
        let together = mask_decoder.forward(&image, None, sparse.clone(), true).logits;
        for (index, prompt) in prompts.iter().enumerate() {
            let alone = mask_decoder.forward(&image, None, prompt_encoder.sparse(&[prompt]), true).logits.into_data();
            let alone = alone.try_to_vec::<f32>().unwrap();
            let error = crate::golden::relative_error(together.clone().slice(index..=index), &alone);
            assert!(error < TOLERANCE, "{error}");
        }
    }
}

fn sam2_modules() -> (PromptEncoder, MaskDecoder) {
    (
        load_seeded("sam_prompt_encoder", |weights| PromptEncoder::load(weights, WIDTH, SIZE)),
        load_seeded("sam_mask_decoder", |weights| {
            let transformer = TwoWayTransformerConfig::published(WIDTH, ["layers.0", "layers.1"]);
            MaskDecoder::load(weights, transformer, Generation::Sam2)
        }),
    )
}

fn sam2_features() -> Tensor<3> {
    input("features", [1, WIDTH, GRID, GRID], 8.0).flatten::<3>(2, 3).swap_dims(1, 2)
}

fn high_res() -> HighResTokens {
    HighResTokens::new([
        input("high_res_feats.0", [1, WIDTH / 8, 4 * GRID, 4 * GRID], 4.0),
        input("high_res_feats.1", [1, WIDTH / 4, 2 * GRID, 2 * GRID], 4.0),
    ])
}

/// The cases of `make_sam2_goldens.py`: name, tokens, whether there is a mask.
fn sam2_cases() -> [(&'static str, Vec<PromptToken>, bool); 6] {
    let third = PromptToken::Point(PixelPoint::new(64.0, 8.0), Label::Foreground);
    cases().map(|(case, tokens, with_mask)| {
        let tokens = match case {
            "points" => [&tokens[..2], &[third, PromptToken::NotAPoint]].concat(),
            "box" => [&corners()[..], &[PromptToken::NotAPoint]].concat(),
            "both" => [&corners()[..], &[foreground(), PromptToken::NotAPoint]].concat(),
            _ => tokens,
        };
        (case, tokens, with_mask)
    })
}

#[test]
fn tokens_logits_and_scores_agree_with_sam2() {
    let golden = Golden::open("sam2_decoder.safetensors");
    let (prompt_encoder, mask_decoder) = sam2_modules();
    let (position, high_res) = (prompt_encoder.dense_pe(GRID), high_res());
    let mut errors = Vec::new();
    let mut picked = Vec::new();
    for (case, tokens, with_mask) in sam2_cases() {
        let sparse = prompt_encoder.sparse(&[&tokens]);
        if !tokens.is_empty() {
            errors.push((format!("{case}.sparse"), golden.error(&format!("{case}.sparse"), sparse.clone())));
        }
        let dense = if with_mask {
            prompt_encoder.dense(input("mask", [1, 1, 4 * GRID, 4 * GRID], 8.0))
        } else {
            prompt_encoder.no_mask()
        };
        let image = ImageTokens::new(sam2_features() + dense, position.clone());
        for image in [image.clone(), mask_decoder.project(image)] {
            for (multimask, prefix) in [(false, case.to_string()), (true, format!("{case}.multimask"))] {
                let decoded = mask_decoder.forward(&image, Some(&high_res), sparse.clone(), multimask);
                errors.push((format!("{prefix}.logits"), golden.error(&format!("{prefix}.logits"), decoded.logits)));
                errors.push((format!("{prefix}.scores"), golden.error(&format!("{prefix}.scores"), decoded.scores)));
            }
        }
        picked.extend(golden.bytes(&format!("{case}.picked")));
    }
    assert!(errors.iter().all(|(_, error)| *error < TOLERANCE), "{errors:?}");
    // Stable answers and unstable ones, and each of the three to fall back on.
    assert_eq!(picked, [0, 1, 2, 1, 3, 3]);
}

#[test]
fn each_prompt_of_a_batch_has_its_own_choice_of_mask() {
    let golden = Golden::open("sam2_decoder.safetensors");
    let (prompt_encoder, mask_decoder) = sam2_modules();
    let image = ImageTokens::new(sam2_features() + prompt_encoder.no_mask(), prompt_encoder.dense_pe(GRID));
    let [(stable, stable_tokens, _), _, _, (unstable, unstable_tokens, _), ..] = sam2_cases();
    let sparse = prompt_encoder.sparse(&[&stable_tokens, &unstable_tokens]);
    let together = mask_decoder.forward(&image, Some(&high_res()), sparse, false);
    for (row, case) in [stable, unstable].into_iter().enumerate() {
        let logits = golden.error(&format!("{case}.logits"), together.logits.clone().slice(row..=row));
        let scores = golden.error(&format!("{case}.scores"), together.scores.clone().slice(row..=row));
        assert!(logits < TOLERANCE && scores < TOLERANCE, "{case}: {logits}, {scores}");
    }
}

#[test]
fn an_unstable_mask_gives_way_to_the_first_of_the_best() {
    let logits = |single: [f32; 4]| {
        let values = single.into_iter().flat_map(|logit| [logit, 0.0, 0.0, 0.0]).collect();
        Tensor::from_data(TensorData::new(values, [1, 4, 4]), &Device::flex())
    };
    let scores = Tensor::from_floats([[0.9, 0.3, 0.7, 0.7]], &Device::flex());
    for (single, expected) in [
        // At ±0.05 itself a pixel is neither within the upper threshold nor within the lower.
        ([1.0, 1.0, 0.06, -0.05], 0),
        ([1.0, 1.0, 0.05, -1.0], 2),
        ([1.0, 1.0, 1.0, 0.0], 2),
        ([-1.0; 4], 0),
    ] {
        assert_eq!(dynamic_multimask(&logits(single), &scores), [expected], "{single:?}");
    }
}
