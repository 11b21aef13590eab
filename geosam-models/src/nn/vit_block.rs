//! The block of a plain vision transformer: SAM's and SAM 3's, which differ in how they tell positions.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{LayerNorm, Linear, Mlp};
use crate::kernels::{self, Position, QkvOrder, WindowAttention};
use crate::weights::Weights;

/// A transformer block with its norms before attention and perceptron.
#[derive(Module, Debug)]
pub(crate) struct VitBlock {
    pub(crate) norm1: LayerNorm,
    pub(crate) attn: Attention,
    pub(crate) norm2: LayerNorm,
    pub(crate) mlp: Mlp,
}

impl VitBlock {
    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.mlp.add_to(&self.norm2, self.attn.add_to(&self.norm1, x))
    }
}

/// Attention within windows. A global block has one window.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    qkv: Linear,
    proj: Linear,
    position: AttentionPosition,
    heads: usize,
    window: usize,
}

/// How the tokens of a window know where they are.
#[derive(Module, Debug)]
pub(crate) enum AttentionPosition {
    /// A learned code for every distance: SAM.
    Relative(RelativePosition),
    /// Queries and keys turned by angles that grow along the axes: SAM 3.
    Rotary(RotaryPosition),
}

/// See [`Position::Relative`].
#[derive(Module, Debug)]
pub(crate) struct RelativePosition {
    /// `[2·window - 1, channels of a head]`, by the distance query - key.
    pub(crate) rel_pos_h: Param<Tensor<2>>,
    pub(crate) rel_pos_w: Param<Tensor<2>>,
}

/// See [`Position::Rotary`].
#[derive(Module, Debug)]
pub(crate) struct RotaryPosition {
    /// `[window², channels of a head / 2]`
    pub(crate) cos: Param<Tensor<2>>,
    pub(crate) sin: Param<Tensor<2>>,
}

impl Attention {
    pub(crate) fn load(
        weights: &Weights<'_>,
        width: usize,
        heads: usize,
        window: usize,
        position: AttentionPosition,
    ) -> Self {
        Self {
            qkv: Linear::load(&weights.scope("qkv"), width, 3 * width),
            proj: Linear::load(&weights.scope("proj"), width, width),
            position,
            heads,
            window,
        }
    }

    /// `x` and what its tokens attend to once normed.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same
    fn add_to(&self, norm: &LayerNorm, x: Tensor<4>) -> Tensor<4> {
        let Self { heads, window, .. } = *self;
        let precision = self.qkv.precision();
        let attention = WindowAttention { heads, window, order: QkvOrder::PartMajor, pool: 1, precision };
        let position = match &self.position {
            AttentionPosition::Relative(tables) => {
                Position::Relative { rows: tables.rel_pos_h.val(), columns: tables.rel_pos_w.val() }
            }
            AttentionPosition::Rotary(tables) => Position::Rotary { cos: tables.cos.val(), sin: tables.sin.val() },
        };
        // Windows that reach over the edge are filled up with zeros, before `qkv`: such a token's query, key and value
        // are the bias. Nothing masks them.
        let filling = self.qkv.bias.val();
        let qkv = self.qkv.forward_normed(norm, x.clone());
        self.proj.add_to(x, kernels::window_attention(qkv, filling, position, attention))
    }
}
