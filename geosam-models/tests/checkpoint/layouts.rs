//! The same weights in every layout: the same tensors, the same fingerprint, and a model that loads.

use std::path::Path;

use geosam_core::torch_file::{TensorDtype, TensorRef, Value, write_torch_file};
use geosam_models::{Checkpoint, Layout, ModelOptions, SamConfig, TensorSource, load_model, write_random_checkpoint};

use crate::hugging_face::{sam2_model, sam2_video_model, sam3_tracker_model, sam3_video_model};
use crate::{Tensor, stored};

/// Where the tensors of a SAM 3 are in other official files.
const SAM31: [(&str, &str); 3] = [
    ("tracker.no_mem_embed", "tracker.model.interactivity_no_mem_embed"),
    ("tracker.", "tracker.model.interactive_"),
    (".sam2_convs.", ".interactive_convs."),
];
const EARLY_SAM3: [(&str, &str); 2] = [("detector.", "sam3_model."), ("tracker.", "sam2_predictor.")];

/// The tensor under the name that the first fitting pair of name parts gives.
fn renamed((name, shape, values): Tensor, names: &[(&str, &str)]) -> Tensor {
    let (from, to) = names.iter().find(|(from, _)| name.contains(from)).unwrap_or(&("", ""));
    (name.replacen(from, to, 1), shape, values)
}

/// Writes tensors and, below these names, what no image needs: numbers of another shape, and complex ones.
fn write_with_unneeded(path: &Path, tensors: Vec<Tensor>, unneeded: &[&str]) {
    let tensor = |(name, shape, values): Tensor| (name, Value::Tensor(TensorRef::from_f32(&shape, &values).unwrap()));
    let complex = TensorRef::in_memory(TensorDtype::Complex64, &[9, 4], vec![0; 9 * 4 * 8]).unwrap();
    let other = |name: &&str| {
        let numbers = || TensorRef::from_f32(&[48, 1], &[0.5; 48]).unwrap();
        (name.to_string(), Value::Tensor(if name.ends_with("freqs_cis") { complex.clone() } else { numbers() }))
    };
    let entries: Vec<_> = tensors.into_iter().map(tensor).chain(unneeded.iter().map(other)).collect();
    write_torch_file(path, &Value::dict(entries)).unwrap();
}

/// The file at `path` is the model of the reference in another layout.
fn assert_same(path: &Path, reference: &Checkpoint, layout: Layout) {
    let checkpoint = Checkpoint::open(path).unwrap();
    assert_eq!(checkpoint.recognised().layout, layout);
    assert_eq!(checkpoint.recognised().config, reference.recognised().config);
    assert_eq!(checkpoint.names(), reference.names());
    for name in reference.names() {
        let shape = reference.shape(&name, &[]).unwrap();
        assert_eq!(checkpoint.shape(&name, &[]), Some(shape.clone()), "{name}");
        assert_eq!(checkpoint.read(&name, &shape).unwrap(), reference.read(&name, &shape).unwrap(), "{name}");
    }
    assert_eq!(checkpoint.fingerprint().unwrap(), reference.fingerprint().unwrap());
    load_model(path, &ModelOptions::default()).unwrap();
}

/// A random checkpoint and the path of another file beside it.
fn random(folder: &Path, config: &SamConfig) -> (Checkpoint, Vec<Tensor>) {
    let path = folder.join("official.pt");
    write_random_checkpoint(&path, config, 11).unwrap();
    load_model(&path, &ModelOptions::default()).unwrap();
    (Checkpoint::open(&path).unwrap(), stored(&path))
}

#[test]
fn sam2_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let (official, tensors) = random(folder.path(), &SamConfig::small_sam2());
    assert_eq!(official.recognised().label, "SAM 2 of width 16 and depth 7");
    let path = folder.path().join("other.pt");

    let video = ["memory_attention.norm.bias", "no_obj_ptr", "sam_mask_decoder.pred_obj_score_head.layers.0.bias"];
    write_with_unneeded(&path, tensors.clone(), &video);
    assert_same(&path, &official, Layout::Official);

    write_with_unneeded(&path, sam2_model(&tensors), &["mask_decoder.pred_obj_score_head.proj_in.bias"]);
    assert_same(&path, &official, Layout::HuggingFace);

    let video = ["memory_encoder.projection.bias", "object_pointer_proj.proj_in.bias", "no_object_pointer"];
    write_with_unneeded(&path, sam2_video_model(&tensors), &video);
    assert_same(&path, &official, Layout::HuggingFace);
}

#[test]
fn sam3_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let (official, tensors) = random(folder.path(), &SamConfig::small_sam3());
    assert_eq!(official.recognised().label, "SAM 3 of width 32 and depth 3");
    let path = folder.path().join("other.pt");

    let detector = [
        "detector.backbone.vision_backbone.trunk.blocks.0.attn.freqs_cis",
        "detector.backbone.vision_backbone.convs.3.conv_1x1.weight",
        "detector.backbone.vision_backbone.sam2_convs.3.conv_1x1.weight",
        "detector.backbone.language_backbone.encoder.text_projection",
        "detector.transformer.decoder.norm.bias",
        "tracker.transformer.encoder.norm.bias",
        "tracker.no_obj_ptr",
    ];
    write_with_unneeded(&path, tensors.clone(), &detector);
    assert_same(&path, &official, Layout::Official);

    let multiplex = [
        "detector.backbone.vision_backbone.trunk.blocks.2.attn.freqs_cis",
        "detector.backbone.vision_backbone.propagation_convs.1.dconv_2x2.bias",
        "tracker.model.sam_mask_decoder.transformer.norm_final_attn.bias",
        "tracker.model.sam_mask_decoder.iou_token.weight",
        "tracker.model.image_pe_layer.positional_encoding_gaussian_matrix",
        "tracker.model.interactive_mask_downsample.bias",
        "tracker.model.output_valid_embed",
    ];
    write_with_unneeded(&path, tensors.iter().cloned().map(|t| renamed(t, &SAM31)).collect(), &multiplex);
    assert_same(&path, &official, Layout::Official);
    let label = Checkpoint::open(&path).unwrap().recognised().label.clone();
    assert_eq!(label, "SAM 3.1 of width 32 and depth 3");

    write_with_unneeded(&path, tensors.iter().cloned().map(|t| renamed(t, &EARLY_SAM3)).collect(), &[]);
    assert_same(&path, &official, Layout::Official);

    write_with_unneeded(&path, sam3_tracker_model(&tensors), &["vision_encoder.neck.fpn_layers.3.proj1.bias"]);
    assert_same(&path, &official, Layout::HuggingFace);

    let others = [
        "detector_model.vision_encoder.neck.fpn_layers.0.proj1.bias",
        "detector_model.detr_decoder.query_embed.weight",
        "tracker_model.memory_attention.layer_norm.bias",
        "tracker_model.temporal_positional_encoding_projection_layer.bias",
        "tracker_neck.fpn_layers.3.proj2.bias",
    ];
    write_with_unneeded(&path, sam3_video_model(&tensors), &others);
    assert_same(&path, &official, Layout::HuggingFace);
}
