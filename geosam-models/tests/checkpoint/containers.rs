//! Files: PyTorch's two forms and safetensors, whole, truncated and forged.

use std::path::{Path, PathBuf};

use geosam_core::Error;
use geosam_core::torch_file::TensorDtype;
use geosam_models::{Checkpoint, Container, Layout, TensorSource};

use crate::{golden, open, sketch};

const SMALL: [(&str, Container, Layout, TensorDtype); 4] = [
    ("sam_small.pt", Container::PyTorch, Layout::Official, TensorDtype::F32),
    ("sam_small_wrapped_f16.pth", Container::PyTorch, Layout::Official, TensorDtype::F16),
    ("sam_small_hf.safetensors", Container::Safetensors, Layout::HuggingFace, TensorDtype::F32),
    ("sam_small_bf16.safetensors", Container::Safetensors, Layout::Official, TensorDtype::BF16),
];

#[test]
fn every_container_holds_the_same_weights() {
    let reference = open("sam_small.pt");
    assert_eq!(reference.names().len(), 174);
    for (file, container, layout, dtype) in SMALL {
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
        let found = checkpoint.recognised();
        assert_eq!((found.container, found.layout, found.dtype), (container, layout, dtype));
    }
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

/// A safetensors file with this header and sixteen bytes of data.
fn safetensors(folder: &Path, header: &str) -> PathBuf {
    let path = folder.join("forged.safetensors");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 16]);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn forged_safetensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (entry, expected) in [
        (r#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#, "offsets 0 to 4"),
        (r#"{"dtype":"F32","shape":[1],"data_offsets":[8,4]}"#, "offsets 8 to 4"),
        (r#"{"dtype":"F32","shape":[5],"data_offsets":[0,20]}"#, "truncated"),
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
    let mut header =
        r#"{"image_encoder.trunk.patch_embed.proj.weight":{"dtype":"U8","shape":[16,1,1,1],"data_offsets":[0,16]},
        "a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F4","shape":[4],"data_offsets":[4,6]},
        "c":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[6,10]}"#
            .to_string();
    for block in 0..7 {
        header += &format!(
            r#","image_encoder.trunk.blocks.{block}.mark":{{"dtype":"U8","shape":[1],"data_offsets":[9,10]}}"#
        );
    }
    let checkpoint = Checkpoint::open(&safetensors(folder.path(), &(header + "}"))).unwrap();
    assert_eq!(checkpoint.read("a", &[1]).unwrap(), [0.0]);
    for name in ["b", "c"] {
        assert_eq!(checkpoint.shape(name, &[4]), Some(vec![4]));
        let error = checkpoint.read(name, &[4]).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(name), "{error}");
    }
    assert_eq!(checkpoint.shape("absent", &[4]), None);
    assert!(checkpoint.fingerprint().is_ok());
}
