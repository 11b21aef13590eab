//! Training a whole model.

use std::f64::consts::PI;
use std::path::Path;

use burn::tensor::Device;
use geosam_core::{Error, Masks, ModelImage, ModelType, Precision, Preprocess, Result};
use safetensors::Dtype;

use super::first_weights::FirstWeights;
use super::neighbours::Neighbours;
use super::parameters::{Parameters, Values};
use super::step::{Image, Seen, Step, StepReport};
use crate::device::DeviceChoice;
use crate::load::ModelOptions;
use crate::preprocess::{self, Normalization};
use crate::segmenter::{ImageEncoderConfig, Network, Sam, SamConfig};
use crate::weights::{self, Weights};

/// How a model is trained.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// The network.
    pub model: SamConfig,
    /// Of the first weights, and of the prompts of every step.
    pub seed: u64,
    /// Steps of a cycle, until the learning rate is zero. A step after them begins the next cycle, at the highest rate again
    /// (SGDR, <https://arxiv.org/abs/1608.03983>).
    pub steps: usize,
    /// Steps of a cycle until it is at its highest (default: 100).
    pub warmup: usize,
    /// The highest learning rate (default: 0.001).
    pub learning_rate: f64,
    /// Objects of an image that a step asks for, at most (default: 8). Each is asked for twice: with a click or a box, and
    /// after corrections.
    pub objects: usize,
}

impl TrainConfig {
    /// The defaults, for cycles of `steps` steps.
    #[must_use]
    pub fn new(model: SamConfig, steps: usize) -> Self {
        Self { model, seed: 0, steps, warmup: 100, learning_rate: 1e-3, objects: 8 }
    }
}

/// A line up to the highest rate, then half a cosine down to zero.
pub(super) fn learning_rate(step: usize, warmup: usize, steps: usize, highest: f64) -> f64 {
    if step < warmup {
        return highest * (step + 1) as f64 / warmup as f64;
    }
    let done = (step - warmup) as f64 / steps.saturating_sub(warmup).max(1) as f64;
    highest * 0.5 * (1.0 + (PI * done.min(1.0)).cos())
}

/// Refuses numbers of zero, and a rate at which nothing is learned.
pub(super) fn check_settings(numbers: &[(&'static str, usize)], learning_rate: f64) -> Result<()> {
    if let Some(&(parameter, number)) = numbers.iter().find(|(_, number)| *number == 0) {
        return Err(Error::invalid_argument(parameter, "at least 1", number));
    }
    if !(learning_rate > 0.0 && learning_rate.is_finite()) {
        return Err(Error::invalid_argument("learning rate", "a positive number", learning_rate));
    }
    Ok(())
}

/// An image and the masks of the objects in it.
#[derive(Clone, Debug)]
pub struct Example {
    /// The image.
    pub image: ModelImage,
    /// One mask for each object, of the image's shape.
    pub masks: Masks,
}

/// A model in training. On the CPU.
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    parameters: Parameters,
}

impl Trainer {
    /// A network of random weights.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a configuration that is no SAM, a number of steps or objects of zero, or a learning rate
    /// that is not a positive number;
    /// [`Error::Unsupported`] for MobileSAM, whose norms are folded into its convolutions while it is loaded.
    pub fn new(config: TrainConfig) -> Result<Self> {
        config.model.validate()?;
        check_settings(&[("steps", config.steps), ("objects", config.objects)], config.learning_rate)?;
        if let ImageEncoderConfig::Tiny(_) = config.model.image_encoder {
            let reason =
                "its norms are folded into its convolutions; train another encoder, or fine-tune its mask decoder";
            return Err(Error::Unsupported { what: "training MobileSAM".to_string(), reason: reason.to_string() });
        }
        let parameters = {
            let TrainConfig { seed, ref model, .. } = config;
            Parameters::of(&FirstWeights { seed }, |weights| network(weights, model), |_| true)?
        };
        Ok(Self { config, parameters })
    }

    /// Steps made so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.parameters.steps()
    }

    /// Numbers in all tensors.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters.count()
    }

    /// Learns from some images, side by side.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for masks of another shape than their image, or if there is no object at all;
    /// [`Error::Unsupported`] if the weights have diverged.
    pub fn step(&mut self, examples: &[Example]) -> Result<StepReport> {
        let TrainConfig { model, seed, steps, warmup, learning_rate: highest, objects } = &self.config;
        let step = Step { model, objects: *objects, seed: *seed };
        let images: Vec<_> =
            examples.iter().map(|Example { image, masks }| Image { shape: image.shape(), masks, image }).collect();
        let (source, device) = (self.parameters.source(Values::Latest), Device::flex().autodiff());
        let normalization = Normalization::of(model.model_type());
        let learned = step.learn_from(&self.parameters, &images, |image, leaves| {
            let (network, neighbours) =
                weights::load_over(&source, leaves, "training", &device, |weights| network(weights, model))?;
            let input = preprocess::prepare(image, model.image_size(), Preprocess::Standard, normalization, &device);
            let features = network.image_encoder.forward(input);
            Ok(Seen { decoder: network.decoder, features, neighbours: Some(neighbours) })
        })?;
        let rate = learning_rate(self.parameters.steps() % *steps, *warmup, *steps, *highest);
        drop(source);
        learned.apply(&mut self.parameters, rate)
    }

    /// The model as it is now, of the moving average of the weights.
    ///
    /// # Errors
    /// None that can be expected.
    pub fn model(&self) -> Result<Sam> {
        let options = ModelOptions { device: DeviceChoice::Cpu, ..ModelOptions::default() };
        let which = format!("seed{}-step{}", self.config.seed, self.steps());
        Sam::unpublished(&self.parameters.source(Values::Averaged), &self.config.model, "trained", &which, &options)
    }

    /// Writes the weights of [`Trainer::model`] in f16, in the layout of the official checkpoints, as a safetensors file that
    /// [`crate::load_model`] opens if the architecture is one of [`SamConfig`]'s own. The file does not say for what size of
    /// images they are: it is opened for that of the architecture.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; what was there before is kept.
    pub fn write_weights(&self, path: &Path) -> Result<()> {
        self.parameters.write(path, Dtype::F16, None)
    }

    /// Writes what [`Trainer::restore`] needs to go on as if there had been no interruption.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; what was there before is kept.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.parameters.save(path, self.config.seed)
    }

    /// Goes on where [`Trainer::save`] was.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::InvalidFile`]
    /// if it is of another network or seed; the trainer is then as before.
    pub fn restore(&mut self, path: &Path) -> Result<()> {
        self.parameters.restore(path, self.config.seed)
    }
}

/// The network, and what its image encoder learns beside.
fn network(weights: &Weights<'_>, model: &SamConfig) -> (Network, Neighbours) {
    let has_high_res = model.model_type() != ModelType::Sam;
    let neighbours = Neighbours::load(weights, model.prompt_embed_dim(), has_high_res);
    (Network::load(weights, model, Precision::F32), neighbours)
}
