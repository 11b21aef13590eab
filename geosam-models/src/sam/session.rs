//! Prompts answered from one chip's features.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{DType, Tensor, TensorData};
use geosam_core::{
    Error, LowResLogits, Masks, PixelBox, PixelPoint, PixelPrompt, PredictOptions, Prediction, PromptSession, Result,
    Shape,
};

use super::mask_decoder::{MASK_UPSCALING, MaskDecoder};
use super::prompt_encoder::{PromptEncoder, PromptToken};
use super::transformer::ImageTokens;
use crate::postprocess::masks_at_source;
use crate::preprocess::{Letterbox, mask_input};

/// Prompts decoded at once. The image tokens of each take 25 MiB while they are in work.
const BATCH: usize = 8;

/// What answers prompts once an image is encoded; shared by all sessions of a model.
#[derive(Debug)]
pub(crate) struct PromptDecoder {
    pub(crate) prompt_encoder: PromptEncoder,
    pub(crate) mask_decoder: MaskDecoder,
    /// Positional code of the feature grid, `[1, grid², width]`.
    pub(crate) image_pe: Tensor<3>,
    /// Side of the network's square input.
    pub(crate) image_size: usize,
}

/// One chip's features, ready for prompts.
#[derive(Debug)]
pub(crate) struct SamSession {
    decoder: Arc<PromptDecoder>,
    letterbox: Letterbox,
    /// Side of the decoder's logits.
    side: usize,
    /// The features, `[1, grid², width]`.
    embedding: Tensor<3>,
    /// The features with what stands for "no mask", as most prompts see them.
    without_mask: ImageTokens,
}

/// A prompt as the network takes it.
struct NetworkPrompt {
    tokens: Vec<PromptToken>,
    /// `[side, side]`
    mask: Option<Vec<f32>>,
}

impl SamSession {
    /// # Shapes
    /// - features: `[1, width, grid, grid]`
    pub(crate) fn new(decoder: Arc<PromptDecoder>, features: Tensor<4>, source: Shape) -> Self {
        let [_, _, grid, _] = features.dims();
        let embedding = features.flatten::<3>(2, 3).swap_dims(1, 2);
        let seen = embedding.clone() + decoder.prompt_encoder.no_mask();
        let without_mask = decoder.mask_decoder.transformer.prepare(seen, decoder.image_pe.clone());
        let letterbox = Letterbox::new(source, decoder.image_size);
        Self { decoder, letterbox, side: MASK_UPSCALING * grid, embedding, without_mask }
    }

    /// Answers prompts that have equally many tokens, and either all a mask or none.
    fn decode(&self, prompts: &[&NetworkPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        let PromptDecoder { prompt_encoder, mask_decoder, image_pe, .. } = &*self.decoder;
        let tokens: Vec<_> = prompts.iter().map(|prompt| &prompt.tokens[..]).collect();
        let sparse = prompt_encoder.sparse(&tokens);
        let masks: Vec<f32> = prompts.iter().filter_map(|prompt| prompt.mask.as_deref()).flatten().copied().collect();
        let decoded = if masks.is_empty() {
            mask_decoder.forward(&self.without_mask, sparse, options.multimask)
        } else {
            let masks = TensorData::new(masks, [prompts.len(), 1, self.side, self.side]);
            let dense = prompt_encoder.dense(Tensor::from_data(masks, (&sparse.device(), DType::F32)));
            let image = mask_decoder.transformer.prepare(self.embedding.clone() + dense, image_pe.clone());
            mask_decoder.forward(&image, sparse, options.multimask)
        };
        let [_, masks, ..] = decoded.logits.dims();
        let (logits, scores) = (to_vec(decoded.logits), to_vec(decoded.scores));
        let answers = logits.chunks_exact(masks * self.side * self.side).zip(scores.chunks_exact(masks));
        answers.map(|(logits, scores)| self.prediction(logits, scores)).collect()
    }

    fn prediction(&self, logits: &[f32], scores: &[f32]) -> Result<Prediction> {
        Ok(Prediction {
            masks: Masks::new(self.letterbox.source(), masks_at_source(logits, self.side, &self.letterbox))?,
            scores: scores.to_vec(),
            low_res: LowResLogits { shape: Shape::square(self.side), values: logits.to_vec() },
        })
    }

    /// Checks a prompt and brings it into the network's square.
    fn network_prompt(&self, prompt: &PixelPrompt) -> Result<NetworkPrompt> {
        let PixelPrompt { points, labels, bbox, mask } = prompt;
        if points.is_empty() && bbox.is_none() && mask.is_none() {
            return Err(Error::invalid_argument("prompt", "points, a box or a mask", "none of them"));
        }
        if points.len() != labels.len() {
            let expected = format!("one label for each of the {} points", points.len());
            return Err(Error::invalid_argument("labels", expected, labels.len()));
        }
        let mut tokens = Vec::with_capacity(points.len() + 2);
        for (&point, &label) in points.iter().zip(labels) {
            self.check_near_chip("point", point)?;
            tokens.push(PromptToken::Point(self.letterbox.to_network(point), label));
        }
        match *bbox {
            Some(PixelBox { left, top, right, bottom }) => {
                let corners = [PixelPoint::new(left, top), PixelPoint::new(right, bottom)];
                for corner in corners {
                    self.check_near_chip("box", corner)?;
                }
                if left > right || top > bottom {
                    let found = format!("left {left}, top {top}, right {right}, bottom {bottom}");
                    return Err(Error::invalid_argument("box", "left ≤ right and top ≤ bottom", found));
                }
                let [top_left, bottom_right] = corners.map(|corner| self.letterbox.to_network(corner));
                tokens.extend([PromptToken::TopLeft(top_left), PromptToken::BottomRight(bottom_right)]);
            }
            None if !points.is_empty() => tokens.push(PromptToken::NotAPoint),
            None => {}
        }
        let mask = mask.as_ref().map(|mask| {
            if mask.shape.area() == 0 || mask.logits.len() != mask.shape.area() {
                let expected = format!("one logit for each of {} pixels, at least one", mask.shape);
                return Err(Error::invalid_argument("mask", expected, mask.logits.len()));
            }
            Ok(mask_input(mask, self.decoder.image_size, self.side))
        });
        Ok(NetworkPrompt { tokens, mask: mask.transpose()? })
    }

    /// Positions may leave the chip by its own size, as those of objects that reach past it do.
    fn check_near_chip(&self, parameter: &'static str, at: PixelPoint) -> Result<()> {
        let Shape { height, width } = self.letterbox.source();
        let near = |at: f64, length: usize| (-(length as f64)..=2.0 * length as f64).contains(&at);
        if near(at.column, width) && near(at.row, height) {
            return Ok(());
        }
        let expected = format!("a position at most its size off the chip of {height}×{width} pixels");
        Err(Error::invalid_argument(parameter, expected, format!("column {}, row {}", at.column, at.row)))
    }
}

impl PromptSession for SamSession {
    fn predict(&self, prompts: &[PixelPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        let network: Vec<_> = prompts.iter().map(|prompt| self.network_prompt(prompt)).collect::<Result<_>>()?;
        // Padding prompts to one length would change their answers, so only equally long ones go together.
        let mut groups = BTreeMap::<_, Vec<usize>>::new();
        for (index, prompt) in network.iter().enumerate() {
            groups.entry((prompt.tokens.len(), prompt.mask.is_some())).or_default().push(index);
        }
        let mut answers = Vec::with_capacity(prompts.len());
        for indices in groups.values().flat_map(|indices| indices.chunks(BATCH)) {
            let batch: Vec<_> = indices.iter().map(|&index| &network[index]).collect();
            answers.extend(indices.iter().copied().zip(self.decode(&batch, options)?));
        }
        answers.sort_unstable_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, prediction)| prediction).collect())
    }
}

/// Values of a tensor in row-major order.
pub(super) fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("the models compute in f32")
}
