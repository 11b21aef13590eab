//! Points, boxes and masks as tokens.
//!
//! Upstream: `segment_anything/modeling/prompt_encoder.py`, `sam2/modeling/sam/prompt_encoder.py`.

use std::f64::consts::TAU;

use burn::module::{Module, Param};
use burn::tensor::{DType, Int, Tensor, TensorData};
use geosam_core::{Label, PixelPoint};

use crate::nn::{Activation, Conv2d, Conv2dConfig, LayerNorm2d, assert_shape};
use crate::weights::{Weights, parameter};

/// Epsilon of the norms over a mask's channels.
const EPSILON: f64 = 1e-6;

/// One token of a prompt, in pixels of the network's square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PromptToken {
    /// A click.
    Point(PixelPoint, Label),
    /// The corner of a box with the smaller coordinates.
    TopLeft(PixelPoint),
    /// The corner of a box with the larger coordinates.
    BottomRight(PixelPoint),
    /// Stands for no point, see [`super::Generation`]; it has no position.
    NotAPoint,
}

impl PromptToken {
    fn position(self) -> Option<PixelPoint> {
        match self {
            Self::Point(at, _) | Self::TopLeft(at) | Self::BottomRight(at) => Some(at),
            Self::NotAPoint => None,
        }
    }

    /// Row of [`PromptEncoder::point_embeddings`].
    fn embedding(self) -> i64 {
        match self {
            Self::Point(_, label) => label.as_int(),
            Self::TopLeft(_) => 2,
            Self::BottomRight(_) => 3,
            Self::NotAPoint => 4,
        }
    }
}

/// The prompt encoder.
#[derive(Module, Debug)]
pub(crate) struct PromptEncoder {
    pe_layer: PositionEmbeddingRandom,
    /// `[5, width]`: `point_embeddings.0` to `.3` (background, foreground, the two corners of a box), then
    /// `not_a_point_embed`.
    point_embeddings: Param<Tensor<2>>,
    mask_downscaling: MaskDownscaling,
    no_mask_embed: Param<Tensor<2>>,
    image_size: usize,
}

impl PromptEncoder {
    /// For a network whose input is a square of `image_size` pixels.
    pub(crate) fn load(weights: &Weights<'_>, width: usize, image_size: usize) -> Self {
        let kinds = (0..4).map(|kind| format!("point_embeddings.{kind}.weight"));
        let names = kinds.chain(["not_a_point_embed.weight".to_string()]);
        let embeddings = names.map(|name| weights.tensor(&name, [1, width])).collect();
        Self {
            pe_layer: PositionEmbeddingRandom::load(&weights.scope("pe_layer"), width),
            point_embeddings: parameter(Tensor::cat(embeddings, 0)),
            mask_downscaling: MaskDownscaling::load(&weights.scope("mask_downscaling"), width),
            no_mask_embed: parameter(weights.tensor("no_mask_embed.weight", [1, width])),
            image_size,
        }
    }

    /// Tokens of prompts that have equally many.
    ///
    /// # Shapes
    /// - output: `[prompts, tokens, width]`
    pub(crate) fn sparse(&self, prompts: &[&[PromptToken]]) -> Tensor<3> {
        let (count, tokens) = (prompts.len(), prompts.first().map_or(0, |prompt| prompt.len()));
        let device = self.point_embeddings.device();
        let [_, width] = self.point_embeddings.dims();
        if tokens == 0 {
            return Tensor::empty([count, 0, width], (&device, DType::F32));
        }
        let all = || prompts.iter().copied().flatten();
        // A click is moved to the centre of the network pixel whose corner it names.
        let unit = |at: f64| ((at + 0.5) / self.image_size as f64) as f32;
        let positions = all().flat_map(|token| token.position().map_or([0.0; 2], |at| [unit(at.column), unit(at.row)]));
        let positioned = all().map(|token| if token.position().is_some() { 1.0f32 } else { 0.0 });
        // In 32 bits, as some GPUs have no longer integers.
        let kinds = all().map(|token| token.embedding() as i32);

        let rows = count * tokens;
        let positions = TensorData::new(positions.collect(), [1, rows, 2]);
        let positioned = TensorData::new(positioned.collect(), [1, rows, 1]);
        let kinds = TensorData::new(kinds.collect(), [rows]);
        let codes = self.pe_layer.forward(Tensor::from_data(positions, (&device, DType::F32)));
        let embeddings =
            self.point_embeddings.val().select(0, Tensor::<1, Int>::from_data(kinds, (&device, DType::I32)));
        let tokens = codes * Tensor::from_data(positioned, (&device, DType::F32)) + embeddings.unsqueeze::<3>();
        tokens.reshape([count as i32, -1, width as i32])
    }

    /// What is added to the image features of every prompt without a mask.
    ///
    /// # Shapes
    /// - output: `[1, 1, width]`
    pub(crate) fn no_mask(&self) -> Tensor<3> {
        self.no_mask_embed.val().unsqueeze()
    }

    /// What is added to the image features of prompts with a mask.
    ///
    /// # Shapes
    /// - masks: `[prompts, 1, 4·grid, 4·grid]` logits
    /// - output: `[prompts, grid², width]`
    pub(crate) fn dense(&self, masks: Tensor<4>) -> Tensor<3> {
        self.mask_downscaling.forward(masks).flatten::<3>(2, 3).swap_dims(1, 2)
    }

    /// The positional code of the feature grid: of the centre of every cell, row-major.
    ///
    /// # Shapes
    /// - output: `[1, grid², width]`
    pub(crate) fn dense_pe(&self, grid: usize) -> Tensor<3> {
        let unit = |index: usize| (index as f32 + 0.5) / grid as f32;
        let centres = (0..grid * grid).flat_map(|cell| [unit(cell % grid), unit(cell / grid)]).collect();
        let device = self.point_embeddings.device();
        self.pe_layer.forward(Tensor::from_data(TensorData::new(centres, [1, grid * grid, 2]), (&device, DType::F32)))
    }
}

/// Positions as random Fourier features; the frequencies were drawn when the model was trained.
#[derive(Module, Debug)]
struct PositionEmbeddingRandom {
    /// `[2, width / 2]`, x before y.
    positional_encoding_gaussian_matrix: Param<Tensor<2>>,
}

impl PositionEmbeddingRandom {
    fn load(weights: &Weights<'_>, width: usize) -> Self {
        let matrix = weights.tensor("positional_encoding_gaussian_matrix", [2, width / 2]);
        Self { positional_encoding_gaussian_matrix: parameter(matrix).set_require_grad(false) }
    }

    /// # Shapes
    /// - positions: `[batch, points, 2]`, x before y, 0 to 1 across the image
    /// - output: `[batch, points, width]`: sines, then cosines
    fn forward(&self, positions: Tensor<3>) -> Tensor<3> {
        assert_shape!(positions, [_, _, 2]);
        // Not as a product of matrices, of which some GPUs keep the digits of f16: angles go to many times a turn.
        let positions = positions * 2.0 - 1.0;
        let along = |axis: usize| {
            let frequencies = self.positional_encoding_gaussian_matrix.val().narrow(0, axis, 1).unsqueeze::<3>();
            positions.clone().narrow(2, axis, 1) * frequencies
        };
        let angles = (along(0) + along(1)) * TAU;
        Tensor::cat(vec![angles.clone().sin(), angles.cos()], 2)
    }
}

/// A mask prompt at the resolution of the image features.
#[derive(Module, Debug)]
struct MaskDownscaling {
    conv1: Conv2d,
    norm1: LayerNorm2d,
    conv2: Conv2d,
    norm2: LayerNorm2d,
    conv3: Conv2d,
}

impl MaskDownscaling {
    fn load(weights: &Weights<'_>, width: usize) -> Self {
        let halving = |index: usize, channels| {
            let config = Conv2dConfig { stride: 2, ..Conv2dConfig::new(channels, 2) };
            Conv2d::load(&weights.scope(index), config)
        };
        Self {
            conv1: halving(0, [1, 4]),
            norm1: LayerNorm2d::load(&weights.scope(1), 4, EPSILON),
            conv2: halving(3, [4, 16]),
            norm2: LayerNorm2d::load(&weights.scope(4), 16, EPSILON),
            conv3: Conv2d::load(&weights.scope(6), Conv2dConfig::new([16, width], 1)),
        }
    }

    /// # Shapes
    /// - x: `[batch, 1, 4·grid, 4·grid]`
    /// - output: `[batch, width, grid, grid]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = Activation::Gelu.forward(self.norm1.forward(self.conv1.forward(x)));
        let x = Activation::Gelu.forward(self.norm2.forward(self.conv2.forward(x)));
        self.conv3.forward(x)
    }
}
