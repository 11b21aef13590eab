#![allow(clippy::unwrap_used)]

use Family::{Sam2, Sam3, Sam31, SamVit};
use Layout::{HuggingFace, Official};
use geosam_core::torch_file::TensorRef;

use super::*;

/// A tensor of a Hugging Face file, and its official name.
const SAM: [(&str, &str); 17] = [
    ("vision_encoder.pos_embed", "image_encoder.pos_embed"),
    ("vision_encoder.patch_embed.projection.bias", "image_encoder.patch_embed.proj.bias"),
    ("vision_encoder.layers.3.layer_norm1.weight", "image_encoder.blocks.3.norm1.weight"),
    ("vision_encoder.layers.11.attn.rel_pos_h", "image_encoder.blocks.11.attn.rel_pos_h"),
    ("vision_encoder.neck.layer_norm1.bias", "image_encoder.neck.1.bias"),
    ("vision_encoder.neck.conv2.weight", "image_encoder.neck.2.weight"),
    ("shared_image_embedding.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    ("prompt_encoder.point_embed.2.weight", "prompt_encoder.point_embeddings.2.weight"),
    ("prompt_encoder.mask_embed.conv3.bias", "prompt_encoder.mask_downscaling.6.bias"),
    ("prompt_encoder.no_mask_embed.weight", "prompt_encoder.no_mask_embed.weight"),
    ("mask_decoder.transformer.layers.0.layer_norm4.weight", "mask_decoder.transformer.layers.0.norm4.weight"),
    ("mask_decoder.transformer.layers.0.mlp.lin1.bias", "mask_decoder.transformer.layers.0.mlp.lin1.bias"),
    ("mask_decoder.transformer.layer_norm_final_attn.bias", "mask_decoder.transformer.norm_final_attn.bias"),
    ("mask_decoder.upscale_layer_norm.weight", "mask_decoder.output_upscaling.1.weight"),
    ("mask_decoder.iou_prediction_head.layers.0.bias", "mask_decoder.iou_prediction_head.layers.1.bias"),
    ("mask_decoder.iou_prediction_head.proj_in.bias", "mask_decoder.iou_prediction_head.layers.0.bias"),
    (
        "mask_decoder.output_hypernetworks_mlps.2.proj_out.weight",
        "mask_decoder.output_hypernetworks_mlps.2.layers.2.weight",
    ),
];

const SAM2: [(&str, &str); 19] = [
    ("vision_encoder.backbone.pos_embed_window", "image_encoder.trunk.pos_embed_window"),
    ("vision_encoder.backbone.patch_embed.projection.bias", "image_encoder.trunk.patch_embed.proj.bias"),
    ("vision_encoder.backbone.blocks.3.layer_norm2.weight", "image_encoder.trunk.blocks.3.norm2.weight"),
    ("vision_encoder.backbone.blocks.3.attn.qkv.weight", "image_encoder.trunk.blocks.3.attn.qkv.weight"),
    ("vision_encoder.backbone.blocks.3.mlp.proj_in.bias", "image_encoder.trunk.blocks.3.mlp.layers.0.bias"),
    ("vision_encoder.backbone.blocks.3.mlp.proj_out.bias", "image_encoder.trunk.blocks.3.mlp.layers.1.bias"),
    ("vision_encoder.neck.convs.2.weight", "image_encoder.neck.convs.2.conv.weight"),
    (
        "prompt_encoder.shared_embedding.positional_embedding",
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    ("prompt_encoder.not_a_point_embed.weight", "sam_prompt_encoder.not_a_point_embed.weight"),
    (
        "mask_decoder.transformer.layers.1.self_attn.o_proj.bias",
        "sam_mask_decoder.transformer.layers.1.self_attn.out_proj.bias",
    ),
    ("mask_decoder.transformer.layers.0.mlp.proj_in.bias", "sam_mask_decoder.transformer.layers.0.mlp.layers.0.bias"),
    ("mask_decoder.conv_s0.weight", "sam_mask_decoder.conv_s0.weight"),
    ("mask_decoder.obj_score_token.weight", "sam_mask_decoder.obj_score_token.weight"),
    ("mask_decoder.pred_obj_score_head.proj_out.bias", "sam_mask_decoder.pred_obj_score_head.layers.2.bias"),
    ("no_memory_embedding", "no_mem_embed"),
    ("object_pointer_proj.proj_in.bias", "obj_ptr_proj.proj_in.bias"),
    ("temporal_positional_encoding_projection_layer.bias", "obj_ptr_tpos_proj.bias"),
    ("occlusion_spatial_embedding_parameter", "no_obj_embed_spatial"),
    ("memory_temporal_positional_encoding", "maskmem_tpos_enc"),
];

/// Names of `Sam3TrackerModel`, which [`SAM3_VIDEO`] puts in its places.
const SAM3: [(&str, &str); 15] = [
    ("vision_encoder.backbone.embeddings.position_embeddings", "detector.backbone.vision_backbone.trunk.pos_embed"),
    (
        "vision_encoder.backbone.embeddings.patch_embeddings.projection.weight",
        "detector.backbone.vision_backbone.trunk.patch_embed.proj.weight",
    ),
    ("vision_encoder.backbone.layer_norm.bias", "detector.backbone.vision_backbone.trunk.ln_pre.bias"),
    (
        "vision_encoder.backbone.layers.31.layer_norm1.bias",
        "detector.backbone.vision_backbone.trunk.blocks.31.norm1.bias",
    ),
    (
        "vision_encoder.backbone.layers.31.attention.o_proj.bias",
        "detector.backbone.vision_backbone.trunk.blocks.31.attn.proj.bias",
    ),
    ("vision_encoder.backbone.layers.1.mlp.fc1.bias", "detector.backbone.vision_backbone.trunk.blocks.1.mlp.fc1.bias"),
    (
        "vision_encoder.neck.fpn_layers.0.scale_layers.0.weight",
        "detector.backbone.vision_backbone.sam2_convs.0.dconv_2x2_0.weight",
    ),
    (
        "vision_encoder.neck.fpn_layers.0.scale_layers.2.weight",
        "detector.backbone.vision_backbone.sam2_convs.0.dconv_2x2_1.weight",
    ),
    (
        "vision_encoder.neck.fpn_layers.1.scale_layers.0.weight",
        "detector.backbone.vision_backbone.sam2_convs.1.dconv_2x2.weight",
    ),
    ("vision_encoder.neck.fpn_layers.2.proj1.bias", "detector.backbone.vision_backbone.sam2_convs.2.conv_1x1.bias"),
    ("vision_encoder.neck.fpn_layers.2.proj2.bias", "detector.backbone.vision_backbone.sam2_convs.2.conv_3x3.bias"),
    ("prompt_encoder.mask_embed.layer_norm2.bias", "tracker.sam_prompt_encoder.mask_downscaling.4.bias"),
    (
        "mask_decoder.transformer.layers.0.mlp.proj_out.bias",
        "tracker.sam_mask_decoder.transformer.layers.0.mlp.lin2.bias",
    ),
    ("no_memory_embedding", "tracker.no_mem_embed"),
    ("memory_encoder.projection.bias", "tracker.memory_encoder.projection.bias"),
];

const SAM3_VIDEO: [(&str, &str); 4] = [
    ("vision_encoder.backbone.", "detector_model.vision_encoder.backbone."),
    ("vision_encoder.neck.", "tracker_neck."),
    ("mask_decoder.", "tracker_model.mask_decoder."),
    ("no_memory_embedding", "tracker_model.no_memory_embedding"),
];

const SAM31: [(&str, &str); 4] = [
    ("tracker.model.interactive_sam_mask_decoder.iou_token.weight", "tracker.sam_mask_decoder.iou_token.weight"),
    ("tracker.model.interactivity_no_mem_embed", "tracker.no_mem_embed"),
    (
        "detector.backbone.vision_backbone.interactive_convs.1.dconv_2x2.bias",
        "detector.backbone.vision_backbone.sam2_convs.1.dconv_2x2.bias",
    ),
    ("tracker.model.sam_mask_decoder.iou_token.weight", "tracker.model.sam_mask_decoder.iou_token.weight"),
];

const EARLY_SAM3: [(&str, &str); 2] = [
    ("sam3_model.backbone.vision_backbone.trunk.ln_pre.bias", "detector.backbone.vision_backbone.trunk.ln_pre.bias"),
    ("sam2_predictor.no_mem_embed", "tracker.no_mem_embed"),
];

#[test]
fn every_rule_renames() {
    let check = |names: &[(&str, &str)], family, layout| {
        for (theirs, official) in names {
            assert_eq!(official_name(theirs, family, layout), *official);
        }
    };
    check(&SAM, SamVit, HuggingFace);
    check(&SAM2, Sam2, HuggingFace);
    check(&SAM3, Sam3, HuggingFace);
    check(&SAM31, Sam31, Official);
    check(&EARLY_SAM3, Sam3, Official);
    for (name, official) in SAM3 {
        let place = SAM3_VIDEO.iter().find_map(|(part, whole)| Some(format!("{whole}{}", name.strip_prefix(part)?)));
        check(&[(&place.unwrap_or_else(|| format!("tracker_model.{name}")), official)], Sam3, HuggingFace);
    }
}

#[test]
fn official_names_stay() {
    for (family, names) in [(SamVit, &SAM[..]), (Sam2, &SAM2), (Sam3, &SAM3)] {
        for (_, official) in names {
            assert_eq!(official_name(official, family, Official), *official);
        }
    }
}

/// Translates tensors of these names and shapes that count up from 0.
fn translated(tensors: &[(&str, &[usize])], family: Family, layout: Layout) -> Result<BTreeMap<String, TensorView>> {
    let tensor = |shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|value| value as f32).collect();
        TensorRef::from_f32(shape, &values).unwrap()
    };
    let tensors = tensors.iter().map(|(name, shape)| (name.to_string(), tensor(shape))).collect();
    translate(Path::new("a.pt"), tensors, family, layout)
}

#[test]
fn queries_keys_and_values_are_stacked() {
    let stored = |part: &str| format!("vision_encoder.backbone.layers.4.attention.{part}_proj.weight");
    let [query, key, value] = ["q", "k", "v"].map(stored);
    let tensors = [(query.as_str(), &[2, 3][..]), (&key, &[2, 3]), (&value, &[2, 3])];
    let views = translated(&tensors, Sam3, HuggingFace).unwrap();
    let [(name, view)] = &views.into_iter().collect::<Vec<_>>()[..] else { panic!("not one tensor") };
    assert_eq!(name, "detector.backbone.vision_backbone.trunk.blocks.4.attn.qkv.weight");
    assert_eq!(view.shape(), [6, 3]);
    let third: Vec<f32> = (0..6).map(|value| value as f32).collect();
    assert_eq!(view.read_f32().unwrap(), third.repeat(3));

    // Without the values there is nothing to stack, and loading will name what is left.
    let views = translated(&tensors[..2], Sam3, HuggingFace).unwrap();
    assert!(views.keys().all(|name| name.contains(".attention.")), "{:?}", views.keys());
}

#[test]
fn point_embeddings_are_split() {
    for (family, part) in [(Sam2, "sam_prompt_encoder"), (Sam3, "tracker.sam_prompt_encoder")] {
        let views = translated(&[("prompt_encoder.point_embed.weight", &[4, 2])], family, HuggingFace).unwrap();
        assert_eq!(views.len(), 4);
        let background = &views[&format!("{part}.point_embeddings.1.weight")];
        assert_eq!((background.shape(), background.read_f32().unwrap()), (&[1, 2][..], vec![2.0, 3.0]));
        let other = translated(&[("prompt_encoder.point_embed.weight", &[5, 2])], family, HuggingFace).unwrap();
        assert!(other.contains_key(&format!("{part}.point_embeddings.weight")));
    }
}

#[test]
fn the_class_row_is_dropped() {
    let name = "detector.backbone.vision_backbone.trunk.pos_embed";
    for (stored, family, layout, first) in [
        ((name, &[1, 10, 2][..]), Sam3, Official, 2.0),
        ((name, &[1, 10, 2]), Sam31, Official, 2.0),
        (("vision_encoder.backbone.embeddings.position_embeddings", &[1, 9, 2]), Sam3, HuggingFace, 0.0),
    ] {
        let view = &translated(&[stored], family, layout).unwrap()[name];
        assert_eq!((view.shape(), view.read_f32().unwrap()[0]), (&[1, 9, 2][..], first));
    }
}

#[test]
fn two_tensors_of_one_name_are_refused_unless_they_are_tied() {
    let interactive = "tracker.model.interactive_sam_mask_decoder.iou_token.weight";
    let twice = [(interactive, &[1][..]), ("tracker.sam_mask_decoder.iou_token.weight", &[1])];
    let message = translated(&twice, Sam31, Official).unwrap_err().to_string();
    assert!(message.contains("one tensor tracker.sam_mask_decoder.iou_token.weight"), "{message}");

    let matrix = "prompt_encoder.shared_embedding.positional_embedding";
    let tied = [(matrix, &[2, 4][..]), ("shared_image_embedding.positional_embedding", &[2, 4])];
    for family in [SamVit, Sam2, Sam3] {
        assert_eq!(translated(&tied, family, HuggingFace).unwrap().len(), 1);
    }
}
