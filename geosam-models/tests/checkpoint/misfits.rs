//! Strict loading: what is missing, misshapen or superfluous is named.

use std::path::Path;

use geosam_core::Error;
use geosam_models::{ModelOptions, SamConfig, TensorSource, load_model, write_checkpoint, write_random_checkpoint};

use crate::hugging_face::sam3_tracker_model;
use crate::{open, stored};

fn problems(path: &Path) -> Vec<String> {
    match load_model(path, &ModelOptions::default()).unwrap_err() {
        Error::CheckpointMismatch { problems, .. } => problems,
        error => panic!("{error}"),
    }
}

#[test]
fn tensors_that_do_not_fit_are_all_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pt");
    let reference = open("sam_small.pt");
    let mut tensors: Vec<_> = reference
        .names()
        .into_iter()
        .filter(|name| name != "mask_decoder.iou_token.weight")
        .map(|name| {
            let mut shape = reference.shape(&name, &[]).unwrap();
            if name == "image_encoder.blocks.1.norm2.bias" {
                shape[0] -= 1;
            }
            let count = shape.iter().product();
            (name, shape, vec![0.5; count])
        })
        .collect();
    tensors.push(("mask_decoder.surplus.weight".to_string(), vec![1], vec![0.5]));
    write_checkpoint(&path, tensors).unwrap();

    let problems = problems(&path);
    for expected in [
        "mask_decoder.iou_token.weight is missing (expected [1, 16])",
        "image_encoder.blocks.1.norm2.bias has shape [15], expected [16]",
        "mask_decoder.surplus.weight is not part of the model",
    ] {
        assert!(problems.iter().any(|problem| problem == expected), "{problems:?}");
    }
}

#[test]
fn both_names_are_told_where_they_differ() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pt");
    write_random_checkpoint(&path, &SamConfig::small_sam3(), 0).unwrap();
    let mut tensors = sam3_tracker_model(&stored(&path));
    tensors.retain(|(name, ..)| name != "no_memory_embedding");
    for (name, shape, values) in &mut tensors {
        if name.starts_with("vision_encoder.backbone.layers.1.attention.") && name.ends_with("_proj.bias") {
            shape[0] -= 1;
            values.pop();
        }
    }
    tensors.push(("mask_decoder.surplus.weight".to_string(), vec![1], vec![0.5]));
    write_checkpoint(&path, tensors).unwrap();
    let attention = "vision_encoder.backbone.layers.1.attention";
    assert_eq!(
        problems(&path),
        [
            format!(
                "detector.backbone.vision_backbone.trunk.blocks.1.attn.qkv.bias (stored as {attention}.q_proj.bias, \
                 {attention}.k_proj.bias, {attention}.v_proj.bias) has shape [93], expected [96]"
            ),
            format!(
                "detector.backbone.vision_backbone.trunk.blocks.1.attn.proj.bias (stored as {attention}.o_proj.bias) \
                 has shape [31], expected [32]"
            ),
            "tracker.no_mem_embed is missing (expected [1, 1, 256])".to_string(),
            "tracker.sam_mask_decoder.surplus.weight (stored as mask_decoder.surplus.weight) is not part of the model"
                .to_string(),
        ]
    );
}

#[test]
fn only_listed_tensors_may_be_there_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("surplus.pt");
    for (config, unknown) in [
        (SamConfig::small(), ["memory_encoder.out_proj.bias", "image_encoder.head.weight"]),
        (SamConfig::small_sam2(), ["no_obj_ptr_linear.bias", "image_encoder.trunk.blocks.0.gamma"]),
        (SamConfig::small_sam3(), ["tracker.model.output_valid_embed", "detector.backbone.vision_backbone.trunk.mark"]),
    ] {
        write_random_checkpoint(&path, &config, 0).unwrap();
        let others = unknown.map(|name| (name.to_string(), vec![1], vec![0.5]));
        write_checkpoint(&path, stored(&path).into_iter().chain(others)).unwrap();
        let mut expected = unknown.map(|name| format!("{name} is not part of the model"));
        expected.sort();
        assert_eq!(problems(&path), expected);
    }
}
