//! ViT-Det, the image encoder of SAM B, L and H: <https://arxiv.org/abs/2203.16527>.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::config::VitConfig;
use super::neck::Neck;
use crate::nn::{Activation, Attention, AttentionPosition, LayerNorm, Mlp, PatchEmbed, RelativePosition, VitBlock};
use crate::weights::{Weights, parameter};

/// Epsilon of the layer norms.
const EPSILON: f64 = 1e-6;
/// Channels inside the perceptrons, in widths of a token.
const MLP_RATIO: usize = 4;

/// The plain vision transformer with windowed attention in most blocks.
#[derive(Module, Debug)]
pub(crate) struct ImageEncoderViT {
    patch_embed: PatchEmbed,
    /// `[1, grid, grid, width]`
    pos_embed: Param<Tensor<4>>,
    blocks: Vec<VitBlock>,
    neck: Neck,
}

impl ImageEncoderViT {
    pub(crate) fn load(weights: &Weights<'_>, config: &VitConfig) -> Self {
        let VitConfig { image_size, patch, width, depth, .. } = *config;
        let grid = image_size / patch;
        let block = |index| {
            let window = if config.global_attention.contains(&index) { grid } else { config.window };
            load_block(&weights.scope(format_args!("blocks.{index}")), width, config.heads, window)
        };
        Self {
            patch_embed: PatchEmbed::load(&weights.scope("patch_embed"), patch, width, true),
            pos_embed: parameter(weights.tensor("pos_embed", [1, grid, grid, width])),
            blocks: (0..depth).map(block).collect(),
            neck: Neck::load(&weights.scope("neck"), width, config.features),
        }
    }

    /// # Shapes
    /// - images: `[batch, 3, size, size]`
    /// - output: `[batch, features, grid, grid]`
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x = self.patch_embed.forward(images) + self.pos_embed.val();
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.neck.forward(x)
    }
}

/// The block's tensors, in SAM's names.
fn load_block(weights: &Weights<'_>, width: usize, heads: usize, window: usize) -> VitBlock {
    let attn = weights.scope("attn");
    let table = |name| parameter(attn.tensor(name, [2 * window - 1, width / heads]));
    let position = RelativePosition { rel_pos_h: table("rel_pos_h"), rel_pos_w: table("rel_pos_w") };
    let mlp = weights.scope("mlp");
    VitBlock {
        norm1: LayerNorm::load(&weights.scope("norm1"), width, EPSILON),
        attn: Attention::load(&attn, width, heads, window, AttentionPosition::Relative(position)),
        norm2: LayerNorm::load(&weights.scope("norm2"), width, EPSILON),
        mlp: Mlp::load(&mlp, ["lin1", "lin2"], [width, MLP_RATIO * width, width], Activation::Gelu),
    }
}

#[cfg(test)]
mod tests;
