#![allow(clippy::unwrap_used)]

use geosam_core::{Label, MaskPrompt};

use super::*;
use crate::decoder::TwoWayTransformerConfig;
use crate::golden::{Golden, input, load_seeded, relative_error};
use crate::runtime_panic::read;

/// Measured: at most 2.5e-6, at logits.
const TOLERANCE: f64 = 2e-5;

const WIDTH: usize = 256;
const GRID: usize = 8;
const SIZE: usize = 128;

/// The decoder and features of `make_sam2_goldens.py`.
fn session_on(gpu: Option<OpenDevice>) -> SamSession {
    let prompt_encoder = load_seeded("sam_prompt_encoder", |weights| PromptEncoder::load(weights, WIDTH, SIZE));
    let mask_decoder = load_seeded("sam_mask_decoder", |weights| {
        let transformer = TwoWayTransformerConfig::published(WIDTH, ["layers.0", "layers.1"]);
        MaskDecoder::load(weights, transformer, Generation::Sam2)
    });
    let image_pe = prompt_encoder.dense_pe(GRID);
    let decoder =
        PromptDecoder { prompt_encoder, mask_decoder, generation: Generation::Sam2, image_pe, image_size: SIZE, gpu };
    let features = ImageFeatures {
        embedding: input("features", [1, WIDTH, GRID, GRID], 8.0),
        high_res: Some([
            input("high_res_feats.0", [1, WIDTH / 8, 4 * GRID, 4 * GRID], 4.0),
            input("high_res_feats.1", [1, WIDTH / 4, 2 * GRID, 2 * GRID], 4.0),
        ]),
    };
    SamSession::new(Arc::new(decoder), features, Shape::square(SIZE))
}

fn session() -> SamSession {
    session_on(None)
}

/// The cases of `make_sam2_goldens.py`, as they are asked.
fn cases() -> Vec<(&'static str, PixelPrompt)> {
    let points = |points: &[(f64, f64, bool)]| PixelPrompt {
        points: points.iter().map(|&(column, row, _)| PixelPoint::new(column, row)).collect(),
        labels: points.iter().map(|&(_, _, on)| if on { Label::Foreground } else { Label::Background }).collect(),
        ..PixelPrompt::default()
    };
    let click = || points(&[(40.25, 71.5, true)]);
    let bbox = Some(PixelBox { left: 12.5, top: 30.25, right: 90.0, bottom: 101.5 });
    let shape = Shape::square(4 * GRID);
    let mask = Some(MaskPrompt { shape, logits: read(input("mask", [1, 1, shape.height, shape.width], 8.0)) });
    let many: Vec<_> = (0..14).map(|i| (8.0 * f64::from(i) + 1.0, 120.0 - 7.0 * f64::from(i), i % 2 == 1)).collect();
    vec![
        ("points", points(&[(40.25, 71.5, true), (3.0, 120.75, false), (64.0, 8.0, true)])),
        ("many_points", points(&many)),
        ("box", PixelPrompt { bbox, ..PixelPrompt::default() }),
        ("both", PixelPrompt { bbox, ..click() }),
        ("points_and_mask", PixelPrompt { mask: mask.clone(), ..click() }),
        ("mask", PixelPrompt { mask, ..PixelPrompt::default() }),
    ]
}

/// Features, features without a mask, keys, values and queries of half the width, and the maps of high resolution.
#[test]
fn a_session_knows_its_size() {
    let (tokens, maps) = (GRID * GRID, 16 * WIDTH / 8 + 4 * WIDTH / 4);
    assert_eq!(session().size_in_bytes(), 4 * tokens * (2 * WIDTH + 3 * WIDTH / 2 + maps));
}

#[test]
fn answers_agree_with_sam2() {
    let golden = Golden::open("sam2_decoder.safetensors");
    let session = session();
    let mut errors = Vec::new();
    for (case, prompt) in cases() {
        for (multimask, name) in [(false, case.to_string()), (true, format!("{case}.multimask"))] {
            let answer =
                session.predict(std::slice::from_ref(&prompt), PredictOptions { multimask }).unwrap().remove(0);
            let LowResLogits { shape, values } = answer.low_res;
            assert_eq!(shape, Shape::square(4 * GRID));
            let tensor = |values: Vec<f32>| {
                let shape = [values.len()];
                Tensor::<1>::from_data(TensorData::new(values, shape), &burn::tensor::Device::flex())
            };
            errors.push((name.clone(), golden.error(&format!("{name}.logits"), tensor(values))));
            errors.push((name.clone(), golden.error(&format!("{name}.scores"), tensor(answer.scores))));
        }
    }
    assert!(errors.iter().all(|(_, error)| *error < TOLERANCE), "{errors:?}");
}

/// As a GPU does: those of as many tokens together, with masks or without, in batches.
#[test]
fn prompts_that_are_answered_together_are_answered_as_alone() {
    let device =
        OpenDevice { device: burn::tensor::Device::flex(), name: "cuda:0".to_string(), passed_over: Vec::new() };
    let together = SamSession { prompts: AtomicUsize::new(3), ..session_on(Some(device)) };
    let alone = session();
    let prompts: Vec<_> = [cases(), cases()].concat().into_iter().map(|(_, prompt)| prompt).collect();
    for multimask in [false, true] {
        let options = PredictOptions { multimask };
        let found = together.predict(&prompts, options).unwrap();
        assert_eq!(found.len(), prompts.len());
        for (prompt, found) in prompts.iter().zip(found) {
            let expected = alone.predict(std::slice::from_ref(prompt), options).unwrap().remove(0);
            let LowResLogits { shape, values } = found.low_res;
            assert_eq!((shape, found.masks.shape()), (expected.low_res.shape, expected.masks.shape()));
            let values = Tensor::<1>::from_floats(values.as_slice(), &burn::tensor::Device::flex());
            let error = relative_error(values, &expected.low_res.values);
            assert!(error < TOLERANCE, "{prompt:?}: {error}");
        }
    }
}
