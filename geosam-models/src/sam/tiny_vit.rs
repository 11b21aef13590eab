//! TinyViT, the image encoder of MobileSAM: <https://arxiv.org/abs/2207.10666>, <https://arxiv.org/abs/2306.14289>.
//!
//! Images are channels-last from the stem on, so that tokens are pixels and a 1×1 convolution is a linear layer.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData};

use super::config::TinyVitConfig;
use super::conv_bn::{DepthwiseConv, InvertedBottleneck, load_conv_bn};
use super::neck::Neck;
use crate::kernels::{self, Layout, Position, QkvOrder, WindowAttention};
use crate::nn::{self, Activation, Conv2dConfig, LayerNorm, Linear, TokenConv};
use crate::weights::{Weights, parameter};

/// A convolutional stem and stage, then three stages of windowed attention.
#[derive(Module, Debug)]
pub(crate) struct TinyViT {
    patch_embed: PatchEmbed,
    /// `layers.0`
    conv_layer: ConvLayer,
    /// `layers.1`, `layers.2`, `layers.3`
    layers: Vec<BasicLayer>,
    neck: Neck,
}

impl TinyViT {
    pub(crate) fn load(weights: &Weights<'_>, config: &TinyVitConfig) -> Self {
        let TinyVitConfig { widths, depths, heads, windows, .. } = *config;
        let layers = weights.scope("layers");
        let basic_layer = |stage: usize| {
            // The last two stages have the same resolution.
            let merging = (stage < 3).then(|| (widths[stage + 1], if stage == 2 { 1 } else { 2 }));
            let block = BlockShape { width: widths[stage], heads: heads[stage - 1], window: windows[stage - 1] };
            BasicLayer::load(&layers.scope(stage), block, depths[stage], merging)
        };
        Self {
            patch_embed: PatchEmbed::load(&weights.scope("patch_embed"), widths[0]),
            conv_layer: ConvLayer::load(&layers.scope(0), widths[0], depths[0], widths[1]),
            layers: (1..4).map(basic_layer).collect(),
            neck: Neck::load(&weights.scope("neck"), widths[3], config.features),
        }
    }

    /// # Shapes
    /// - images: `[batch, 3, size, size]`
    /// - output: `[batch, features, size / 16, size / 16]`
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x = self.conv_layer.forward(self.patch_embed.forward(images));
        let x = self.layers.iter().fold(x, |x, layer| layer.forward(x));
        self.neck.forward(x)
    }
}

/// Two convolutions of stride 2.
#[derive(Module, Debug)]
struct PatchEmbed {
    /// `seq.0`
    conv1: TokenConv,
    /// `seq.2`
    conv2: TokenConv,
}

impl PatchEmbed {
    fn load(weights: &Weights<'_>, width: usize) -> Self {
        let conv = |index: usize, layout, channels| {
            let config = Conv2dConfig::new(channels, 3);
            let (weight, bias) = load_conv_bn(&weights.on_host().scope(format_args!("seq.{index}")), config);
            TokenConv::new(layout, weight, bias, 2).placed(weights)
        };
        Self {
            conv1: conv(0, Layout::ChannelsFirst, [3, width / 2]),
            conv2: conv(2, Layout::ChannelsLast, [width / 2, width]),
        }
    }

    /// # Shapes
    /// - images: `[batch, 3, size, size]`
    /// - output: `[batch, size / 4, size / 4, channels]`
    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.conv2.forward(self.conv1.forward(images, Some(Activation::Gelu)), None)
    }
}

/// The convolutional stage.
#[derive(Module, Debug)]
struct ConvLayer {
    blocks: Vec<MBConv>,
    downsample: PatchMerging,
}

impl ConvLayer {
    fn load(weights: &Weights<'_>, width: usize, depth: usize, merged: usize) -> Self {
        let block = |index| MBConv::load(&weights.scope(format_args!("blocks.{index}")), width);
        Self {
            blocks: (0..depth).map(block).collect(),
            downsample: PatchMerging::load(&weights.scope("downsample"), width, merged, 2),
        }
    }

    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: `[batch, height / 2, width / 2, merged channels]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.downsample.forward(self.blocks.iter().fold(x, |x, block| block.forward(x)))
    }
}

/// Inverted bottleneck with a residual.
#[derive(Module, Debug)]
struct MBConv {
    /// `conv1`, `conv2`, `conv3`
    convs: InvertedBottleneck,
}

impl MBConv {
    const EXPANSION: usize = 4;

    fn load(weights: &Weights<'_>, width: usize) -> Self {
        Self { convs: InvertedBottleneck::load(weights, [width, Self::EXPANSION * width, width], 1) }
    }

    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.convs.forward_residual(x)
    }
}

/// Goes to the width of the next stage, and to half the resolution where the stride is 2.
#[derive(Module, Debug)]
struct PatchMerging {
    /// `conv1`, `conv2`, `conv3`
    convs: InvertedBottleneck,
}

impl PatchMerging {
    fn load(weights: &Weights<'_>, inputs: usize, outputs: usize, stride: usize) -> Self {
        Self { convs: InvertedBottleneck::load(weights, [inputs, outputs, outputs], stride) }
    }

    /// # Shapes
    /// - x: `[batch, height, width, inputs]`
    /// - output: `[batch, height / stride, width / stride, outputs]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.convs.forward(x)
    }
}

/// A stage of windowed attention.
#[derive(Module, Debug)]
struct BasicLayer {
    blocks: Vec<TinyViTBlock>,
    downsample: Option<PatchMerging>,
}

impl BasicLayer {
    /// `merging`: width and stride of the step to the next stage.
    fn load(weights: &Weights<'_>, block: BlockShape, depth: usize, merging: Option<(usize, usize)>) -> Self {
        let blocks = weights.scope("blocks");
        let downsample =
            |(outputs, stride)| PatchMerging::load(&weights.scope("downsample"), block.width, outputs, stride);
        Self {
            blocks: (0..depth).map(|index| TinyViTBlock::load(&blocks.scope(index), block)).collect(),
            downsample: merging.map(downsample),
        }
    }

    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same, or what [`PatchMerging`] makes of it
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x,
        }
    }
}

/// What the blocks of a stage have in common.
#[derive(Clone, Copy, Debug)]
struct BlockShape {
    width: usize,
    heads: usize,
    window: usize,
}

/// Attention, a depthwise convolution that replaces its input, MLP.
#[derive(Module, Debug)]
struct TinyViTBlock {
    attn: Attention,
    local_conv: DepthwiseConv,
    mlp: Mlp,
}

impl TinyViTBlock {
    fn load(weights: &Weights<'_>, shape: BlockShape) -> Self {
        Self {
            attn: Attention::load(&weights.scope("attn"), shape),
            local_conv: DepthwiseConv::load(&weights.scope("local_conv"), shape.width, 1),
            mlp: Mlp::load(&weights.scope("mlp"), shape.width),
        }
    }

    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.mlp.add_to(self.local_conv.forward(self.attn.add_to(x)))
    }
}

/// Attention within windows, with a learned bias for each distance.
#[derive(Module, Debug)]
struct Attention {
    norm: LayerNorm,
    qkv: Linear,
    proj: Linear,
    /// For each head and pair of tokens, `[heads, window², window²]`; checkpoints have `[heads, window²]`, by
    /// |Δrow|·window + |Δcolumn|.
    attention_biases: Param<Tensor<3>>,
    window: usize,
}

impl Attention {
    fn load(weights: &Weights<'_>, BlockShape { width, heads, window }: BlockShape) -> Self {
        let tokens = window * window;
        let index = |pair: usize| {
            let (query, key) = (pair / tokens, pair % tokens);
            let rows = (query / window).abs_diff(key / window);
            let columns = (query % window).abs_diff(key % window);
            rows * window + columns
        };
        let by_distance = weights.values("attention_biases", &[heads, tokens]);
        let element = |i: usize| by_distance[i / (tokens * tokens) * tokens + index(i % (tokens * tokens))];
        let biases: Vec<f32> = (0..heads * tokens * tokens).map(element).collect();
        let biases = TensorData::new(biases, [heads, tokens, tokens]);
        Self {
            norm: LayerNorm::load(&weights.scope("norm"), width, NORM_EPSILON),
            qkv: Linear::load(&weights.scope("qkv"), width, 3 * width),
            proj: Linear::load(&weights.scope("proj"), width, width),
            attention_biases: parameter(Tensor::from_data(biases, (weights.device(), DType::F32))),
            window,
        }
    }

    /// `x` and what its tokens attend to.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same
    fn add_to(&self, x: Tensor<4>) -> Tensor<4> {
        let biases = self.attention_biases.val();
        let [heads, _, _] = biases.dims();
        // Windows that reach over the edge are filled up with zeros before the norm, which makes its bias of them.
        // Nothing masks them.
        let filling = self.qkv.forward(self.norm.bias.val());
        let attention = WindowAttention {
            heads,
            window: self.window,
            order: QkvOrder::HeadMajor,
            pool: 1,
            precision: self.qkv.precision(),
        };
        let qkv = self.qkv.forward_normed(&self.norm, x.clone());
        self.proj.add_to(x, kernels::window_attention(qkv, filling, Position::Dense(biases), attention))
    }
}

const NORM_EPSILON: f64 = 1e-5;

/// The two-layer perceptron, which here begins with the norm.
#[derive(Module, Debug)]
struct Mlp {
    norm: LayerNorm,
    /// `fc1` and `fc2`
    layers: nn::Mlp,
}

impl Mlp {
    const RATIO: usize = 4;

    fn load(weights: &Weights<'_>, width: usize) -> Self {
        let widths = [width, Self::RATIO * width, width];
        Self {
            norm: LayerNorm::load(&weights.scope("norm"), width, NORM_EPSILON),
            layers: nn::Mlp::load(weights, ["fc1", "fc2"], widths, Activation::Gelu),
        }
    }

    /// `x` and what this makes of it.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: the same
    fn add_to(&self, x: Tensor<4>) -> Tensor<4> {
        self.layers.add_to(&self.norm, x)
    }
}

#[cfg(test)]
mod tests;
