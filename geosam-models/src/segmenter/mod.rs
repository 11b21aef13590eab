//! A loaded model: what every family has in common, and where they part.

mod config;
mod image_encoder;
mod session;

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use geosam_core::{
    EncodedImageFeatures, Error, FeaturePayload, FeatureTensor, ModelImage, ModelSpec, ModelType, PromptSession,
    Result, Segmenter, Shape,
};

pub use self::config::{ImageEncoderConfig, SamConfig};
use self::image_encoder::ImageEncoder;
use self::session::{PromptDecoder, SamSession, to_vec};
use crate::checkpoint::RandomWeights;
use crate::decoder::{Generation, MaskDecoder, PromptEncoder, TwoWayTransformerConfig};
use crate::image_features::ImageFeatures;
use crate::load::ModelOptions;
use crate::preprocess::{self, Normalization};
use crate::weights::{self, TensorSource, Weights};

/// A model of any family, SAM to SAM 3.1, ready to encode chips and answer prompts.
///
/// Loaded from a checkpoint with [`crate::load_model`], or made of random weights with [`Sam::random`]. Used through
/// [`Segmenter`].
#[derive(Debug)]
pub struct Sam {
    spec: ModelSpec,
    device: Device,
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
        Self::random_from(&RandomWeights::new(seed), config, seed, options)
    }

    /// [`Sam::random`] with the weights of `source`.
    pub(crate) fn random_from(
        source: &dyn TensorSource,
        config: &SamConfig,
        seed: u64,
        options: &ModelOptions,
    ) -> Result<Self> {
        let encoder = match &config.image_encoder {
            ImageEncoderConfig::Vit(vit) => format!("vit-{}x{}", vit.width, vit.depth),
            ImageEncoderConfig::Tiny(_) => "tiny-vit".to_string(),
            ImageEncoderConfig::Hiera(hiera) => format!("hiera-{}x{}", hiera.width, hiera.depth()),
            ImageEncoderConfig::Perception(vit) => format!("perception-{}x{}", vit.width, vit.depth),
        };
        let model_id = format!("random-{encoder}-{}px-seed{seed}", config.image_size());
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
        let (width, image_size) = (config.prompt_embed_dim(), config.image_size());
        let grid = image_size / spec.model_type.patch_size();
        let names = DecoderNames::of(spec.model_type);
        let generation = match spec.model_type {
            ModelType::Sam => Generation::Sam,
            ModelType::Sam2 | ModelType::Sam3 => Generation::Sam2,
        };
        let build = |weights: &Weights<'_>| {
            let image_encoder = ImageEncoder::load(&weights.laid_out_for(options.precision), &config.image_encoder);
            let prompt_encoder = PromptEncoder::load(&weights.scope(names.prompt_encoder), width, image_size);
            let transformer = TwoWayTransformerConfig::published(width, names.mlp_layers);
            let mask_decoder = MaskDecoder::load(&weights.scope(names.mask_decoder), transformer, generation);
            let image_pe = prompt_encoder.dense_pe(grid);
            (image_encoder, PromptDecoder { prompt_encoder, mask_decoder, generation, image_pe, image_size })
        };
        let device = options.device.device();
        let (image_encoder, decoder) = weights::load(source, &spec.model_id, &device, build)?;
        let decoder = Arc::new(decoder);
        Ok(Self { spec, device, features: [width, grid], image_encoder, decoder })
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
            Tensor::from_data(data, (&self.device, DType::F32))
        };
        let mut tensors = features.payload.tensors().zip(&shapes).map(tensor);
        let embedding = tensors.next().expect("every family has an embedding");
        Ok(ImageFeatures { embedding, high_res: tensors.next().zip(tensors.next()).map(<[Tensor<4>; 2]>::from) })
    }

    fn payload(&self, features: ImageFeatures) -> Result<FeaturePayload> {
        let mut shapes = self.feature_shapes().into_iter();
        let mut tensor = |tensor: Tensor<4>| {
            let shape = shapes.next().expect("as many shapes as tensors");
            FeatureTensor::new(shape.to_vec(), to_vec(tensor))
        };
        let embedding = tensor(features.embedding)?;
        Ok(match features.high_res {
            None => FeaturePayload::Sam(embedding),
            Some(maps) => FeaturePayload::Sam2 {
                image_embed: embedding,
                high_res_feats: maps.into_iter().map(tensor).collect::<Result<_>>()?,
            },
        })
    }
}

/// What the checkpoints of a family call the parts of the decoder.
struct DecoderNames {
    prompt_encoder: &'static str,
    mask_decoder: &'static str,
    /// The layers of a perceptron in the two-way transformer.
    mlp_layers: [&'static str; 2],
}

impl DecoderNames {
    const fn of(model_type: ModelType) -> Self {
        match model_type {
            ModelType::Sam => {
                Self { prompt_encoder: "prompt_encoder", mask_decoder: "mask_decoder", mlp_layers: ["lin1", "lin2"] }
            }
            ModelType::Sam2 => Self {
                prompt_encoder: "sam_prompt_encoder",
                mask_decoder: "sam_mask_decoder",
                mlp_layers: ["layers.0", "layers.1"],
            },
            ModelType::Sam3 => Self {
                prompt_encoder: "tracker.sam_prompt_encoder",
                mask_decoder: "tracker.sam_mask_decoder",
                mlp_layers: ["lin1", "lin2"],
            },
        }
    }
}

impl Segmenter for Sam {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// One image after the other: an encoder fills every core with a single image, and memory stays that of one.
    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        let ModelSpec { image_size, model_type, preprocess, .. } = self.spec;
        let encode = |image: &ModelImage| {
            let input = preprocess::prepare(image, image_size, preprocess, Normalization::of(model_type), &self.device);
            Ok(EncodedImageFeatures {
                model_type,
                checkpoint_path: self.spec.reference_checkpoint_path().to_string_lossy().into_owned(),
                src_shape: image.shape(),
                dst_shape: Shape::square(image_size),
                payload: self.payload(self.image_encoder.forward(input))?,
            })
        };
        images.iter().map(encode).collect()
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        self.check_made_here(features)?;
        let tensors = self.image_features(features)?;
        Ok(Box::new(SamSession::new(Arc::clone(&self.decoder), tensors, features.src_shape)))
    }
}

/// Last component of a path that may have been written on Windows.
fn file_name(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
