//! Prompts answered from one chip's features.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use burn::tensor::{DType, Tensor, TensorData};
use geosam_core::{
    Error, LowResLogits, Masks, PixelBox, PixelPoint, PixelPrompt, PredictOptions, Prediction, PromptSession, Result,
    Shape, in_batches,
};
use rayon::prelude::*;

use crate::decoder::{Generation, HighResTokens, ImageTokens, MASK_UPSCALING, MaskDecoder, PromptEncoder, PromptToken};
use crate::device::OpenDevice;
use crate::image_features::ImageFeatures;
use crate::postprocess::{masks_at_source, stability_at_source};
use crate::preprocess::{Letterbox, mask_input};
use crate::profile;
use crate::runtime_panic::{check_made, first_value, on_gpu, read_parts};

/// What answers prompts once an image is encoded; shared by all sessions of a model.
#[derive(Debug)]
pub(crate) struct PromptDecoder {
    pub(crate) prompt_encoder: PromptEncoder,
    pub(crate) mask_decoder: MaskDecoder,
    pub(crate) generation: Generation,
    /// Positional code of the feature grid, `[1, grid², width]`.
    pub(crate) image_pe: Tensor<3>,
    /// Side of the network's square input.
    pub(crate) image_size: usize,
    /// The GPU it is on.
    pub(crate) gpu: Option<OpenDevice>,
}

/// Prompts that a GPU answers at once, at most: they occupy any, and masks of more would be memory for nothing.
pub(super) const PROMPTS: usize = 32;

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
    high_res: Option<HighResTokens>,
    /// Prompts that a GPU answers at once: [`PROMPTS`], or what was left of them when its memory ran out.
    prompts: AtomicUsize,
}

/// A prompt as the network takes it.
pub(crate) struct NetworkPrompt {
    pub(crate) tokens: Vec<PromptToken>,
    /// `[side, side]`
    pub(crate) mask: Option<Vec<f32>>,
}

impl SamSession {
    /// For features of a single image.
    pub(crate) fn new(decoder: Arc<PromptDecoder>, features: ImageFeatures, source: Shape) -> Self {
        let [_, _, grid, _] = features.embedding.dims();
        let embedding = features.embedding.flatten::<3>(2, 3).swap_dims(1, 2);
        let seen = embedding.clone() + decoder.prompt_encoder.no_mask();
        let without_mask = decoder.mask_decoder.project(ImageTokens::new(seen, decoder.image_pe.clone()));
        let high_res = features.high_res.map(HighResTokens::new);
        let letterbox = Letterbox::new(source, decoder.image_size);
        let prompts = AtomicUsize::new(PROMPTS);
        let session =
            Self { decoder, letterbox, side: MASK_UPSCALING * grid, embedding, without_mask, high_res, prompts };
        if session.decoder.gpu.is_some() {
            check_made(session.tensors().into_iter().map(first_value).collect());
        }
        session
    }

    /// What it holds.
    fn tensors(&self) -> Vec<&Tensor<3>> {
        let high_res = self.high_res.iter().flat_map(HighResTokens::tensors);
        std::iter::once(&self.embedding).chain(self.without_mask.tensors()).chain(high_res).collect()
    }

    /// Answers prompts of as many tokens as each other, with masks or without, as one batch.
    fn answer(&self, prompts: &[&NetworkPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        let (image, sparse) = self.decoder_inputs(prompts);
        let decoded = self.decoder.mask_decoder.forward(&image, self.high_res.as_ref(), sparse, options.multimask);
        let (logits, scores) = (read_parts(decoded.logits, prompts.len()), read_parts(decoded.scores, prompts.len()));
        let prediction = |(logits, scores)| self.prediction(logits, scores);
        match prompts {
            // On this thread, which may be one of many that answer.
            [_] => logits.into_iter().zip(scores).map(prediction).collect(),
            _ => logits.into_par_iter().zip(scores).map(prediction).collect(),
        }
    }

    /// Side of the decoder's logits.
    #[cfg(feature = "train")]
    pub(crate) fn side(&self) -> usize {
        self.side
    }

    /// Logits and predicted IoU of all masks that the decoder makes for each of some prompts of as many tokens as each other,
    /// with masks or without: see [`MaskDecoder::all_masks`].
    #[cfg(feature = "train")]
    pub(crate) fn all_masks(&self, prompts: &[&NetworkPrompt]) -> (Tensor<3>, Tensor<2>) {
        let (image, sparse) = self.decoder_inputs(prompts);
        self.decoder.mask_decoder.all_masks(&image, self.high_res.as_ref(), sparse)
    }

    /// What the decoder is given: image tokens and prompt tokens.
    fn decoder_inputs(&self, prompts: &[&NetworkPrompt]) -> (ImageTokens, Tensor<3>) {
        let PromptDecoder { prompt_encoder, image_pe, .. } = &*self.decoder;
        let tokens: Vec<_> = prompts.iter().map(|prompt| &prompt.tokens[..]).collect();
        let sparse = prompt_encoder.sparse(&tokens);
        let masks: Option<Vec<&[f32]>> = prompts.iter().map(|prompt| prompt.mask.as_deref()).collect();
        let image = match masks {
            None => self.without_mask.clone(),
            Some(masks) => {
                let masks = TensorData::new(masks.concat(), [prompts.len(), 1, self.side, self.side]);
                let dense = prompt_encoder.dense(Tensor::from_data(masks, (&sparse.device(), DType::F32)));
                ImageTokens::new(self.embedding.clone() + dense, image_pe.clone())
            }
        };
        (image, sparse)
    }

    /// The answer to a single prompt, from the decoder's logits `[masks, side, side]`.
    fn prediction(&self, logits: Vec<f32>, scores: Vec<f32>) -> Result<Prediction> {
        let interpolate = || masks_at_source(&logits, self.side, &self.letterbox);
        let masks = profile::operator(|| ("masks at the chip's resolution".to_string(), 0.0), interpolate);
        Ok(Prediction {
            masks: Masks::new(self.letterbox.source(), masks)?,
            scores,
            low_res: LowResLogits { shape: Shape::square(self.side), values: logits },
        })
    }

    /// Answers prompts on the GPU, in batches of those that are alike, as many at once as its memory holds.
    fn answer_in_batches(
        &self,
        gpu: &OpenDevice,
        prompts: &[NetworkPrompt],
        options: PredictOptions,
    ) -> Result<Vec<Prediction>> {
        let kind = |prompt: &NetworkPrompt| (prompt.tokens.len(), prompt.mask.is_some());
        let mut order: Vec<_> = (0..prompts.len()).collect();
        order.sort_by_key(|&index| kind(&prompts[index]));
        let mut answers = Vec::with_capacity(prompts.len());
        for alike in order.chunk_by(|&a, &b| kind(&prompts[a]) == kind(&prompts[b])) {
            let answer = |batch: &[usize]| {
                let together: Vec<_> = batch.iter().map(|&index| &prompts[index]).collect();
                on_gpu(gpu, "answering prompts", || self.answer(&together, options))
            };
            let answered = in_batches(alike, &self.prompts, answer, |_, _| {})?;
            answers.extend(alike.iter().copied().zip(answered));
        }
        answers.sort_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Checks a prompt and brings it into the network's square.
    pub(crate) fn network_prompt(&self, prompt: &PixelPrompt) -> Result<NetworkPrompt> {
        let PixelPrompt { points, labels, bbox, mask } = prompt;
        if points.is_empty() && bbox.is_none() && mask.is_none() {
            return Err(Error::invalid_argument("prompt", "points, a box or a mask", "none of them"));
        }
        if points.len() != labels.len() {
            let expected = format!("one label for each of the {} points", points.len());
            return Err(Error::invalid_argument("labels", expected, labels.len()));
        }
        let mut clicks = Vec::with_capacity(points.len());
        for (&point, &label) in points.iter().zip(labels) {
            self.check_near_chip("point", point)?;
            clicks.push(PromptToken::Point(self.letterbox.to_network(point), label));
        }
        let corners = match *bbox {
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
                vec![PromptToken::TopLeft(top_left), PromptToken::BottomRight(bottom_right)]
            }
            None => Vec::new(),
        };
        let (clicked, boxed) = (!clicks.is_empty(), !corners.is_empty());
        let (mut tokens, padded) = match self.decoder.generation {
            Generation::Sam => ([clicks, corners].concat(), clicked && !boxed),
            Generation::Sam2 => ([corners, clicks].concat(), clicked || boxed),
        };
        tokens.extend(padded.then_some(PromptToken::NotAPoint));
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
    fn size_in_bytes(&self) -> usize {
        let values: usize = self.tensors().iter().map(|tensor| tensor.shape().num_elements()).sum();
        values * size_of::<f32>()
    }

    fn stability(&self, prediction: &Prediction, mask: usize, offset: f32) -> f32 {
        let area = self.side * self.side;
        stability_at_source(&prediction.low_res.values[mask * area..][..area], self.side, &self.letterbox, offset)
    }

    /// On a CPU several prompts are answered side by side, not as one batch: a batch leaves the caches and takes a third
    /// longer for each prompt. On a GPU those of the same length are a batch.
    fn predict(&self, prompts: &[PixelPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        let prompts: Vec<_> = prompts.iter().map(|prompt| self.network_prompt(prompt)).collect::<Result<_>>()?;
        match (&self.decoder.gpu, &prompts[..]) {
            (Some(gpu), prompts) => self.answer_in_batches(gpu, prompts, options),
            (None, [prompt]) => self.answer(&[prompt], options),
            (None, prompts) => {
                let answers: Vec<_> =
                    prompts.par_iter().map(|prompt| self.answer(&[prompt], options)).collect::<Result<_>>()?;
                Ok(answers.into_iter().flatten().collect())
            }
        }
    }
}

#[cfg(test)]
mod tests;
