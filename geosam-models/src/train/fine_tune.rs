//! Tuning the mask decoder of a trained model.

use std::path::Path;

use burn::tensor::Device;
use geosam_core::{Error, Masks, ModelImage, ModelSpec, Precision, Preprocess, Result};
use safetensors::Dtype;

use super::parameters::{Parameters, Values};
use super::random::Random;
use super::step::{Image, Seen, Step, StepReport};
use super::trainer::{Example, check_settings, learning_rate};
use super::view::View;
use crate::checkpoint::Checkpoint;
use crate::device::DeviceChoice;
use crate::image_features::ImageFeatures;
use crate::load::ModelOptions;
use crate::segmenter::{Network, PromptDecoder, Sam, SamConfig, shapes_features};
use crate::weights::{self, TensorSource};

/// How a mask decoder is tuned.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuneConfig {
    /// Steps until the learning rate is zero (default: 300).
    pub steps: usize,
    /// Steps until it is at its highest (default: 20).
    pub warmup: usize,
    /// The highest learning rate (default: 0.0002).
    pub learning_rate: f64,
    /// Chips of a step (default: 2), each on a core of its own.
    pub chips: usize,
    /// Objects of a chip that a step asks for, at most (default: 8).
    pub objects: usize,
    /// Views of each chip that are learned from, 1 to 8 (default: 8): the chip as it is, turned by 180, 90 and 270 degrees, and
    /// the mirror images of these.
    pub views: usize,
    /// Of the order of chips, of their views, and of the prompts.
    pub seed: u64,
}

impl Default for FineTuneConfig {
    fn default() -> Self {
        Self { steps: 300, warmup: 20, learning_rate: 2e-4, chips: 2, objects: 8, views: 8, seed: 0 }
    }
}

/// A model whose mask decoder learns from labelled chips, and whose image encoder stays as it is. On the CPU.
///
/// Each view of a chip is encoded when a step takes it for the first time, and its features are kept in memory: 0.5 MiB with `geosam_nano`, up to 20 MiB with the published models. Masks take one byte
/// for each pixel of the chip and object, 1 MiB of a chip of 1024 pixels.
///
/// # Examples
/// ```
/// use geosam_core::{Masks, ModelImage, Shape};
/// use geosam_models::train::{Example, FineTune, FineTuneConfig};
/// use geosam_models::{SamConfig, Checkpoint, load_model, write_random_checkpoint, ModelOptions};
///
/// let folder = tempfile::tempdir()?;
/// let [before, after] = ["before.pt", "after.safetensors"].map(|name| folder.path().join(name));
/// write_random_checkpoint(&before, &SamConfig::small_sam2(), 0)?;
///
/// // One chip, whose left half is the object.
/// let shape = Shape::square(128);
/// let image = ModelImage::new(shape, vec![90; 3 * shape.area()])?;
/// let mask = (0..shape.area()).map(|pixel| pixel % 128 < 64).collect();
/// let chip = Example { image, masks: Masks::new(shape, mask)? };
///
/// let config = FineTuneConfig { steps: 2, ..FineTuneConfig::default() };
/// let mut tuning = FineTune::new(&Checkpoint::open(&before)?, &[chip], config)?;
/// while tuning.steps() < 2 {
///     println!("{:?}", tuning.step()?);
/// }
/// tuning.write_checkpoint(&after)?;
/// load_model(&after, &ModelOptions::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FineTune {
    config: FineTuneConfig,
    model: SamConfig,
    spec: ModelSpec,
    parameters: Parameters,
    encoder: Sam,
    chips: Vec<Chip>,
}

/// A labelled chip.
#[derive(Debug)]
struct Chip {
    image: ModelImage,
    masks: Masks,
    /// Of each of [`View::ALL`] that was drawn.
    features: [Option<ImageFeatures>; View::ALL.len()],
}

impl Chip {
    fn encode(&mut self, view: usize, encoder: &Sam) -> Result<()> {
        if self.features[view].is_none() {
            self.features[view] = Some(encoder.forward(&[View::ALL[view].of_image(&self.image)?]));
        }
        Ok(())
    }
}

impl FineTune {
    /// The model of a checkpoint, and the chips that are to be learned from. Those without any object are left out.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if no chip has an object, for masks of another shape than their image, a number of steps,
    /// chips or objects of zero, other than 1 to 8 views, or a learning rate that is not a positive number; as
    /// [`crate::load_model`].
    pub fn new(checkpoint: &Checkpoint, examples: &[Example], config: FineTuneConfig) -> Result<Self> {
        let numbers = [("steps", config.steps), ("chips", config.chips), ("objects", config.objects)];
        check_settings(&numbers, config.learning_rate)?;
        let most_views = View::ALL.len();
        if !(1..=most_views).contains(&config.views) {
            return Err(Error::invalid_argument("views", format!("1 to {most_views}"), config.views));
        }
        let model = checkpoint.recognised().config.clone();
        model.validate()?;
        let is_tuned = |name: &str| name.contains("mask_decoder") && !shapes_features(name);
        let parameters =
            Parameters::of(checkpoint, |weights| Network::load(weights, &model, Precision::F32), is_tuned)?;
        let options = ModelOptions { device: DeviceChoice::Cpu, ..ModelOptions::default() };
        let spec = ModelSpec {
            model_id: checkpoint.recognised().model_id.clone(),
            model_type: model.model_type(),
            checkpoint_path: checkpoint.path(),
            image_size: model.image_size(),
            fingerprint: Some(checkpoint.fingerprint()?),
            preprocess: Preprocess::Standard,
            precision: options.precision,
        };
        let encoder = Sam::load(checkpoint, &model, spec.clone(), &options)?;
        let mut chips = Vec::new();
        for Example { image, masks } in examples {
            if masks.shape() != image.shape() {
                return Err(Error::invalid_argument("masks", format!("the image's {}", image.shape()), masks.shape()));
            }
            if masks.values().contains(&true) {
                chips.push(Chip { image: image.clone(), masks: masks.clone(), features: Default::default() });
            }
        }
        if chips.is_empty() {
            return Err(Error::invalid_argument(
                "examples",
                "at least one object",
                format!("{} chips", examples.len()),
            ));
        }
        Ok(Self { config, model, spec, parameters, encoder, chips })
    }

    /// Steps made so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.parameters.steps()
    }

    /// Learns from the next chips.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the weights have diverged.
    pub fn step(&mut self) -> Result<StepReport> {
        let FineTuneConfig { steps, warmup, learning_rate: highest, chips, objects, views, seed } = self.config;
        let made = self.parameters.steps();
        let mut random = Random::new(seed ^ (made as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95));
        let chosen = random.sample(&vec![1.0; self.chips.len()], chips);
        let chosen: Vec<_> = chosen.into_iter().map(|chip| (chip, random.below(views).unwrap_or(0))).collect();
        for &(chip, view) in &chosen {
            self.chips[chip].encode(view, &self.encoder)?;
        }
        let masks = |&(chip, view): &(usize, usize)| View::ALL[view].of_masks(&self.chips[chip].masks);
        let masks = chosen.iter().map(masks).collect::<Result<Vec<_>>>()?;
        let features = chosen.iter().filter_map(|&(chip, view)| self.chips[chip].features[view].as_ref());
        let seen = features.zip(&masks).map(|(image, masks)| Image { shape: masks.shape(), masks, image });
        let images: Vec<_> = seen.collect();
        let device = Device::flex().autodiff();
        let learned =
            Step { model: &self.model, objects, seed }.learn_from(&self.parameters, &images, |image, leaves| {
                let source = self.parameters.source(Values::Latest);
                let decoder = weights::load_over(&source, leaves, "training", &device, |weights| {
                    PromptDecoder::load(weights, &self.model)
                })?;
                Ok(Seen { decoder, features: image.autodiff(), neighbours: None })
            })?;
        let rate = learning_rate(made, warmup, steps, highest);
        learned.apply(&mut self.parameters, rate)
    }

    /// The model as it is now, of the moving average of the weights.
    ///
    /// # Errors
    /// None that can be expected.
    pub fn model(&self) -> Result<Sam> {
        let options = ModelOptions { device: DeviceChoice::Cpu, ..ModelOptions::default() };
        Sam::load(&self.parameters.source(Values::Averaged), &self.model, self.spec.clone(), &options)
    }

    /// Writes [`FineTune::model`] in f32 as a safetensors file in the layout of the official checkpoints, which
    /// [`crate::load_model`] opens. Feature folders of the model before are the model's, too. It has what answers
    /// clicks and boxes, and none of the tensors for other purposes.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; what was there before is kept.
    pub fn write_checkpoint(&self, path: &Path) -> Result<()> {
        self.parameters.write(path, Dtype::F32, Some(&self.spec.model_id))
    }
}
