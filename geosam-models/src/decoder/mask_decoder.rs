//! Masks and their quality from image features and prompt tokens.
//!
//! Upstream: `segment_anything/modeling/mask_decoder.py`, `sam2/modeling/sam/mask_decoder.py`. Images stay token-major,
//! `[batch, pixels, channels]`, from end to end, so that every layer is a matrix product; only the finished masks are put
//! in rows and columns.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, activation};

use super::Generation;
use super::transformer::{ImageTokens, TwoWayTransformer, TwoWayTransformerConfig};
use crate::kernels::{self, Upscaling, in_type};
use crate::nn::{Activation, LayerNorm, Linear, PixelSplit, assert_shape, nest, nest_twice, unnest_twice};
use crate::profile;
use crate::runtime_panic::read;
use crate::weights::{Weights, parameter};

/// One mask for an unambiguous prompt and three for an ambiguous one.
const MASK_TOKENS: usize = 4;

/// Side of a mask in units of the feature grid.
pub(crate) const MASK_UPSCALING: usize = 4;

/// Epsilon of the norm between the upscaling layers.
const EPSILON: f64 = 1e-6;

/// SAM 2: a mask is stable if few of its pixels have a logit this close to zero …
const STABILITY_DELTA: f32 = 0.05;
/// … namely if so much of its area at the lower threshold is within it at the upper one.
const STABILITY_THRESHOLD: f32 = 0.98;

/// The decoder's answer to a batch of prompts.
#[derive(Clone, Debug)]
pub(crate) struct DecodedMasks {
    /// Logits, `[batch, masks, 4·grid, 4·grid]`.
    pub(crate) logits: Tensor<4>,
    /// Predicted IoU, `[batch, masks]`.
    pub(crate) scores: Tensor<2>,
}

/// SAM 2's features of high resolution, in the order of pixels in which the decoder upscales.
#[derive(Clone, Debug)]
pub(crate) struct HighResTokens {
    /// `[1, 4·grid², width / 4]`
    twice: Tensor<3>,
    /// `[1, 16·grid², width / 8]`
    four_times: Tensor<3>,
}

impl HighResTokens {
    /// # Shapes
    /// - features: `[1, width / 8, 4·grid, 4·grid]` and `[1, width / 4, 2·grid, 2·grid]`
    pub(crate) fn new([four_times, twice]: [Tensor<4>; 2]) -> Self {
        Self { twice: nest(twice), four_times: nest_twice(four_times) }
    }

    pub(crate) fn tensors(&self) -> [&Tensor<3>; 2] {
        [&self.twice, &self.four_times]
    }
}

/// The mask decoder.
#[derive(Module, Debug)]
pub(crate) struct MaskDecoder {
    transformer: TwoWayTransformer,
    /// SAM 2's.
    obj_score_token: Option<Param<Tensor<2>>>,
    iou_token: Param<Tensor<2>>,
    mask_tokens: Param<Tensor<2>>,
    output_upscaling: OutputUpscaling,
    output_hypernetworks_mlps: Vec<TokenHead>,
    iou_prediction_head: TokenHead,
    #[module(skip)]
    generation: Generation,
}

impl MaskDecoder {
    pub(crate) fn load(weights: &Weights<'_>, config: TwoWayTransformerConfig, generation: Generation) -> Self {
        let width = config.embedding_dim;
        let token = |name, count| parameter(weights.tensor(name, [count, width]));
        let hypernetwork = |index| {
            TokenHead::load(&weights.scope(format_args!("output_hypernetworks_mlps.{index}")), width, width / 8)
        };
        Self {
            transformer: TwoWayTransformer::load(&weights.scope("transformer"), config),
            obj_score_token: (generation == Generation::Sam2).then(|| token("obj_score_token.weight", 1)),
            iou_token: token("iou_token.weight", 1),
            mask_tokens: token("mask_tokens.weight", MASK_TOKENS),
            output_upscaling: OutputUpscaling::load(&weights.scope("output_upscaling"), width),
            output_hypernetworks_mlps: (0..MASK_TOKENS).map(hypernetwork).collect(),
            iou_prediction_head: TokenHead::load(&weights.scope("iou_prediction_head"), width, MASK_TOKENS),
            generation,
        }
    }

    /// The same image for many prompts: what depends on it alone is computed now.
    pub(crate) fn project(&self, image: ImageTokens) -> ImageTokens {
        self.transformer.project(image)
    }

    /// One mask for each prompt, or three candidates.
    ///
    /// # Shapes
    /// - image: of a square feature grid, batch 1 or that of `sparse`
    /// - sparse: `[batch, prompt tokens, width]`
    pub(crate) fn forward(
        &self,
        image: &ImageTokens,
        high_res: Option<&HighResTokens>,
        sparse: Tensor<3>,
        multimask: bool,
    ) -> DecodedMasks {
        let (logits, scores) = self.all_masks(image, high_res, sparse);
        let masks = |first, count| (logits.clone().narrow(2, first, count), scores.clone().narrow(1, first, count));
        let (logits, scores) = match (multimask, self.generation) {
            (true, _) => masks(1, MASK_TOKENS - 1),
            (false, Generation::Sam) => masks(0, 1),
            (false, Generation::Sam2) => {
                let chosen = dynamic_multimask(&logits, &scores).into_iter().enumerate().map(|(row, mask)| {
                    let (logits, scores) = masks(mask, 1);
                    (logits.narrow(0, row, 1), scores.narrow(0, row, 1))
                });
                let (logits, scores) = chosen.unzip();
                (Tensor::cat(logits, 0), Tensor::cat(scores, 0))
            }
        };
        DecodedMasks { logits: unnest_twice(logits).permute([0, 3, 1, 2]), scores }
    }

    /// Logits and predicted IoU of all masks, the one for unambiguous prompts first.
    ///
    /// # Shapes
    /// - image, sparse: as [`MaskDecoder::forward`]
    /// - output: `[batch, 16·grid², 4]`, pixels nested as [`PixelSplit`] makes them, and `[batch, 4]`
    pub(crate) fn all_masks(
        &self,
        image: &ImageTokens,
        high_res: Option<&HighResTokens>,
        sparse: Tensor<3>,
    ) -> (Tensor<3>, Tensor<2>) {
        assert_eq!(high_res.is_some(), self.generation == Generation::Sam2, "only SAM 2 has high-resolution features");
        let (tokens, image) = self.transformer.forward(image, self.tokens(sparse));
        let [batch, _, _] = tokens.dims();
        let token = |index: usize| tokens.clone().slice([0..batch, index..index + 1]);
        let first = usize::from(self.obj_score_token.is_some());
        let filter = |mask: usize| self.output_hypernetworks_mlps[mask].forward(token(first + 1 + mask));
        let filters = Tensor::cat((0..MASK_TOKENS).map(filter).collect(), 1);
        let scores = self.iou_prediction_head.forward(token(first)).squeeze_dim::<2>(1);
        let scores = match self.generation {
            Generation::Sam => scores,
            Generation::Sam2 => activation::sigmoid(scores),
        };
        (self.output_upscaling.forward(image, filters, high_res), scores)
    }

    /// The tokens that gather the answer, then those of the prompt.
    ///
    /// # Shapes
    /// - sparse: `[batch, prompt tokens, width]`
    /// - output: `[batch, 5 or 6 + prompt tokens, width]`
    fn tokens(&self, sparse: Tensor<3>) -> Tensor<3> {
        let [batch, _, width] = sparse.dims();
        let tokens = self.obj_score_token.iter().chain([&self.iou_token, &self.mask_tokens]);
        let tokens = Tensor::cat(tokens.map(Param::val).collect(), 0);
        let [count, _] = tokens.dims();
        Tensor::cat(vec![tokens.unsqueeze::<3>().expand([batch, count, width]), sparse], 1)
    }
}

/// The mask that answers each prompt if one is asked for: the one for unambiguous prompts if it is stable, else, of the
/// three for ambiguous prompts, the first with the highest score.
///
/// # Shapes
/// - logits: `[batch, pixels, 4]`
/// - scores: `[batch, 4]`
fn dynamic_multimask(logits: &Tensor<3>, scores: &Tensor<2>) -> Vec<usize> {
    let unambiguous = logits.clone().narrow(2, 0, 1).squeeze_dim::<2>(2);
    // Counted where the logits are: of each prompt six numbers are read.
    let area = |threshold: f32| in_type(unambiguous.clone().greater_elem(threshold).float(), DType::F32).sum_dim(1);
    let areas_and_scores = Tensor::cat(vec![area(STABILITY_DELTA), area(-STABILITY_DELTA), scores.clone()], 1);
    let choose = |numbers: &[f32]| {
        let ([inner, outer], scores) = ([numbers[0], numbers[1]], &numbers[2..]);
        let stability = if outer > 0.0 { inner / outer } else { 1.0 };
        let best = |best, mask| if scores[mask] > scores[best] { mask } else { best };
        if stability >= STABILITY_THRESHOLD { 0 } else { (1..MASK_TOKENS).fold(1, best) }
    };
    read(areas_and_scores).chunks_exact(2 + MASK_TOKENS).map(choose).collect()
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
    /// - output: `[batch, 16·grid², masks]`, pixels nested as [`PixelSplit`] makes them
    fn forward(&self, image: Tensor<3>, filters: Tensor<3>, high_res: Option<&HighResTokens>) -> Tensor<3> {
        let [batch, tokens, width] = image.dims();
        let [_, masks, channels] = filters.dims();
        assert_shape!(filters, [batch, masks, width / 8]);
        let upscaling = Upscaling {
            first: self.upscale1.fused(),
            norm: self.norm.fused(),
            second: self.upscale2.fused(),
            high_res: high_res.map(|HighResTokens { twice, four_times }| [twice.clone(), four_times.clone()]),
        };
        let describe = || {
            let products = width * width + width / 2 * width + 16 * channels * masks;
            ("mask logits".to_string(), 2.0 * (batch * tokens * products) as f64)
        };
        // All masks, even if one is asked for: which one it is may depend on them.
        profile::operator(describe, || kernels::upscaled_logits(image, upscaling, filters))
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
