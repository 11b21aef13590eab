//! Hiera, the trunk of SAM 2's image encoder: <https://arxiv.org/abs/2306.00989>.
//!
//! Upstream: `sam2/modeling/backbones/hieradet.py`. Images are channels-last throughout.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::config::HieraConfig;
use crate::kernels::{self, Patches, Position, QkvOrder, WindowAttention};
use crate::nn::{Activation, LayerNorm, Linear, Mlp, PatchEmbed};
use crate::profile;
use crate::weights::{Weights, parameter};

/// Epsilon of the layer norms.
const EPSILON: f64 = 1e-6;
/// Channels inside the perceptrons, in widths of a token.
const MLP_RATIO: usize = 4;
/// Pixels for one token of the first stage, along one axis.
const STEM_STRIDE: usize = 4;
/// Side of the position table that repeats.
const POSITION_WINDOW: usize = 8;

/// Four stages of blocks.
#[derive(Module, Debug)]
pub(super) struct Hiera {
    patch_embed: PatchEmbed,
    /// `[1, grid, grid, width]`, see [`position`].
    position: Param<Tensor<4>>,
    blocks: Vec<MultiScaleBlock>,
    /// The last block of each stage.
    stage_ends: Vec<usize>,
}

impl Hiera {
    pub(super) fn load(weights: &Weights<'_>, config: &HieraConfig) -> Self {
        let grid = config.image_size / STEM_STRIDE;
        let stem = Patches { kernel: 7, stride: STEM_STRIDE, padding: 3 };
        let blocks = config.blocks();
        let load = |(index, shape): (usize, &BlockShape)| {
            MultiScaleBlock::load(&weights.scope(format_args!("blocks.{index}")), *shape)
        };
        let ends = config.depths.iter().scan(0, |blocks, depth| {
            *blocks += depth;
            Some(*blocks - 1)
        });
        Self {
            patch_embed: PatchEmbed::load_overlapping(&weights.scope("patch_embed"), stem, config.width, true),
            position: parameter(position(&weights.on_host(), config, grid).to_device(weights.device())),
            blocks: blocks.iter().enumerate().map(load).collect(),
            stage_ends: ends.collect(),
        }
    }

    /// What each stage has at its end, from the finest to the coarsest.
    ///
    /// # Shapes
    /// - images: `[batch, 3, size, size]`
    /// - output: `[batch, size / 4 / 2ⁱ, size / 4 / 2ⁱ, width · 2ⁱ]` for i from 0 to 3
    pub(super) fn forward(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let x = self.patch_embed.forward(images);
        let position = || x + self.position.val();
        let mut x = profile::operator(|| ("tokens with positions".to_string(), 0.0), position);
        let mut stages = Vec::with_capacity(self.stage_ends.len());
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(x);
            if self.stage_ends.contains(&index) {
                stages.push(x.clone());
            }
        }
        stages
    }
}

/// Sizes of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockShape {
    /// Channels before and after.
    widths: [usize; 2],
    heads: usize,
    /// Side of a window in tokens, before pooling.
    window: usize,
    /// Whether it halves the resolution.
    pools: bool,
}

impl HieraConfig {
    /// The blocks in order.
    fn blocks(&self) -> Vec<BlockShape> {
        let mut blocks = Vec::new();
        for (stage, depth) in self.depths.into_iter().enumerate() {
            for block in 0..depth {
                let pools = stage > 0 && block == 0;
                // The block between two stages still has the windows of the first, and reads its width.
                let before = if pools { stage - 1 } else { stage };
                let grid = (self.image_size / STEM_STRIDE) >> before;
                let global = self.global_attention.contains(&blocks.len());
                blocks.push(BlockShape {
                    widths: [self.width << before, self.width << stage],
                    heads: self.heads << stage,
                    window: if global { grid } else { self.windows[before] },
                    pools,
                });
            }
        }
        blocks
    }
}

/// A transformer block that may halve the resolution.
#[derive(Module, Debug)]
struct MultiScaleBlock {
    norm1: LayerNorm,
    attn: MultiScaleAttention,
    norm2: LayerNorm,
    mlp: Mlp,
    /// Of a block that pools: brings the residual to the new width.
    proj: Option<Linear>,
}

impl MultiScaleBlock {
    fn load(weights: &Weights<'_>, shape: BlockShape) -> Self {
        let BlockShape { widths: [inputs, outputs], pools, .. } = shape;
        let mlp = [outputs, MLP_RATIO * outputs, outputs];
        Self {
            norm1: LayerNorm::load(&weights.scope("norm1"), inputs, EPSILON),
            attn: MultiScaleAttention::load(&weights.scope("attn"), shape),
            norm2: LayerNorm::load(&weights.scope("norm2"), outputs, EPSILON),
            mlp: Mlp::load(&weights.scope("mlp"), ["layers.0", "layers.1"], mlp, Activation::Gelu),
            proj: pools.then(|| Linear::load(&weights.scope("proj"), inputs, outputs)),
        }
    }

    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same, or `[batch, height / 2, width / 2, 2·channels]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let attended = self.attn.forward(&self.norm1, x.clone());
        // The residual of a block that pools is the normed input, unlike that of the others.
        let residual = match &self.proj {
            Some(proj) => {
                let wide = proj.forward_normed(&self.norm1, x);
                // Tokens are in f32 between the blocks, whatever the type of the weights.
                let wide = kernels::in_type(wide, DType::F32);
                profile::operator(|| ("max pooling".to_string(), 0.0), || kernels::max_pool2x2(wide))
            }
            None => x,
        };
        self.mlp.add_to(&self.norm2, self.attn.proj.add_to(residual, attended))
    }
}

/// Attention within windows, where the queries of four tokens may become one.
#[derive(Module, Debug)]
struct MultiScaleAttention {
    qkv: Linear,
    proj: Linear,
    heads: usize,
    window: usize,
    pool: usize,
}

impl MultiScaleAttention {
    fn load(weights: &Weights<'_>, shape: BlockShape) -> Self {
        let BlockShape { widths: [inputs, outputs], heads, window, pools } = shape;
        Self {
            qkv: Linear::load(&weights.scope("qkv"), inputs, 3 * outputs),
            proj: Linear::load(&weights.scope("proj"), outputs, outputs),
            heads,
            window,
            pool: if pools { 2 } else { 1 },
        }
    }

    /// What the normed tokens attend to, before `proj`.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, inputs]`
    /// - output: `[batch, height / pool, width / pool, outputs]`
    fn forward(&self, norm: &LayerNorm, x: Tensor<4>) -> Tensor<4> {
        let Self { heads, window, pool, .. } = *self;
        let precision = self.qkv.precision();
        let attention = WindowAttention { heads, window, order: QkvOrder::PartMajor, pool, precision };
        // Windows that reach over the edge are filled up with zeros, before `qkv`; nothing masks them.
        let filling = self.qkv.bias.val();
        kernels::window_attention(self.qkv.forward_normed(norm, x), filling, Position::Unknown, attention)
    }
}

/// The code of every token's place: `pos_embed` stretched over the grid, and `pos_embed_window` repeated.
///
/// # Shapes
/// - output: `[1, grid, grid, width]`
fn position(weights: &Weights<'_>, config: &HieraConfig, grid: usize) -> Tensor<4> {
    let HieraConfig { width, position_grid: side, .. } = *config;
    let table = weights.tensor("pos_embed", [1, width, side, side]);
    let window = weights.tensor("pos_embed_window", [1, width, POSITION_WINDOW, POSITION_WINDOW]);
    let stretched = stretched(table, grid).permute([0, 2, 3, 1]);
    let windows = grid / POSITION_WINDOW;
    let window = window.permute([0, 2, 3, 1]).reshape([1, POSITION_WINDOW, 1, POSITION_WINDOW, width]);
    let repeated = window.expand([windows, POSITION_WINDOW, windows, POSITION_WINDOW, width]);
    stretched + repeated.reshape([1, grid, grid, width])
}

/// Bicubic interpolation of square tables as PyTorch does it: a = -0.75, cell centres at half integers, no antialiasing, and
/// the border repeated beyond the edge.
///
/// # Shapes
/// - tables: `[1, tables, side, side]`
/// - output: `[1, tables, target, target]`
fn stretched(tables: Tensor<4>, target: usize) -> Tensor<4> {
    let [_, _, _, side] = tables.dims();
    let along_axis = interpolation(side, target, &tables.device()).unsqueeze::<4>();
    along_axis.clone().matmul(tables).matmul(along_axis.transpose())
}

/// What each of `target` cells takes from each of `side` ones.
///
/// # Shapes
/// - output: `[target, side]`
fn interpolation(side: usize, target: usize, device: &Device) -> Tensor<2> {
    let mut matrix = vec![0.0; target * side];
    for index in 0..target {
        let (cells, weights) = taps(index, side, target);
        for (cell, weight) in cells.into_iter().zip(weights) {
            matrix[index * side + cell] += weight;
        }
    }
    Tensor::from_data(TensorData::new(matrix, [target, side]), (device, DType::F32))
}

/// Four cells around a target cell, and their weights.
fn taps(index: usize, side: usize, target: usize) -> ([usize; 4], [f32; 4]) {
    const A: f32 = -0.75;
    let at = (index as f32 + 0.5) * (side as f32 / target as f32) - 0.5;
    let first = at.floor();
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let t = at - first;
    let cell = |offset: f32| (first + offset).clamp(0.0, (side - 1) as f32) as usize;
    ([-1.0, 0.0, 1.0, 2.0].map(cell), [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)])
}

#[cfg(test)]
mod tests;
