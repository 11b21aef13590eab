//! The Perception Encoder, the trunk of SAM 3: a plain vision transformer with rotary positions.
//!
//! Upstream: `sam3/model/vitdet.py`; papers: <https://arxiv.org/abs/2504.13181>, <https://arxiv.org/abs/2104.09864>.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::config::PerceptionEncoderConfig;
use crate::nn::{Activation, Attention, AttentionPosition, LayerNorm, Mlp, PatchEmbed, RotaryPosition, VitBlock};
use crate::weights::{Weights, parameter};

/// Epsilon of the layer norms; those of SAM and SAM 2 have 1e-6.
const EPSILON: f64 = 1e-5;
/// Wavelength base of the rotary positions.
const THETA: f64 = 10_000.0;

/// The trunk. It has a norm before the blocks and none after them.
#[derive(Module, Debug)]
pub(super) struct ViT {
    patch_embed: PatchEmbed,
    /// `pos_embed`, repeated: `[1, grid, grid, width]`.
    position: Param<Tensor<4>>,
    ln_pre: LayerNorm,
    blocks: Vec<VitBlock>,
}

impl ViT {
    pub(super) fn load(weights: &Weights<'_>, config: &PerceptionEncoderConfig) -> Self {
        let PerceptionEncoderConfig { image_size, patch, width, depth, window, .. } = *config;
        let grid = image_size / patch;
        let head = width / config.heads;
        // Within a window the positions are those of the table's grid; over the whole image they are shrunk to it.
        let in_windows = rotary(window, head, 1.0, weights.device());
        let global = rotary(grid, head, config.position_grid as f64 / grid as f64, weights.device());
        let block = |index| {
            let (window, position) =
                if config.global_attention.contains(&index) { (grid, &global) } else { (window, &in_windows) };
            load_block(&weights.scope(format_args!("blocks.{index}")), config, window, position.clone())
        };
        Self {
            patch_embed: PatchEmbed::load(&weights.scope("patch_embed"), patch, width, false),
            position: parameter(position(weights, config, grid)),
            ln_pre: LayerNorm::load(&weights.scope("ln_pre"), width, EPSILON),
            blocks: (0..depth).map(block).collect(),
        }
    }

    /// # Shapes
    /// - images: `[batch, 3, size, size]`
    /// - output: `[batch, grid, grid, width]`
    pub(super) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x = self.patch_embed.forward(images) + self.position.val();
        self.blocks.iter().fold(self.ln_pre.forward(x), |x, block| block.forward(x))
    }
}

/// The block's tensors, in SAM 3's names.
fn load_block(
    weights: &Weights<'_>,
    config: &PerceptionEncoderConfig,
    window: usize,
    position: RotaryPosition,
) -> VitBlock {
    let PerceptionEncoderConfig { width, heads, mlp, .. } = *config;
    let rotary = AttentionPosition::Rotary(position);
    VitBlock {
        norm1: LayerNorm::load(&weights.scope("norm1"), width, EPSILON),
        attn: Attention::load(&weights.scope("attn"), width, heads, window, rotary),
        norm2: LayerNorm::load(&weights.scope("norm2"), width, EPSILON),
        mlp: Mlp::load(&weights.scope("mlp"), ["fc1", "fc2"], [width, mlp, width], Activation::Gelu),
    }
}

/// The learned positions, repeated over the grid and cut off at its edge, never stretched.
///
/// # Shapes
/// - output: `[1, grid, grid, width]`
fn position(weights: &Weights<'_>, config: &PerceptionEncoderConfig, grid: usize) -> Tensor<4> {
    let PerceptionEncoderConfig { width, position_grid: side, .. } = *config;
    let table = weights.tensor("pos_embed", [1, side * side, width]).reshape([1, side, side, width]);
    let times = grid.div_ceil(side);
    table.repeat(&[1, times, times, 1]).slice([0..1, 0..grid, 0..grid])
}

/// Angles of the tokens of a square of `side`² tokens, for heads of `head` channels: the first half of the pairs of
/// channels turns with the column, the second with the row, each slower than the one before. `scale` is the distance
/// between neighbours.
fn rotary(side: usize, head: usize, scale: f64, device: &Device) -> RotaryPosition {
    let quarter = head / 4;
    let frequency = move |index: usize| THETA.powf(-(4.0 * index as f64) / head as f64);
    let angles = (0..side * side).flat_map(move |place| {
        [place % side, place / side]
            .into_iter()
            .flat_map(move |at| (0..quarter).map(move |index| at as f64 * scale * frequency(index)))
    });
    let table = |of: fn(f64) -> f64| {
        let values: Vec<f32> = angles.clone().map(|angle| of(angle) as f32).collect();
        let tensor = Tensor::from_data(TensorData::new(values, [side * side, head / 2]), (device, DType::F32));
        parameter(tensor).set_require_grad(false)
    };
    RotaryPosition { cos: table(f64::cos), sin: table(f64::sin) }
}

#[cfg(test)]
mod tests;
