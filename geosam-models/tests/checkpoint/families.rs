//! Every family and size is recognised by its tensors.

use std::path::Path;

use geosam_core::{Error, ModelType};
use geosam_models::{
    Checkpoint, HieraConfig, ImageEncoderConfig, Layout, PerceptionEncoderConfig, Recognised, SamConfig, TensorSource,
    TinyVitConfig, VitConfig, recognise,
};

use crate::{golden, sketch};

#[test]
fn sam_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    for (width, depth, head, id, label) in [
        (768, 12, 64, "sam_b", "SAM ViT-B"),
        (1024, 24, 64, "sam_l", "SAM ViT-L"),
        (1280, 32, 80, "sam_h", "SAM ViT-H"),
    ] {
        let last = format!("image_encoder.blocks.{}.attn.rel_pos_h", depth - 1);
        let tensors: [(&str, &[usize]); 6] = [
            ("image_encoder.pos_embed", &[1, 64, 64, width]),
            ("image_encoder.patch_embed.proj.weight", &[width, 3, 16, 16]),
            ("image_encoder.blocks.0.attn.qkv.weight", &[1]),
            ("image_encoder.blocks.0.attn.rel_pos_h", &[27, head]),
            (&last, &[127, head]),
            ("image_encoder.neck.0.weight", &[256, 1, 1, 1]),
        ];
        let found = recognise(&sketch(folder.path(), "weights", &tensors)).unwrap();
        assert_eq!((found.model_id.as_str(), found.label.as_str()), (id, label));
        let ImageEncoderConfig::Vit(vit) = found.config.image_encoder else { panic!("not a ViT") };
        assert_eq!((vit.image_size, vit.window, vit.heads), (1024, 14, width / head));
        assert_eq!(vit.global_attention, [depth - 1]);
    }
}

#[test]
fn a_small_sam_is_recognised_with_its_sizes() {
    let vit = VitConfig {
        image_size: 64,
        patch: 16,
        width: 16,
        depth: 2,
        heads: 2,
        global_attention: vec![1],
        window: 3,
        features: 16,
    };
    let found = recognise(&golden("sam_small_wrapped_f16.pth")).unwrap();
    assert_eq!((found.model_id.as_str(), found.config.model_type()), ("sam_vit_16x2", ModelType::Sam));
    assert_eq!(found.config, SamConfig { image_encoder: ImageEncoderConfig::Vit(vit) });
    assert_eq!(found.to_string(), "SAM ViT of width 16 and depth 2, official layout, 174 tensors, f16");
}

#[test]
fn mobile_sam_is_recognised_and_its_classifier_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("image_encoder.patch_embed.seq.2.c.weight".into(), vec![64, 1, 1, 1]),
        ("image_encoder.patch_embed.seq.2.bn.num_batches_tracked".into(), vec![]),
        ("image_encoder.neck.0.weight".into(), vec![256, 1, 1, 1]),
        ("image_encoder.head.weight".into(), vec![1000, 320]),
        ("image_encoder.norm_head.bias".into(), vec![320]),
    ];
    for (stage, (depth, width, heads, table)) in
        [(2, 64, 0, 0), (2, 128, 4, 49), (6, 160, 5, 196), (2, 320, 10, 49)].into_iter().enumerate()
    {
        tensors.push((format!("image_encoder.layers.{stage}.blocks.{}.mark", depth - 1), vec![1]));
        if stage > 0 {
            let downsample = format!("image_encoder.layers.{}.downsample.conv3.c.weight", stage - 1);
            tensors.push((downsample, vec![width, 1, 1, 1]));
            tensors.push((format!("image_encoder.layers.{stage}.blocks.0.attn.attention_biases"), vec![heads, table]));
        }
    }
    let checkpoint = Checkpoint::open(&sketch(folder.path(), "a.pt", &tensors)).unwrap();
    assert_eq!(checkpoint.recognised().model_id, "mobile_sam");
    let config = SamConfig { image_encoder: ImageEncoderConfig::Tiny(TinyVitConfig::mobile()) };
    assert_eq!(checkpoint.recognised().config, config);
    assert_eq!(checkpoint.recognised().tensors, tensors.len());
    assert_eq!(checkpoint.names().len(), tensors.len() - 3);
}

/// A file whose trunk has these sizes, and which holds one tensor more.
fn sam2(folder: &Path, file: &str, (width, depth): (usize, usize), extra: &str) -> Result<Recognised, Error> {
    let tensors = [
        ("image_encoder.trunk.patch_embed.proj.weight".to_string(), vec![width, 3, 7, 7]),
        ("image_encoder.trunk.blocks.0.norm1.weight".to_string(), vec![width]),
        (format!("image_encoder.trunk.blocks.{}.norm1.weight", depth - 1), vec![width]),
        (extra.to_string(), vec![1, 64]),
    ];
    recognise(&sketch(folder, file, &tensors))
}

#[test]
fn sam2_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    for (sizes, size, label, config) in [
        ((96, 12), "t", "tiny", HieraConfig::tiny()),
        ((96, 16), "s", "small", HieraConfig::small()),
        ((112, 24), "b", "base+", HieraConfig::base_plus()),
        ((144, 48), "l", "large", HieraConfig::large()),
    ] {
        let found = |file: &str, extra: &str| sam2(folder.path(), file, sizes, extra).unwrap();
        let sam21 = found("a.pt", "no_obj_embed_spatial");
        assert_eq!(sam21.to_string(), format!("SAM 2.1 {label}, official layout, 4 tensors, f32"));
        assert_eq!(sam21.config, SamConfig { image_encoder: ImageEncoderConfig::Hiera(config) });
        assert_eq!(sam21.model_id, format!("sam2.1_{size}"));
        assert_eq!(found("a.pt", "memory_encoder.mark").model_id, format!("sam2_{size}"));
        // Content decides where it can, the file's name where nothing of the video parts is left.
        assert_eq!(found("sam2_x.pt", "no_obj_embed_spatial").model_id, format!("sam2.1_{size}"));
        assert_eq!(found("sam2.1_x.pt", "memory_encoder.mark").model_id, format!("sam2_{size}"));
        assert_eq!(found("sam2.1_x.pt", "no_mem_embed").model_id, format!("sam2.1_{size}"));
        assert_eq!(found("sam2_x.pt", "no_mem_embed").model_id, format!("sam2_{size}"));
    }
    let error = sam2(folder.path(), "a.pt", (32, 4), "no_mem_embed").unwrap_err();
    assert!(matches!(&error, Error::Unsupported { what, .. } if what.contains("4 blocks of width 32")), "{error}");
}

#[test]
fn hugging_faces_sam2_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    for (extra, id) in [
        ("occlusion_spatial_embedding_parameter", "sam2.1_s"),
        ("memory_encoder.projection.bias", "sam2_s"),
        ("no_memory_embedding", "sam2_s"),
    ] {
        let tensors = [
            ("vision_encoder.backbone.patch_embed.projection.weight", vec![96, 3, 7, 7]),
            ("vision_encoder.backbone.blocks.0.layer_norm1.weight", vec![96]),
            ("vision_encoder.backbone.blocks.15.layer_norm1.weight", vec![768]),
            (extra, vec![1, 64]),
        ];
        let found = recognise(&sketch(folder.path(), "model.safetensors", &tensors)).unwrap();
        assert_eq!((found.model_id.as_str(), found.layout), (id, Layout::HuggingFace));
    }
}

/// What of a SAM 3 tells its sizes and that it answers clicks, in a layout's names.
fn sam3(folder: &Path, [patches, last_block, decoder]: [&str; 3], width: usize) -> Result<Recognised, Error> {
    let tensors = [(patches, vec![width, 3, 14, 14]), (last_block, vec![width]), (decoder, vec![256])];
    recognise(&sketch(folder, "a.pt", &tensors))
}

#[test]
fn sam3_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let trunk = [
        "detector.backbone.vision_backbone.trunk.patch_embed.proj.weight",
        "detector.backbone.vision_backbone.trunk.blocks.31.norm1.weight",
    ];
    let early = [
        "sam3_model.backbone.vision_backbone.trunk.patch_embed.proj.weight",
        "sam3_model.backbone.vision_backbone.trunk.blocks.31.norm1.weight",
    ];
    let tracker_model = [
        "vision_encoder.backbone.embeddings.patch_embeddings.projection.weight",
        "vision_encoder.backbone.layers.31.layer_norm1.weight",
    ];
    let video_model = [
        "detector_model.vision_encoder.backbone.embeddings.patch_embeddings.projection.weight",
        "detector_model.vision_encoder.backbone.layers.31.layer_norm1.weight",
    ];
    let norm = "mask_decoder.transformer.norm_final_attn.bias";
    for ([patches, block], decoder, layout, id) in [
        (trunk, format!("tracker.sam_{norm}"), Layout::Official, "sam3"),
        (early, format!("sam2_predictor.sam_{norm}"), Layout::Official, "sam3"),
        (trunk, format!("tracker.model.interactive_sam_{norm}"), Layout::Official, "sam3.1_multiplex"),
        (tracker_model, norm.to_string(), Layout::HuggingFace, "sam3"),
        (video_model, format!("tracker_model.{norm}"), Layout::HuggingFace, "sam3"),
    ] {
        let found = sam3(folder.path(), [patches, block, &decoder], 1024).unwrap();
        assert_eq!((found.model_id.as_str(), found.layout), (id, layout), "{decoder}");
        let config = ImageEncoderConfig::Perception(PerceptionEncoderConfig::sam3());
        assert_eq!(found.config, SamConfig { image_encoder: config });
        let error = sam3(folder.path(), [patches, block, &decoder], 999).unwrap_err();
        assert!(error.to_string().contains("32 blocks of width 999"), "{error}");
    }
}

#[test]
fn a_sam3_that_answers_no_clicks_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for names in [
        // Hugging Face's `Sam3Model`, whose mask decoder is the detector's.
        [
            "vision_encoder.backbone.embeddings.patch_embeddings.projection.weight",
            "vision_encoder.backbone.layers.31.layer_norm1.weight",
            "mask_decoder.pixel_decoder.norms.0.bias",
        ],
        [
            "detector.backbone.vision_backbone.trunk.patch_embed.proj.weight",
            "detector.backbone.vision_backbone.trunk.blocks.31.norm1.weight",
            "detector.segmentation_head.pixel_decoder.norms.0.bias",
        ],
        // The decoder of sixteen objects is none for clicks.
        [
            "detector.backbone.vision_backbone.trunk.patch_embed.proj.weight",
            "detector.backbone.vision_backbone.trunk.blocks.31.norm1.weight",
            "tracker.model.sam_mask_decoder.transformer.norm_final_attn.bias",
        ],
    ] {
        let error = sam3(folder.path(), names, 1024).unwrap_err();
        let Error::Unsupported { what, reason } = &error else { panic!("{error}") };
        assert!(what.contains("detector alone") && reason.contains("Sam3VideoModel"), "{error}");
    }
}
