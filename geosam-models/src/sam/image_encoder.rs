//! ViT-Det, the image encoder of SAM B, L and H: <https://arxiv.org/abs/2203.16527>.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::config::{ImageEncoderConfig, VitConfig};
use super::neck::Neck;
use super::tiny_vit::TinyViT;
use crate::kernels::{self, PositionBias, QkvOrder, WindowAttention};
use crate::nn::{Activation, LayerNorm, Linear, Mlp, assert_shape};
use crate::weights::Weights;

/// `image_encoder` of a checkpoint, whichever architecture it has.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // one per model
pub(crate) enum ImageEncoder {
    Vit(ImageEncoderViT),
    Tiny(TinyViT),
}

impl ImageEncoder {
    pub(crate) fn load(weights: &Weights<'_>, config: &ImageEncoderConfig) -> Self {
        match config {
            ImageEncoderConfig::Vit(config) => Self::Vit(ImageEncoderViT::load(weights, config)),
            ImageEncoderConfig::Tiny(config) => Self::Tiny(TinyViT::load(weights, config)),
        }
    }

    /// Features of normalised images whose padding is zero.
    ///
    /// # Shapes
    /// - images: `[batch, 3, size, size]`
    /// - output: `[batch, features, size / 16, size / 16]`
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Vit(encoder) => encoder.forward(images),
            Self::Tiny(encoder) => encoder.forward(images),
        }
    }
}

/// The plain vision transformer with windowed attention in most blocks.
#[derive(Module, Debug)]
pub(crate) struct ImageEncoderViT {
    patch_embed: PatchEmbed,
    /// `[1, grid, grid, width]`
    pos_embed: Param<Tensor<4>>,
    blocks: Vec<Block>,
    neck: Neck,
}

impl ImageEncoderViT {
    pub(crate) fn load(weights: &Weights<'_>, config: &VitConfig) -> Self {
        let VitConfig { image_size, patch, width, depth, .. } = *config;
        let grid = image_size / patch;
        let block = |index| {
            let window = if config.global_attention.contains(&index) { grid } else { config.window };
            Block::load(&weights.scope(format_args!("blocks.{index}")), width, config.heads, window)
        };
        Self {
            patch_embed: PatchEmbed::load(&weights.scope("patch_embed"), patch, width),
            pos_embed: Param::from_tensor(weights.tensor("pos_embed", [1, grid, grid, width])),
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

/// Cuts the image into patches and maps each to a token.
#[derive(Module, Debug)]
struct PatchEmbed {
    /// `proj`, a convolution whose stride is its kernel: `[width, 3·patch·patch]`, columns in the order channel, row, column.
    proj: Linear,
    patch: usize,
}

impl PatchEmbed {
    fn load(weights: &Weights<'_>, patch: usize, width: usize) -> Self {
        let proj = weights.scope("proj");
        let weight = proj.tensor("weight", [width, 3, patch, patch]).reshape([width, 3 * patch * patch]);
        Self { proj: Linear::new(weight, proj.tensor("bias", [width])), patch }
    }

    /// # Shapes
    /// - images: `[batch, 3, height, width]`
    /// - output: `[batch, height / patch, width / patch, channels]`
    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = images.dims();
        let [patch, rows, columns] = [self.patch, height / self.patch, width / self.patch];
        assert_shape!(images, [_, 3, patch * rows, patch * columns]);
        let patches = images.reshape([batch, channels, rows, patch, columns, patch]).permute([0, 2, 4, 1, 3, 5]);
        self.proj.forward(patches.reshape([batch, rows, columns, channels * patch * patch]))
    }
}

/// A transformer block with its norms before attention and MLP.
#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    attn: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    const EPSILON: f64 = 1e-6;
    const MLP_RATIO: usize = 4;

    fn load(weights: &Weights<'_>, width: usize, heads: usize, window: usize) -> Self {
        Self {
            norm1: LayerNorm::load(&weights.scope("norm1"), width, Self::EPSILON),
            attn: Attention::load(&weights.scope("attn"), width, heads, window),
            norm2: LayerNorm::load(&weights.scope("norm2"), width, Self::EPSILON),
            mlp: Mlp::load(&weights.scope("mlp"), width, Self::MLP_RATIO * width, Activation::Gelu),
        }
    }

    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let attended = self.attn.forward(self.norm1.forward(x.clone()));
        let x = x + attended;
        let transformed = self.mlp.forward(self.norm2.forward(x.clone()));
        x + transformed
    }
}

/// Attention within windows, with a relative position for each axis. A global block has one window.
#[derive(Module, Debug)]
struct Attention {
    qkv: Linear,
    proj: Linear,
    /// `[2·window - 1, channels of a head]`, by the distance query - key.
    rel_pos_h: Param<Tensor<2>>,
    rel_pos_w: Param<Tensor<2>>,
    heads: usize,
    window: usize,
}

impl Attention {
    fn load(weights: &Weights<'_>, width: usize, heads: usize, window: usize) -> Self {
        let table = |name| Param::from_tensor(weights.tensor(name, [2 * window - 1, width / heads]));
        Self {
            qkv: Linear::load(&weights.scope("qkv"), width, 3 * width),
            proj: Linear::load(&weights.scope("proj"), width, width),
            rel_pos_h: table("rel_pos_h"),
            rel_pos_w: table("rel_pos_w"),
            heads,
            window,
        }
    }

    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        // Windows that reach over the edge are filled up with zeros, before `qkv`: such a token's query, key and value
        // are the bias. Nothing masks them.
        let filling = self.qkv.bias.val();
        let attention = WindowAttention { heads: self.heads, window: self.window, order: QkvOrder::PartMajor };
        let bias = PositionBias::Relative { rows: self.rel_pos_h.val(), columns: self.rel_pos_w.val() };
        self.proj.forward(kernels::window_attention(self.qkv.forward(x), filling, bias, attention))
    }
}

#[cfg(test)]
mod tests;
