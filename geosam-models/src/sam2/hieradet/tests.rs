#![allow(clippy::unwrap_used)]

use super::*;
use crate::golden::{Golden, input, load_seeded};

/// Measured: at most 6.3e-7, at the last stage. Norms with the other family's epsilon are 3e-5 off.
const TOLERANCE: f64 = 1e-5;

/// What `make_sam2_goldens.py` stores: one value in so many.
const SAMPLING: usize = 5;

/// The encoder of `make_sam2_goldens.py`: grids of 64, 32, 16 and 8 tokens, the latter two with windows over the edge.
fn config() -> HieraConfig {
    HieraConfig { image_size: 256, depths: [1, 2, 3, 2], features: 32, ..HieraConfig::miniature() }
}

#[test]
fn every_stage_agrees_with_sam2() {
    let golden = Golden::open("hiera_encoder.safetensors");
    let trunk = load_seeded("image_encoder.trunk", |weights| Hiera::load(weights, &config()));
    let mut errors = vec![golden.sampled_error("position", trunk.position.val(), SAMPLING)];
    let stages = trunk.forward(input("images", [1, 3, 256, 256], 0.2));
    for (end, stage) in [0, 2, 5, 7].into_iter().zip(stages) {
        errors.push(golden.sampled_error(&format!("blocks.{end}"), stage, SAMPLING));
    }
    assert!(errors.iter().all(|&error| error < TOLERANCE), "{errors:?}");
}

#[test]
fn position_tables_are_stretched_as_by_pytorch() {
    let golden = Golden::open("hiera_encoder.safetensors");
    for side in [7, 14] {
        let stretched = stretched(input(&format!("table {side}"), [1, 2, side, side], 1.0), 64);
        let error = golden.sampled_error(&format!("bicubic {side}"), stretched, SAMPLING);
        assert!(error < TOLERANCE, "{side}: {error}");
    }
}

#[test]
fn blocks_between_stages_have_the_windows_before() {
    let window = |config: &HieraConfig| config.blocks().iter().map(|block| block.window).collect::<Vec<_>>();
    // 64 tokens are the whole grid of the third stage: a global block.
    assert_eq!(window(&HieraConfig::tiny()), [8, 8, 4, 4, 14, 64, 14, 64, 14, 64, 14, 7]);
    let pooling = |config: &HieraConfig| {
        let blocks = config.blocks();
        (0..blocks.len()).filter(|&index| blocks[index].pools).collect::<Vec<_>>()
    };
    for (config, expected) in [
        (HieraConfig::tiny(), [1, 3, 10]),
        (HieraConfig::small(), [1, 3, 14]),
        (HieraConfig::base_plus(), [2, 5, 21]),
        (HieraConfig::large(), [2, 8, 44]),
    ] {
        assert_eq!(pooling(&config), expected);
    }
}
