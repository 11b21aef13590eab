//! A loaded model: what every family has in common, and where they part.

mod config;
mod image_encoder;
mod network;
mod session;

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{DType, Tensor, TensorData};
use geosam_core::{
    EncodedImageFeatures, Error, FeaturePayload, FeatureTensor, Label, ModelImage, ModelSpec, ModelType, PixelBox,
    PixelPoint, PixelPrompt, PredictOptions, PromptSession, Result, Segmenter, Shape,
};

pub use self::config::{ImageEncoderConfig, SamConfig};
use self::image_encoder::ImageEncoder;
pub(crate) use self::network::{Network, shapes_features};
#[cfg(feature = "train")]
pub(crate) use self::session::NetworkPrompt;
use self::session::PROMPTS;
pub(crate) use self::session::{PromptDecoder, SamSession};
use crate::checkpoint::RandomWeights;
use crate::device::{OpenDevice, dtype, is_cpu};
use crate::image_features::ImageFeatures;
use crate::load::ModelOptions;
use crate::preprocess::{self, Normalization};
use crate::runtime_panic::{on_gpu, read_parts};
use crate::weights::{self, TensorSource};

/// Bytes of a GPU's memory that an image takes for each value of the encoder's widest layer: that layer in f32 and in the
/// types of products, queries and keys with positions folded in, a perceptron's hidden layer. Counted on paper, not measured.
const BYTES_PER_VALUE: u64 = 100;
/// Batches under way at once: one is computed while the features of another are copied back.
const BATCHES: u64 = 2;
/// Images of a batch, at most: a few of them occupy any GPU, and each waits for its batch.
const MAX_BATCH: u64 = 16;

/// A model of any family, SAM to SAM 3.1, ready to encode chips and answer prompts.
///
/// Loaded from a checkpoint with [`crate::load_model`], or made of random weights with [`Sam::random`]. Used through
/// [`Segmenter`].
#[derive(Debug)]
pub struct Sam {
    spec: ModelSpec,
    device: OpenDevice,
    batch: usize,
    /// Channels and side of the features.
    features: [usize; 2],
    image_encoder: ImageEncoder,
    decoder: Arc<PromptDecoder>,
}

impl Sam {
    /// A model with seeded random weights: it works like any other, but its masks mean nothing. For tests,
    /// demonstrations and timings; equal configurations and seeds give equal weights.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a configuration that is no SAM: a side that is not a whole number of patches (16
    /// pixels, with SAM 3 14), or features that the decoder cannot split among its heads.
    pub fn random(config: &SamConfig, seed: u64, options: &ModelOptions) -> Result<Self> {
        Self::unpublished(&RandomWeights::new(seed), config, "random", &format!("seed{seed}"), options)
    }

    /// With the weights of `source`, its identifier made of how the weights came about, the architecture, and what tells
    /// these weights from others.
    pub(crate) fn unpublished(
        source: &dyn TensorSource,
        config: &SamConfig,
        how: &str,
        which: &str,
        options: &ModelOptions,
    ) -> Result<Self> {
        let encoder = match &config.image_encoder {
            ImageEncoderConfig::Vit(vit) => format!("vit-{}x{}", vit.width, vit.depth),
            ImageEncoderConfig::Tiny(_) => "tiny-vit".to_string(),
            ImageEncoderConfig::Hiera(hiera) => format!("hiera-{}x{}", hiera.width, hiera.depth()),
            ImageEncoderConfig::Perception(vit) => format!("perception-{}x{}", vit.width, vit.depth),
        };
        let model_id = format!("{how}-{encoder}-{}px-{which}", config.image_size());
        let spec = ModelSpec {
            checkpoint_path: PathBuf::from(&model_id),
            model_id,
            model_type: config.model_type(),
            image_size: config.image_size(),
            fingerprint: None,
            preprocess: options.preprocess,
            precision: options.precision,
        };
        Self::load(source, config, spec, options)
    }

    /// A model whose weights come from `source`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a configuration that is no network, [`Error::CheckpointMismatch`] if the weights do
    /// not fit, read errors as they come.
    pub(crate) fn load(
        source: &dyn TensorSource,
        config: &SamConfig,
        spec: ModelSpec,
        options: &ModelOptions,
    ) -> Result<Self> {
        config.validate()?;
        let device = options.device.open()?;
        device.check_precision(options.precision)?;
        let gpu = (!is_cpu(&device.device)).then(|| device.clone());
        let load = || {
            weights::load(source, &spec.model_id, &device.device, |weights| {
                Network::load(weights, config, options.precision)
            })
        };
        let Network { image_encoder, mut decoder } = match &gpu {
            None => load()?,
            Some(gpu) => on_gpu(gpu, "loading the model", || {
                let loaded = load()?;
                loaded.check_made();
                Ok(loaded)
            })?,
        };
        decoder.gpu = gpu;
        let bytes = BYTES_PER_VALUE * config.image_encoder.most_values() as u64;
        let batch = device.free_memory().map_or(1, |free| (free / BATCHES / bytes).clamp(1, MAX_BATCH));
        let (batch, decoder) = (batch as usize, Arc::new(decoder));
        let features = [config.prompt_embed_dim(), spec.image_size / spec.model_type.patch_size()];
        Ok(Self { spec, device, batch, features, image_encoder, decoder })
    }

    /// Where it runs: `cpu`, or a GPU with its name, e.g. `cuda:0 (NVIDIA L4)`.
    #[must_use]
    pub fn device_name(&self) -> &str {
        &self.device.name
    }

    /// What [`crate::DeviceChoice::Auto`] would have preferred to the device that was taken, and why it was not to be had.
    #[must_use]
    pub fn passed_over(&self) -> &[String] {
        &self.device.passed_over
    }

    /// Makes the first chips and prompts as fast as later ones: has a GPU compile its kernels, and choose the fastest ones
    /// for the sizes of this model, for one chip and for [`Segmenter::batch`] of them, for a click, a box, and several of
    /// them at once. That takes minutes the first time; the results are kept in the user's cache folder (on Linux
    /// `~/.cache/cubecl`), and it takes seconds from then on. On the CPU there is nothing to do.
    ///
    /// # Errors
    /// As [`Segmenter::encode`].
    pub fn warmup(&self) -> Result<()> {
        if self.decoder.gpu.is_none() {
            return Ok(());
        }
        let shape = Shape::square(self.spec.image_size);
        let image = ModelImage::new(shape, vec![0; 3 * shape.area()])?;
        let centre = self.spec.image_size as f64 / 2.0;
        let click = PixelPrompt {
            points: vec![PixelPoint::new(centre, centre)],
            labels: vec![Label::Foreground],
            ..PixelPrompt::default()
        };
        let bbox = Some(PixelBox { left: 0.0, top: 0.0, right: centre, bottom: centre });
        let session = self.open_image(&image)?;
        for prompt in [click, PixelPrompt { bbox, ..PixelPrompt::default() }] {
            for count in [1, PROMPTS] {
                session.predict(&vec![prompt.clone(); count], PredictOptions::default())?;
            }
        }
        for count in [1, self.batch] {
            match self.encode(&vec![image.clone(); count]) {
                // What does not fit is not used either.
                Err(Error::TooLarge { .. }) if count > 1 => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    /// Features of images, on the device.
    pub(crate) fn forward(&self, images: &[ModelImage]) -> ImageFeatures {
        let ModelSpec { image_size, model_type, preprocess, precision, .. } = self.spec;
        let (normalization, device) = (Normalization::of(model_type), &self.device.device);
        let input = match images {
            [image] if self.decoder.gpu.is_none() => {
                preprocess::prepare(image, image_size, preprocess, normalization, device)
            }
            images => {
                let dtype = if self.decoder.gpu.is_some() { dtype(precision) } else { DType::F32 };
                preprocess::prepare_all(images, image_size, preprocess, normalization, device, dtype)
            }
        };
        self.image_encoder.forward(input)
    }

    /// Runs `work`, called `what`, which needs the device's memory.
    fn on_device<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.decoder.gpu {
            Some(gpu) => on_gpu(gpu, what, work),
            None => work(),
        }
    }

    /// Refuses features of another model.
    fn check_made_here(&self, features: &EncodedImageFeatures) -> Result<()> {
        let reference = self.spec.reference_checkpoint_path();
        let expected = file_name(&reference.to_string_lossy()).to_string();
        let found = file_name(&features.checkpoint_path);
        if features.model_type != self.spec.model_type || found != expected {
            return Err(Error::ModelMismatch {
                expected: format!("{expected} ({})", self.spec.model_type),
                found: format!("{found} ({})", features.model_type),
            });
        }
        Ok(())
    }

    /// Shapes of the model's features: the embedding and, behind SAM 2, those of high resolution.
    fn feature_shapes(&self) -> Vec<[usize; 4]> {
        let [width, grid] = self.features;
        let embedding = [1, width, grid, grid];
        match self.spec.model_type {
            ModelType::Sam => vec![embedding],
            ModelType::Sam2 | ModelType::Sam3 => {
                vec![embedding, [1, width / 8, 4 * grid, 4 * grid], [1, width / 4, 2 * grid, 2 * grid]]
            }
        }
    }

    /// The features as tensors, if they have the model's shapes.
    fn image_features(&self, features: &EncodedImageFeatures) -> Result<ImageFeatures> {
        features.check_encode_size(self.spec.image_size)?;
        if features.src_shape.area() == 0 {
            return Err(Error::invalid_argument("src_shape", "at least one pixel", features.src_shape));
        }
        let shapes = self.feature_shapes();
        let found: Vec<_> = features.payload.tensors().map(FeatureTensor::shape).collect();
        if found != shapes {
            return Err(Error::invalid_argument("features", format!("shapes {shapes:?}"), format!("{found:?}")));
        }
        let tensor = |(tensor, shape): (&FeatureTensor, &[usize; 4])| {
            let data = TensorData::new(tensor.values().to_vec(), *shape);
            Tensor::from_data(data, (&self.device.device, DType::F32))
        };
        let mut tensors = features.payload.tensors().zip(&shapes).map(tensor);
        let embedding = tensors.next().expect("every family has an embedding");
        Ok(ImageFeatures { embedding, high_res: tensors.next().zip(tensors.next()).map(<[Tensor<4>; 2]>::from) })
    }

    /// The features of each of `images` images, from the device.
    fn payloads(&self, features: ImageFeatures, images: usize) -> Result<Vec<FeaturePayload>> {
        let mut shapes = self.feature_shapes().into_iter();
        let mut tensors = |tensor: Tensor<4>| {
            let shape = shapes.next().expect("as many shapes as tensors");
            let each = read_parts(tensor, images).into_iter();
            each.map(|values| FeatureTensor::new(shape.to_vec(), values)).collect::<Result<Vec<_>>>()
        };
        let embeddings = tensors(features.embedding)?;
        let Some(maps) = features.high_res else {
            return Ok(embeddings.into_iter().map(FeaturePayload::Sam).collect());
        };
        let [first, second] = maps.map(tensors);
        let maps = first?.into_iter().zip(second?);
        let payload =
            |(image_embed, (first, second))| FeaturePayload::Sam2 { image_embed, high_res_feats: vec![first, second] };
        Ok(embeddings.into_iter().zip(maps).map(payload).collect())
    }

    fn encode_together(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        let what = match images.len() {
            1 => "encoding a chip".to_string(),
            count => format!("encoding {count} chips at once"),
        };
        let payloads = self.on_device(&what, || self.payloads(self.forward(images), images.len()))?;
        let checkpoint = self.spec.reference_checkpoint_path().to_string_lossy().into_owned();
        let encoded = |(image, payload): (&ModelImage, _)| EncodedImageFeatures {
            model_type: self.spec.model_type,
            checkpoint_path: checkpoint.clone(),
            src_shape: image.shape(),
            dst_shape: Shape::square(self.spec.image_size),
            payload,
        };
        Ok(images.iter().zip(payloads).map(encoded).collect())
    }
}

impl Segmenter for Sam {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// On a CPU one image after the other: an encoder fills every core with a single image, and memory stays that of one.
    /// On a GPU all as one batch.
    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        if self.decoder.gpu.is_some() && !images.is_empty() {
            return self.encode_together(images);
        }
        let mut encoded = Vec::with_capacity(images.len());
        for image in images {
            encoded.extend(self.encode_together(std::slice::from_ref(image))?);
        }
        Ok(encoded)
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn leaves_cpu_free(&self) -> bool {
        self.decoder.gpu.is_some()
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        self.check_made_here(features)?;
        self.on_device("opening a chip", || {
            let tensors = self.image_features(features)?;
            Ok(Box::new(SamSession::new(Arc::clone(&self.decoder), tensors, features.src_shape)) as _)
        })
    }

    /// The features stay where they are.
    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        self.on_device("encoding a chip", || {
            let features = self.forward(std::slice::from_ref(image));
            Ok(Box::new(SamSession::new(Arc::clone(&self.decoder), features, image.shape())) as _)
        })
    }
}

/// Last component of a path that may have been written on Windows.
fn file_name(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(all(test, feature = "gpu"))]
mod gpu_tests;
#[cfg(test)]
mod tests;
