//! One step: what several images teach.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use geosam_core::{Error, Masks, Result, Shape};

use super::lesson::Lesson;
use super::loss::LossSums;
use super::neighbours::Neighbours;
use super::parameters::{Parameters, Values};
use super::random::Random;
use crate::image_features::ImageFeatures;
use crate::preprocess::Letterbox;
use crate::runtime_panic::read;
use crate::segmenter::{PromptDecoder, SamConfig};
use crate::weights::{self, Leaves};

/// Longest gradient of a step.
const LONGEST_GRADIENT: f64 = 1.0;

/// An object of sixteen times the area is twice as likely to be asked for: the smallest are the most.
const AREA_POWER: f64 = 0.25;

/// Weight of what neighbours teach, beside the loss of a prompt.
const NEIGHBOURS: f64 = 1.0;

/// What a step did. Means over all prompts of the step.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepReport {
    /// The loss of prompts.
    pub loss: f64,
    /// IoU of the mask for unambiguous prompts, at the decoder's resolution.
    pub single_iou: f64,
    /// IoU of the best of the three masks for ambiguous prompts.
    pub best_iou: f64,
    /// How far the predicted IoU of the first is from its IoU.
    pub score_error: f64,
    /// How well neighbours are told apart, in units of the cross-entropy; zero if only the decoder learns.
    pub neighbours: f64,
    /// Length of the gradient before it is limited.
    pub gradient: f64,
    /// Learning rate.
    pub rate: f64,
}

/// Gradients by the name of the tensor.
type Gradients = BTreeMap<String, Tensor<1>>;

/// Sums over the prompts of a step.
#[derive(Debug, Default)]
pub(super) struct Learned {
    sums: LossSums,
    gradients: Gradients,
}

impl Learned {
    /// Changes the parameters by what was learned.
    ///
    /// # Errors
    /// As [`Parameters::update`].
    pub(super) fn apply(self, parameters: &mut Parameters, rate: f64) -> Result<StepReport> {
        let Self { sums, gradients } = self;
        let prompts = sums.prompts as f64;
        let gradients = gradients.into_iter().map(|(name, gradient)| (name, gradient / prompts)).collect();
        Ok(StepReport {
            loss: sums.total / prompts,
            single_iou: sums.single_iou / prompts,
            best_iou: sums.best_iou / prompts,
            score_error: sums.score_error / prompts,
            neighbours: sums.neighbours / prompts,
            gradient: parameters.update(gradients, rate, LONGEST_GRADIENT)?,
            rate,
        })
    }
}

/// What is common to all images of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) model: &'a SamConfig,
    /// Objects of an image that are asked for, at most.
    pub(super) objects: usize,
    /// Of the prompts; with the number of steps made.
    pub(super) seed: u64,
}

/// What is computed of an image, of which one or more parts depend on the leaves.
pub(super) struct Seen {
    pub(super) decoder: PromptDecoder,
    pub(super) features: ImageFeatures,
    /// Where the image encoder learns, too.
    pub(super) neighbours: Option<Neighbours>,
}

/// An image, and the masks of its objects.
pub(super) struct Image<'a, I> {
    pub(super) shape: Shape,
    pub(super) masks: &'a Masks,
    pub(super) image: I,
}

impl Step<'_> {
    /// What some images teach, each learned from on a thread of its own: sums over all prompts. `see` is what
    /// the network makes of an image.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for masks of another shape than their image, or if there is no object at all.
    pub(super) fn learn_from<I: Sync>(
        &self,
        parameters: &Parameters,
        images: &[Image<'_, I>],
        see: impl Fn(&I, &Leaves) -> Result<Seen> + Sync,
    ) -> Result<Learned> {
        let mut learned = Learned::default();
        for (sums, gradients) in self.learn_side_by_side(parameters, images, see)?.into_iter().flatten() {
            learned.sums += sums;
            for (name, gradient) in gradients {
                let sum = match learned.gradients.remove(&name) {
                    Some(sum) => sum + gradient,
                    None => gradient,
                };
                learned.gradients.insert(name, sum);
            }
        }
        match learned.sums.prompts {
            0 => Err(Error::invalid_argument("examples", "at least one object", "none")),
            _ => Ok(learned),
        }
    }

    fn learn_side_by_side<I: Sync>(
        &self,
        parameters: &Parameters,
        images: &[Image<'_, I>],
        see: impl Fn(&I, &Leaves) -> Result<Seen> + Sync,
    ) -> Result<Vec<Option<(LossSums, Gradients)>>> {
        let source = parameters.source(Values::Latest);
        let annotator =
            weights::load(&source, "training", &Device::flex(), |weights| PromptDecoder::load(weights, self.model))?;
        let (annotator, see) = (&Arc::new(annotator), &see);
        let first = parameters.steps() * images.len();
        std::thread::scope(|scope| {
            let learn = |(index, image)| {
                let seed = self.seed ^ ((first + index) as u64).wrapping_mul(0x2545_f491_4f6c_dd1d);
                scope.spawn(move || self.learn(parameters, image, see, annotator, &mut Random::new(seed)))
            };
            let threads: Vec<_> = images.iter().enumerate().map(learn).collect();
            let finished = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            finished.collect()
        })
    }

    /// Sums of the losses and of the gradients of one image, or `None` if it has no objects.
    fn learn<I>(
        &self,
        parameters: &Parameters,
        &Image { shape, masks, ref image }: &Image<'_, I>,
        see: impl Fn(&I, &Leaves) -> Result<Seen>,
        annotator: &Arc<PromptDecoder>,
        random: &mut Random,
    ) -> Result<Option<(LossSums, Gradients)>> {
        if masks.shape() != shape {
            return Err(Error::invalid_argument("masks", format!("the image's {shape}"), masks.shape()));
        }
        let filled: Vec<_> = masks.iter().filter(|mask| mask.contains(&true)).collect();
        let area = |mask: &[bool]| mask.iter().filter(|&&inside| inside).count();
        let objects: Vec<_> = filled.into_iter().map(|mask| (mask, area(mask))).collect();
        let weights: Vec<f64> = objects.iter().map(|(_, area)| (*area as f64).powf(AREA_POWER)).collect();
        let chosen = random.sample(&weights, self.objects).into_iter().map(|index| objects[index].0);
        let lesson = Lesson { shape, masks: chosen.collect() };
        if lesson.masks.is_empty() {
            return Ok(None);
        }
        let leaves = parameters.leaves();
        let Seen { decoder, features, neighbours } = see(image, &leaves)?;
        let letterbox = Letterbox::new(shape, decoder.image_size);
        let apart = neighbours.map(|neighbours| neighbours.loss(&features, &objects, letterbox));
        let (mut total, mut sums) = lesson.loss(&Arc::new(decoder), features, annotator, random)?;
        if let Some(apart) = apart {
            let prompts = sums.prompts as f64;
            sums.neighbours = prompts * f64::from(read(apart.clone().without_autodiff())[0]);
            total = total + apart * (prompts * NEIGHBOURS);
        }
        let mut found = total.backward();
        let gradient = |(name, leaf): (String, Tensor<1>)| Some((name, leaf.grad_remove(&mut found)?));
        Ok(Some((sums, leaves.into_iter().filter_map(gradient).collect())))
    }
}
