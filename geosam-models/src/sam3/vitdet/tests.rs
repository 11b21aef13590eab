#![allow(clippy::unwrap_used)]

use super::*;
use crate::golden::{Golden, input, load_seeded};

/// Measured: at most 3.7e-7, at the last block. Norms with the other family's epsilon are 3e-5 off.
const TOLERANCE: f64 = 1e-5;

#[test]
fn every_block_agrees_with_sam3() {
    let golden = Golden::open("sam3.safetensors");
    // The encoder of `make_sam3_goldens.py`: a grid of 12 tokens.
    let config = PerceptionEncoderConfig {
        image_size: 168,
        window: 4,
        position_grid: 4,
        features: 32,
        ..PerceptionEncoderConfig::miniature()
    };
    let prefix = "detector.backbone.vision_backbone.trunk";
    let trunk = load_seeded(prefix, |weights| ViT::load(weights, &config));
    let images = input("images", [1, 3, 168, 168], 0.2);

    let mut x = trunk.ln_pre.forward(trunk.patch_embed.forward(images.clone()) + trunk.position.val());
    let mut errors = vec![golden.error("ln_pre", x.clone())];
    for (index, block) in trunk.blocks.iter().enumerate() {
        x = block.forward(x);
        errors.push(golden.error(&format!("blocks.{index}"), x.clone()));
    }
    errors.push(golden.error("blocks.2", trunk.forward(images)));
    assert!(errors.iter().all(|&error| error < TOLERANCE), "{errors:?}");
}
