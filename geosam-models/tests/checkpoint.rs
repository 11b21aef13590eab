//! Checkpoints of every container and layout give the same tensors under the same names, and say what they are.
//!
//! The files beside `goldens/checkpoint/make_checkpoint_goldens.py` were made by it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use geosam_core::torch_file::TensorDtype;
use geosam_core::{Error, ModelType};
use geosam_models::{
    Architecture, Checkpoint, Container, ImageEncoderConfig, Layout, ModelOptions, RandomWeights, SamConfig,
    TensorSource, TinyVitConfig, VitConfig, load_model, recognise, write_checkpoint,
};

const SMALL: [(&str, Container, Layout, TensorDtype); 4] = [
    ("sam_small.pt", Container::PyTorch, Layout::Official, TensorDtype::F32),
    ("sam_small_wrapped_f16.pth", Container::PyTorch, Layout::Official, TensorDtype::F16),
    ("sam_small_hf.safetensors", Container::Safetensors, Layout::HuggingFace, TensorDtype::F32),
    ("sam_small_bf16.safetensors", Container::Safetensors, Layout::Official, TensorDtype::BF16),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/checkpoint").join(name)
}

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(&golden(name)).unwrap()
}

#[test]
fn every_container_holds_the_same_weights() {
    let reference = open("sam_small.pt");
    assert_eq!(reference.names().len(), 174);
    for (file, ..) in SMALL {
        let checkpoint = open(file);
        assert_eq!(checkpoint.names(), reference.names(), "{file}");
        for name in reference.names() {
            let shape = reference.shape(&name, &[]).unwrap();
            assert_eq!(checkpoint.shape(&name, &[]), Some(shape.clone()), "{file} {name}");
            assert_eq!(
                checkpoint.read(&name, &shape).unwrap(),
                reference.read(&name, &shape).unwrap(),
                "{file} {name}"
            );
        }
        assert_eq!(checkpoint.fingerprint().unwrap(), reference.fingerprint().unwrap(), "{file}");
    }
}

#[test]
fn small_models_are_recognised_with_their_sizes() {
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
    for (file, container, layout, dtype) in SMALL {
        let found = recognise(&golden(file)).unwrap();
        assert_eq!((found.container, found.layout, found.dtype), (container, layout, dtype));
        assert_eq!((found.model_id.as_str(), found.model_type), ("sam_vit_16x2", ModelType::Sam));
        let expected = SamConfig { image_encoder: ImageEncoderConfig::Vit(vit.clone()) };
        assert_eq!(found.architecture, Architecture::Sam(expected));
    }
    let sentence = recognise(&golden("sam_small_wrapped_f16.pth")).unwrap().to_string();
    assert_eq!(sentence, "SAM ViT of width 16 and depth 2, official layout, 174 tensors, f16");
}

/// A checkpoint of a few tensors that are zero: enough to be recognised.
fn sketch(folder: &Path, file: &str, tensors: &[(&str, &[usize])]) -> PathBuf {
    let path = folder.join(file);
    let tensors = tensors.iter().map(|(name, shape)| (*name, shape.to_vec(), vec![0.0; shape.iter().product()]));
    write_checkpoint(&path, tensors).unwrap();
    path
}

#[test]
fn published_models_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    for (width, depth, head, id, label) in [
        (768, 12, 64, "sam_b", "SAM ViT-B"),
        (1024, 24, 64, "sam_l", "SAM ViT-L"),
        (1280, 32, 80, "sam_h", "SAM ViT-H"),
    ] {
        let last = format!("image_encoder.blocks.{}.attn.rel_pos_h", depth - 1);
        let path = sketch(
            folder.path(),
            "weights",
            &[
                ("image_encoder.pos_embed", &[1, 64, 64, width]),
                ("image_encoder.patch_embed.proj.weight", &[width, 3, 16, 16]),
                ("image_encoder.blocks.0.attn.qkv.weight", &[1]),
                ("image_encoder.blocks.0.attn.rel_pos_h", &[27, head]),
                (&last, &[127, head]),
                ("image_encoder.neck.0.weight", &[256, 1, 1, 1]),
            ],
        );
        let found = recognise(&path).unwrap();
        assert_eq!((found.model_id.as_str(), found.label.as_str()), (id, label));
        let Architecture::Sam(SamConfig { image_encoder: ImageEncoderConfig::Vit(vit) }) = found.architecture else {
            panic!("not a ViT");
        };
        assert_eq!((vit.image_size, vit.window, vit.heads), (1024, 14, width / head));
        assert_eq!(vit.global_attention, [depth - 1]);
    }
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
    let borrowed: Vec<_> = tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
    let checkpoint = Checkpoint::open(&sketch(folder.path(), "a.pt", &borrowed)).unwrap();
    assert_eq!(checkpoint.recognised().model_id, "mobile_sam");
    let config = SamConfig { image_encoder: ImageEncoderConfig::Tiny(TinyVitConfig::mobile()) };
    assert_eq!(checkpoint.recognised().architecture, Architecture::Sam(config));
    assert_eq!(checkpoint.recognised().tensors, tensors.len());
    assert_eq!(checkpoint.names().len(), tensors.len() - 3);
}

#[test]
fn sam2_and_sam3_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let sam2 = |file: &str, width: usize, depth: usize, extra: &str| {
        let last = format!("image_encoder.trunk.blocks.{}.norm1.weight", depth - 1);
        let tensors: [(&str, &[usize]); 4] = [
            ("image_encoder.trunk.patch_embed.proj.weight", &[width, 3, 7, 7]),
            ("image_encoder.trunk.blocks.0.norm1.weight", &[width]),
            (&last, &[width]),
            (extra, &[1, 64]),
        ];
        recognise(&sketch(folder.path(), file, &tensors)).unwrap().model_id
    };
    for (width, depth, size) in [(96, 12, "t"), (96, 16, "s"), (112, 24, "b"), (144, 48, "l")] {
        assert_eq!(sam2("a.pt", width, depth, "memory_encoder.mark"), format!("sam2_{size}"));
        assert_eq!(sam2("a.pt", width, depth, "no_obj_embed_spatial"), format!("sam2.1_{size}"));
        // Content decides where it can, the file's name where nothing of the video parts is left.
        assert_eq!(sam2("sam2_x.pt", width, depth, "no_obj_embed_spatial"), format!("sam2.1_{size}"));
        assert_eq!(sam2("sam2.1_x.pt", width, depth, "memory_encoder.mark"), format!("sam2_{size}"));
        assert_eq!(sam2("sam2.1_x.pt", width, depth, "no_mem_embed"), format!("sam2.1_{size}"));
    }
    assert_eq!(sam2("a.pt", 32, 4, "no_mem_embed"), "sam2_hiera_32x4");

    let trunk: (&str, &[usize]) = ("detector.backbone.vision_backbone.trunk.pos_embed", &[1, 577, 4]);
    let sam3 = recognise(&sketch(folder.path(), "a.pt", &[trunk, ("tracker.no_mem_embed", &[1])])).unwrap();
    assert_eq!((sam3.model_id.as_str(), sam3.architecture), ("sam3", Architecture::Sam3));
    let multiplex = [trunk, ("tracker.model.interactivity_no_mem_embed", &[1])];
    let multiplex = recognise(&sketch(folder.path(), "a.pt", &multiplex)).unwrap();
    assert_eq!((multiplex.model_id.as_str(), multiplex.model_type), ("sam3.1_multiplex", ModelType::Sam3));
}

/// The message of the [`Error::InvalidFile`] that opening gives.
fn refusal(path: &Path) -> String {
    let error = Checkpoint::open(path).unwrap_err();
    assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
    error.to_string()
}

#[test]
fn other_files_are_refused_with_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let other = sketch(folder.path(), "sam_b.pt", &[("conv1.weight", &[4]), ("fc.bias", &[2])]);
    let message = refusal(&other);
    assert!(message.contains("2 other tensors (conv1.weight, fc.bias"), "{message}");

    let message = refusal(&golden("sam_small_module.pt"));
    assert!(message.contains("torch.nn.modules.linear.Linear") && message.contains("state_dict()"), "{message}");

    let text = folder.path().join("text.safetensors");
    std::fs::write(&text, "not a checkpoint").unwrap();
    assert!(refusal(&text).contains("starts with the bytes"));

    let forged = [("image_encoder.patch_embed.seq.", &[1][..]), ("image_encoder.layers.0.blocks.99999.a", &[1])];
    assert!(refusal(&sketch(folder.path(), "forged.pt", &forged)).contains("patch_embed.seq.2.c.weight"));
}

#[test]
fn truncated_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    for (file, ..) in SMALL {
        let bytes = std::fs::read(golden(file)).unwrap();
        for length in [bytes.len() / 7, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let message = refusal(&path);
            assert!(message.contains("truncated"), "{file}: {message}");
        }
    }
}

/// A safetensors file with this header and ten bytes of data.
fn safetensors(folder: &Path, header: &str) -> PathBuf {
    let path = folder.join("forged.safetensors");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 10]);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn forged_safetensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (entry, expected) in [
        (r#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#, "offsets 0 to 4"),
        (r#"{"dtype":"F32","shape":[1],"data_offsets":[8,4]}"#, "offsets 8 to 4"),
        (r#"{"dtype":"F32","shape":[3],"data_offsets":[0,12]}"#, "truncated"),
        (r#"{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}"#, "offsets"),
        (r#"{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551611,18446744073709551615]}"#, "truncated"),
        (r#"{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#, "shape and data_offsets"),
        ("3", "shape and data_offsets"),
        ("", "malformed JSON"),
    ] {
        let message = refusal(&safetensors(folder.path(), &format!(r#"{{"a":{entry}}}"#)));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_type_nobody_can_read_spoils_only_its_own_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let header = r#"{"detector.backbone.vision_backbone.trunk.a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
        "b":{"dtype":"F4","shape":[4],"data_offsets":[4,6]},"c":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[6,10]}}"#;
    let checkpoint = Checkpoint::open(&safetensors(folder.path(), header)).unwrap();
    assert_eq!(checkpoint.read("detector.backbone.vision_backbone.trunk.a", &[1]).unwrap(), [0.0]);
    for name in ["b", "c"] {
        assert_eq!(checkpoint.shape(name, &[4]), Some(vec![4]));
        let error = checkpoint.read(name, &[4]).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(name), "{error}");
    }
    assert_eq!(checkpoint.shape("absent", &[4]), None);
    assert!(checkpoint.fingerprint().is_ok());
}

#[test]
fn fingerprints_tell_weights_apart() {
    let folder = tempfile::tempdir().unwrap();
    let reference = open("sam_small.pt");
    let write = |change: &dyn Fn(&str, &mut Vec<f32>)| {
        let path = folder.path().join("changed.pt");
        let tensors = reference.names().into_iter().map(|name| {
            let shape = reference.shape(&name, &[]).unwrap();
            let mut values = reference.read(&name, &shape).unwrap();
            change(&name, &mut values);
            (name, shape, values)
        });
        write_checkpoint(&path, tensors.collect::<Vec<_>>()).unwrap();
        Checkpoint::open(&path).unwrap().fingerprint().unwrap()
    };
    let fingerprint = reference.fingerprint().unwrap();
    assert_eq!(fingerprint.len(), 64);
    assert_eq!(write(&|_, _| {}), fingerprint);
    assert_ne!(
        write(&|name, values| if name == "mask_decoder.iou_token.weight" {
            values[7] += 1.0;
        }),
        fingerprint
    );
    // The largest tensor is sampled, its first and last values among the samples.
    let largest = "image_encoder.patch_embed.proj.weight";
    assert!(reference.tensor(largest).unwrap().element_count().unwrap() > 4096);
    assert_ne!(
        write(&|name, values| if name == largest {
            values[0] += 1.0;
        }),
        fingerprint
    );
    assert_ne!(
        write(&|name, values| if name == largest {
            *values.last_mut().unwrap() += 1.0;
        }),
        fingerprint
    );
}

#[test]
fn random_weights_make_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.pt");
    let (reference, random) = (open("sam_small.pt"), RandomWeights::new(7));
    let tensors = reference.names().into_iter().map(|name| {
        let shape = reference.shape(&name, &[]).unwrap();
        let values = random.values(&name, &shape);
        (name, shape, values)
    });
    write_checkpoint(&path, tensors).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.recognised().architecture, reference.recognised().architecture);
    let name = "mask_decoder.mask_tokens.weight";
    assert_eq!(checkpoint.read(name, &[4, 16]).unwrap(), random.read(name, &[4, 16]).unwrap());
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

    let error = load_model(&path, &ModelOptions::default()).unwrap_err();
    let Error::CheckpointMismatch { problems, .. } = &error else { panic!("{error}") };
    for expected in [
        "mask_decoder.iou_token.weight is missing (expected [1, 16])",
        "image_encoder.blocks.1.norm2.bias has shape [15], expected [16]",
        "mask_decoder.surplus.weight is not part of the model",
    ] {
        assert!(problems.iter().any(|problem| problem == expected), "{problems:?}");
    }
}
