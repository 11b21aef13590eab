//! A hash that depends on the weights that features depend on, and on nothing else.

use geosam_models::{Checkpoint, SamConfig, TensorSource, write_checkpoint, write_random_checkpoint};

use crate::{open, stored};

/// Feature folders record fingerprints: that of given weights must never change.
#[test]
fn fingerprints_stay() {
    // Computed from the description in the documentation by a Python program of its own.
    let expected = "8b82c1626b65a3b2939f9424d67e8718cf607fb44754cb2f3062810becc3a5a4";
    assert_eq!(open("sam_small.pt").fingerprint().unwrap(), expected);
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
        write(&|name, values| if name == "image_encoder.neck.0.weight" {
            values[7] += 1.0;
        }),
        fingerprint
    );
    // Features do not depend on the decoder.
    assert_eq!(
        write(&|name, values| if name.contains("mask_decoder") || name.contains("prompt_encoder") {
            values[0] += 1.0;
        }),
        fingerprint
    );
    // The largest tensor is sampled, its first and last values among the samples.
    let largest = "image_encoder.patch_embed.proj.weight";
    assert!(reference.shape(largest, &[]).unwrap().iter().product::<usize>() > 4096);
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
fn tensors_that_no_image_needs_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let (path, changed) = (folder.path().join("random.pt"), folder.path().join("changed.pt"));
    let unneeded = |family: &str| match family {
        "SAM 2" => vec!["memory_attention.norm.weight", "sam_mask_decoder.pred_obj_score_head.layers.0.bias"],
        _ => vec!["detector.transformer.mark", "tracker.maskmem_tpos_enc", "tracker.obj_ptr_proj.layers.0.bias"],
    };
    for (family, config) in [("SAM 2", SamConfig::small_sam2()), ("SAM 3", SamConfig::small_sam3())] {
        write_random_checkpoint(&path, &config, 5).unwrap();
        let fingerprint = Checkpoint::open(&path).unwrap().fingerprint().unwrap();
        let mut tensors = stored(&path);
        tensors.extend(unneeded(family).into_iter().map(|name| (name.to_string(), vec![2], vec![0.5; 2])));
        write_checkpoint(&changed, tensors.clone()).unwrap();
        assert_eq!(Checkpoint::open(&changed).unwrap().fingerprint().unwrap(), fingerprint, "{family}");

        for needed in ["no_mem_embed", "conv_s0.weight"] {
            let mut tensors = tensors.clone();
            let (.., values) = tensors.iter_mut().find(|(name, ..)| name.ends_with(needed)).unwrap();
            values[0] += 1.0;
            write_checkpoint(&changed, tensors).unwrap();
            assert_ne!(Checkpoint::open(&changed).unwrap().fingerprint().unwrap(), fingerprint, "{family}");
        }
    }
}
