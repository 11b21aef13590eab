use super::*;
use crate::golden::{Golden, input, load_seeded};

/// Measured: at most 8.1e-7, at the features.
const TOLERANCE: f64 = 2e-5;

#[test]
fn every_stage_agrees_with_mobile_sam() {
    let config = TinyVitConfig::small();
    let golden = Golden::open("tiny_vit_encoder.safetensors");
    let encoder = load_seeded("image_encoder", |weights| TinyViT::load(weights, &config));
    let images = input("images", [1, 3, 128, 128], 2.0);

    let mut x = encoder.patch_embed.forward(images.clone());
    let mut errors = vec![golden.error("patch_embed", x.clone().permute([0, 3, 1, 2]))];
    x = encoder.conv_layer.forward(x);
    errors.push(golden.error("layers.0", x.clone()));
    for (index, layer) in encoder.layers.iter().enumerate() {
        x = layer.forward(x);
        errors.push(golden.error(&format!("layers.{}", index + 1), x.clone()));
    }
    errors.push(golden.error("features", encoder.forward(images)));
    assert!(errors.iter().all(|&error| error < TOLERANCE), "{errors:?}");
}
