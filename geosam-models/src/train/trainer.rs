//! Training a whole model.

use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use geosam_core::{Error, Masks, ModelImage, Precision, Preprocess, Result};

use super::first_weights::FirstWeights;
use super::lesson::Lesson;
use super::loss::LossSums;
use super::parameters::{Parameters, Values};
use super::random::Random;
use crate::device::DeviceChoice;
use crate::load::ModelOptions;
use crate::preprocess::{self, Normalization};
use crate::segmenter::{Network, PromptDecoder, Sam, SamConfig};
use crate::weights;

/// Longest gradient of a step; SAM 2 was trained with this.
const LONGEST_GRADIENT: f64 = 1.0;

/// How a model is trained.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// The network.
    pub model: SamConfig,
    /// Of the first weights, and of the prompts of every step.
    pub seed: u64,
    /// Steps until the learning rate is zero.
    pub steps: usize,
    /// Steps until it is at its highest (default: 200).
    pub warmup: usize,
    /// The highest learning rate (default: 0.0005).
    pub learning_rate: f64,
    /// Objects of an image that a step asks for, at most (default: 8). Each is asked for twice: with a click or a box, and
    /// after corrections.
    pub objects: usize,
}

impl TrainConfig {
    /// The defaults, for `steps` steps.
    #[must_use]
    pub fn new(model: SamConfig, steps: usize) -> Self {
        Self { model, seed: 0, steps, warmup: 200, learning_rate: 5e-4, objects: 8 }
    }

    /// A line up to the highest rate, then half a cosine down to zero.
    fn rate(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let done = (step - self.warmup) as f64 / self.steps.saturating_sub(self.warmup).max(1) as f64;
        self.learning_rate * 0.5 * (1.0 + (PI * done.min(1.0)).cos())
    }
}

/// An image and the masks of the objects in it.
#[derive(Clone, Debug)]
pub struct Example {
    /// The image.
    pub image: ModelImage,
    /// One mask for each object, of the image's shape.
    pub masks: Masks,
}

/// What a step did. Means over all prompts of the step.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepReport {
    /// The loss.
    pub loss: f64,
    /// IoU of the mask for unambiguous prompts, at the decoder's resolution.
    pub single_iou: f64,
    /// IoU of the best of the three masks for ambiguous prompts.
    pub best_iou: f64,
    /// How far the predicted IoU of the first is from its IoU.
    pub score_error: f64,
    /// Length of the gradient before it is limited.
    pub gradient: f64,
    /// Learning rate.
    pub rate: f64,
}

/// A model in training. On the CPU.
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    parameters: Parameters,
}

/// Gradients by the name of the tensor.
type Gradients = BTreeMap<String, Tensor<1>>;

impl Trainer {
    /// A network of random weights.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a configuration that is no SAM, or whose encoder is MobileSAM's, which is made of
    /// weights that are folded while loading.
    pub fn new(config: TrainConfig) -> Result<Self> {
        config.model.validate()?;
        let parameters = Parameters::of(&FirstWeights { seed: config.seed }, &config.model, |_| true)?;
        Ok(Self { config, parameters })
    }

    /// Steps made so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.parameters.steps()
    }

    /// Numbers that are learned, and the frequencies of the positional code.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters.count()
    }

    /// Learns from some images, side by side.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for masks of another shape than their image, or if there is no object at all.
    pub fn step(&mut self, examples: &[Example]) -> Result<StepReport> {
        let learned = self.learn_side_by_side(examples)?;
        let mut sums = LossSums::default();
        let mut gradients = Gradients::new();
        for (each, of_each) in learned.into_iter().flatten() {
            sums += each;
            for (name, gradient) in of_each {
                let sum = match gradients.remove(&name) {
                    Some(sum) => sum + gradient,
                    None => gradient,
                };
                gradients.insert(name, sum);
            }
        }
        if sums.prompts == 0 {
            return Err(Error::invalid_argument("examples", "at least one object", "none"));
        }
        let prompts = sums.prompts as f64;
        let gradients = gradients.into_iter().map(|(name, gradient)| (name, gradient / prompts)).collect();
        let rate = self.config.rate(self.steps());
        let gradient = self.parameters.update(gradients, rate, LONGEST_GRADIENT);
        Ok(StepReport {
            loss: sums.total / prompts,
            single_iou: sums.single_iou / prompts,
            best_iou: sums.best_iou / prompts,
            score_error: sums.score_error / prompts,
            gradient,
            rate,
        })
    }

    /// [`Trainer::learn`] of each image, on a thread of its own.
    fn learn_side_by_side(&self, examples: &[Example]) -> Result<Vec<Option<(LossSums, Gradients)>>> {
        let source = self.parameters.source(Values::Latest);
        let annotator = weights::load(&source, "training", &Device::flex(), |weights| {
            Network::load(weights, &self.config.model, Precision::F32)
        })?;
        let annotator = &Arc::new(annotator.decoder);
        let seed = |index: usize| {
            self.config.seed ^ ((self.steps() * examples.len() + index) as u64).wrapping_mul(0x2545_f491_4f6c_dd1d)
        };
        std::thread::scope(|scope| {
            let learn = |(index, example)| {
                let mut random = Random::new(seed(index));
                scope.spawn(move || self.learn(example, annotator, &mut random))
            };
            let threads: Vec<_> = examples.iter().enumerate().map(learn).collect();
            let finished = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            finished.collect()
        })
    }

    /// Sums of the losses and of the gradients of one image, or `None` if it has no objects.
    fn learn(
        &self,
        Example { image, masks }: &Example,
        annotator: &Arc<PromptDecoder>,
        random: &mut Random,
    ) -> Result<Option<(LossSums, Gradients)>> {
        let shape = image.shape();
        if masks.shape() != shape {
            return Err(Error::invalid_argument("masks", format!("the image's {shape}"), masks.shape()));
        }
        let filled: Vec<_> = masks.iter().filter(|mask| mask.contains(&true)).collect();
        let chosen: Vec<_> =
            random.sample(filled.len(), self.config.objects).into_iter().map(|index| filled[index]).collect();
        if chosen.is_empty() {
            return Ok(None);
        }
        let config = &self.config.model;
        let device = Device::flex().autodiff();
        let leaves = self.parameters.leaves();
        let source = self.parameters.source(Values::Latest);
        let network = weights::load_over(&source, &leaves, "training", &device, |weights| {
            Network::load(weights, config, Precision::F32)
        })?;
        let normalization = Normalization::of(config.model_type());
        let input = preprocess::prepare(image, config.image_size(), Preprocess::Standard, normalization, &device);
        let features = network.image_encoder.forward(input);
        let lesson = Lesson { shape, masks: chosen };
        let (total, sums) = lesson.loss(&Arc::new(network.decoder), features, annotator, random)?;
        let mut found = total.backward();
        let gradient = |(name, leaf): (String, Tensor<1>)| Some((name, leaf.grad_remove(&mut found)?));
        Ok(Some((sums, leaves.into_iter().filter_map(gradient).collect())))
    }

    /// The model as it is now, of the moving average of the weights.
    ///
    /// # Errors
    /// None that can be expected.
    pub fn model(&self) -> Result<Sam> {
        let options = ModelOptions { device: DeviceChoice::Cpu, ..ModelOptions::default() };
        Sam::random_from(&self.parameters.source(Values::Averaged), &self.config.model, self.config.seed, &options)
    }

    /// Writes the weights of [`Trainer::model`] in f16, in the layout of the official checkpoints, as a safetensors file that
    /// [`crate::load_model`] opens.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; what was there before is kept.
    pub fn write_weights(&self, path: &Path) -> Result<()> {
        self.parameters.write(path, Values::Averaged)
    }

    /// Writes what [`Trainer::restore`] needs to go on as if there had been no interruption.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; what was there before is kept.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.parameters.save(path)
    }

    /// Goes on where [`Trainer::save`] was.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::InvalidFile`] if it is of another network.
    pub fn restore(&mut self, path: &Path) -> Result<()> {
        self.parameters.restore(path)
    }
}
