//! Masks and their quality from image features and prompt tokens.
//!
//! Upstream: `segment_anything/modeling/mask_decoder.py`. Images stay token-major, `[batch, pixels, channels]`, from
//! end to end, so that every layer is a matrix product; only the finished masks are put in rows and columns.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::transformer::{ImageTokens, TwoWayTransformer, TwoWayTransformerConfig};
use crate::nn::{Activation, LayerNorm, Linear, assert_shape};
use crate::profile;
use crate::weights::Weights;

/// One mask for an unambiguous prompt and three for an ambiguous one.
const MASK_TOKENS: usize = 4;

/// Side of a mask in units of the feature grid.
pub(crate) const MASK_UPSCALING: usize = 4;

/// Epsilon of the norm between the upscaling layers.
const EPSILON: f64 = 1e-6;

/// The decoder's answer to a batch of prompts.
#[derive(Clone, Debug)]
pub(crate) struct DecodedMasks {
    /// Logits, `[batch, masks, 4·grid, 4·grid]`.
    pub(crate) logits: Tensor<4>,
    /// Predicted IoU, `[batch, masks]`.
    pub(crate) scores: Tensor<2>,
}

/// The mask decoder.
#[derive(Module, Debug)]
pub(crate) struct MaskDecoder {
    transformer: TwoWayTransformer,
    iou_token: Param<Tensor<2>>,
    mask_tokens: Param<Tensor<2>>,
    output_upscaling: OutputUpscaling,
    output_hypernetworks_mlps: Vec<TokenHead>,
    iou_prediction_head: TokenHead,
}

impl MaskDecoder {
    pub(crate) fn load(weights: &Weights<'_>, config: TwoWayTransformerConfig) -> Self {
        let width = config.embedding_dim;
        let hypernetwork = |index| {
            TokenHead::load(&weights.scope(format_args!("output_hypernetworks_mlps.{index}")), width, width / 8)
        };
        Self {
            transformer: TwoWayTransformer::load(&weights.scope("transformer"), config),
            iou_token: Param::from_tensor(weights.tensor("iou_token.weight", [1, width])),
            mask_tokens: Param::from_tensor(weights.tensor("mask_tokens.weight", [MASK_TOKENS, width])),
            output_upscaling: OutputUpscaling::load(&weights.scope("output_upscaling"), width),
            output_hypernetworks_mlps: (0..MASK_TOKENS).map(hypernetwork).collect(),
            iou_prediction_head: TokenHead::load(&weights.scope("iou_prediction_head"), width, MASK_TOKENS),
        }
    }

    /// One mask for each prompt, or three candidates.
    ///
    /// # Shapes
    /// - image: of a square feature grid, batch 1 or that of `sparse`
    /// - sparse: `[batch, prompt tokens, width]`
    pub(crate) fn forward(&self, image: &ImageTokens, sparse: Tensor<3>, multimask: bool) -> DecodedMasks {
        let (tokens, image) = self.transformer.forward(image, self.tokens(sparse));
        let [batch, _, _] = tokens.dims();
        let token = |index: usize| tokens.clone().slice([0..batch, index..index + 1]);
        let filter = |mask: usize| self.output_hypernetworks_mlps[mask].forward(token(1 + mask));
        let filters = Tensor::cat((0..MASK_TOKENS).map(filter).collect(), 1);
        let scores = self.iou_prediction_head.forward(token(0)).squeeze_dim::<2>(1);
        let chosen = if multimask { 1..MASK_TOKENS } else { 0..1 };
        DecodedMasks {
            logits: self.output_upscaling.forward(image, filters, chosen.clone()),
            scores: scores.slice([0..batch, chosen]),
        }
    }

    /// The tokens that gather the answer, then those of the prompt.
    ///
    /// # Shapes
    /// - sparse: `[batch, prompt tokens, width]`
    /// - output: `[batch, 5 + prompt tokens, width]`
    fn tokens(&self, sparse: Tensor<3>) -> Tensor<3> {
        let [batch, _, width] = sparse.dims();
        let output_tokens = Tensor::cat(vec![self.iou_token.val(), self.mask_tokens.val()], 0);
        let output_tokens = output_tokens.unsqueeze::<3>().expand([batch, 1 + MASK_TOKENS, width]);
        Tensor::cat(vec![output_tokens, sparse], 1)
    }
}

/// Image tokens to mask logits at four times the resolution.
#[derive(Module, Debug)]
struct OutputUpscaling {
    upscale1: PixelSplit,
    norm: LayerNorm,
    upscale2: PixelSplit,
}

impl OutputUpscaling {
    fn load(weights: &Weights<'_>, width: usize) -> Self {
        Self {
            upscale1: PixelSplit::load(&weights.scope("0"), [width, width / 4]),
            norm: LayerNorm::load(&weights.scope("1"), width / 4, EPSILON),
            upscale2: PixelSplit::load(&weights.scope("3"), [width / 4, width / 8]),
        }
    }

    /// # Shapes
    /// - image: `[batch, grid², width]`
    /// - filters: `[batch, masks, width / 8]`, what each mask looks for in the upscaled image
    /// - output: `[batch, chosen masks, 4·grid, 4·grid]`
    fn forward(&self, image: Tensor<3>, filters: Tensor<3>, chosen: Range<usize>) -> Tensor<4> {
        let [batch, pixels, _] = image.dims();
        let [_, masks, channels] = filters.dims();
        let x = Activation::Gelu.forward(self.norm.forward(self.upscale1.forward(image, None)));
        let x = self.upscale2.forward(x, Some(Activation::Gelu));
        let upscaled = MASK_UPSCALING * MASK_UPSCALING * pixels;
        assert_shape!(x, [batch, upscaled, channels]);
        let describe = || ("mask logits".to_string(), 2.0 * (batch * masks * upscaled * channels) as f64);
        profile::operator(describe, || {
            // All masks: a product with the one column of a single mask takes five times as long as one with four.
            let logits = x.matmul(filters.transpose()).slice([0..batch, 0..upscaled, chosen.clone()]);
            // Pixels are nested: grid row and column, then row and column in each of the two splits.
            let grid = pixels.isqrt();
            let side = MASK_UPSCALING * grid;
            let nested = logits.reshape([batch, grid, grid, 2, 2, 2, 2, chosen.len()]);
            nested.permute([0, 7, 1, 3, 5, 2, 4, 6]).reshape([batch, chosen.len(), side, side])
        })
    }
}

/// Transposed convolution with kernel and stride 2 as a linear layer: each pixel becomes four.
#[derive(Module, Debug)]
struct PixelSplit {
    /// Its outputs are the four pixels, row-major, each with its channels.
    linear: Linear,
}

impl PixelSplit {
    fn load(weights: &Weights<'_>, [inputs, outputs]: [usize; 2]) -> Self {
        let weight = weights.tensor("weight", [inputs, outputs, 2, 2]).permute([2, 3, 1, 0]);
        let bias = weights.tensor("bias", [outputs]).repeat_dim(0, 4);
        Self { linear: Linear::new(weight.reshape([4 * outputs, inputs]), bias) }
    }

    /// # Shapes
    /// - x: `[batch, pixels, inputs]`
    /// - output: `[batch, 4·pixels, outputs]`, the four pixels of each input pixel one after the other
    fn forward(&self, x: Tensor<3>, activation: Option<Activation>) -> Tensor<3> {
        let split = self.linear.forward_with(x, activation);
        let [batch, pixels, outputs] = split.dims();
        split.reshape([batch, 4 * pixels, outputs / 4])
    }
}

/// Three linear layers with ReLU between them, applied to an output token.
#[derive(Module, Debug)]
struct TokenHead {
    layers: Vec<Linear>,
}

impl TokenHead {
    fn load(weights: &Weights<'_>, width: usize, outputs: usize) -> Self {
        let layer = |(index, outputs)| Linear::load(&weights.scope(format_args!("layers.{index}")), width, outputs);
        Self { layers: [width, width, outputs].into_iter().enumerate().map(layer).collect() }
    }

    /// # Shapes
    /// - x: `[batch, 1, width]`
    /// - output: `[batch, 1, outputs]`
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let hidden = self.layers[..2].iter().fold(x, |x, layer| layer.forward_with(x, Some(Activation::Relu)));
        self.layers[2].forward(hidden)
    }
}

#[cfg(test)]
mod tests;
