//! Files with random weights are those of the published layout.

use geosam_core::torch_file::TorchFile;
use geosam_models::{
    Checkpoint, ModelOptions, RandomWeights, SamConfig, TensorSource, load_model, write_checkpoint,
    write_random_checkpoint,
};

use crate::{open, stored};

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
    assert_eq!(checkpoint.recognised().config, reference.recognised().config);
    let name = "mask_decoder.mask_tokens.weight";
    assert_eq!(checkpoint.read(name, &[4, 16]).unwrap(), random.read(name, &[4, 16]).unwrap());
}

#[test]
fn every_family_reopens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.pt");
    for config in [SamConfig::small(), SamConfig::small_sam2(), SamConfig::small_sam3()] {
        write_random_checkpoint(&path, &config, 1).unwrap();
        load_model(&path, &ModelOptions::default()).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.recognised().config, config);
        for name in checkpoint.names() {
            let shape = checkpoint.shape(&name, &[]).unwrap();
            assert_eq!(checkpoint.read(&name, &shape).unwrap(), RandomWeights::new(1).values(&name, &shape), "{name}");
        }
    }
}

/// Python systems refuse files that lack parts, needed or not.
#[test]
fn published_sizes_are_written_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.pt");
    for (config, label) in [
        // The published file has 27 more, which count steps of training; PyTorch does without.
        (SamConfig::mobile(), "MobileSAM, official layout, 412 tensors, f32"),
        (SamConfig::hiera_tiny(), "SAM 2 tiny, official layout, 468 tensors, f32"),
    ] {
        write_random_checkpoint(&path, &config, 1).unwrap();
        assert_eq!(Checkpoint::open(&path).unwrap().recognised().to_string(), label);
        load_model(&path, &ModelOptions::default()).unwrap();
    }
    // Where the release of SAM 2 has them.
    assert!(TorchFile::open(&path).unwrap().root().get("model").is_some());
}

#[test]
fn sam3_has_a_row_for_the_class_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.pt");
    write_random_checkpoint(&path, &SamConfig::small_sam3(), 1).unwrap();
    let (_, shape, values) = stored(&path).into_iter().find(|(name, ..)| name.ends_with("pos_embed")).unwrap();
    assert_eq!(shape, [1, 10, 32]);
    assert!(values[..32].iter().all(|value| *value != 0.0));
}
