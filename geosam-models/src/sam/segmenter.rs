//! A loaded SAM or MobileSAM.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use geosam_core::{
    EncodedImageFeatures, Error, FeaturePayload, FeatureTensor, ModelImage, ModelSpec, ModelType, PromptSession,
    Result, Segmenter, Shape,
};

use super::config::{ImageEncoderConfig, SamConfig};
use super::image_encoder::ImageEncoder;
use super::mask_decoder::MaskDecoder;
use super::prompt_encoder::PromptEncoder;
use super::session::{PromptDecoder, SamSession, to_vec};
use super::tiny_vit::TinyViT;
use super::transformer::TwoWayTransformerConfig;
use crate::checkpoint::RandomWeights;
use crate::load::ModelOptions;
use crate::preprocess::{self, Normalization};
use crate::weights::{self, TensorSource, Weights};

/// Network pixels for one cell of the feature grid.
const PATCH: usize = 16;

/// SAM or MobileSAM, ready to encode chips and answer prompts.
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
    /// [`Error::InvalidArgument`] for a configuration that is no SAM: sides that are not multiples of 16 pixels, or a
    /// width that the decoder cannot split among its heads.
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
        };
        let model_id = format!("random-{encoder}-{}px-seed{seed}", config.image_size());
        let spec = ModelSpec {
            checkpoint_path: PathBuf::from(&model_id),
            model_id,
            model_type: ModelType::Sam,
            image_size: config.image_size(),
            fingerprint: None,
            preprocess: options.preprocess,
        };
        Self::load(source, config, spec, &options.device.device())
    }

    /// A model whose weights come from `source`.
    ///
    /// # Errors
    /// [`Error::CheckpointMismatch`] if they do not fit, read errors as they come.
    pub(crate) fn load(
        source: &dyn TensorSource,
        config: &SamConfig,
        spec: ModelSpec,
        device: &Device,
    ) -> Result<Self> {
        let (width, image_size) = (config.prompt_embed_dim(), config.image_size());
        if image_size == 0 || !image_size.is_multiple_of(PATCH) {
            return Err(Error::invalid_argument("image size", format!("a multiple of {PATCH} pixels"), image_size));
        }
        if width == 0 || !width.is_multiple_of(2 * TwoWayTransformerConfig::HEADS) {
            let expected = format!("a multiple of {} channels", 2 * TwoWayTransformerConfig::HEADS);
            return Err(Error::invalid_argument("features", expected, width));
        }
        let grid = image_size / PATCH;
        let build = |weights: &Weights<'_>| {
            let image_encoder = ImageEncoder::load(&weights.scope("image_encoder"), &config.image_encoder);
            let prompt_encoder = PromptEncoder::load(&weights.scope("prompt_encoder"), width, image_size);
            let mask_decoder =
                MaskDecoder::load(&weights.scope("mask_decoder"), TwoWayTransformerConfig::published(width));
            let image_pe = prompt_encoder.dense_pe(grid);
            (image_encoder, PromptDecoder { prompt_encoder, mask_decoder, image_pe, image_size })
        };
        let (image_encoder, decoder) = weights::load(source, &spec.model_id, device, is_unused, build)?;
        let decoder = Arc::new(decoder);
        Ok(Self { spec, device: device.clone(), features: [width, grid], image_encoder, decoder })
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

    /// The feature tensor, if it has the model's shape.
    fn check_shapes<'a>(&self, features: &'a EncodedImageFeatures) -> Result<&'a FeatureTensor> {
        let network = Shape::square(self.spec.image_size);
        if features.dst_shape != network {
            return Err(Error::invalid_argument("dst_shape", network.to_string(), features.dst_shape));
        }
        if features.src_shape.area() == 0 {
            return Err(Error::invalid_argument("src_shape", "at least one pixel", features.src_shape));
        }
        let [width, grid] = self.features;
        let expected = [1, width, grid, grid];
        match &features.payload {
            FeaturePayload::Sam(tensor) if tensor.shape() == expected => Ok(tensor),
            FeaturePayload::Sam(tensor) => {
                let found = format!("{:?}", tensor.shape());
                Err(Error::invalid_argument("features", format!("one tensor of shape {expected:?}"), found))
            }
            FeaturePayload::Sam2 { .. } => {
                let expected = format!("one tensor of shape {expected:?}");
                Err(Error::invalid_argument("features", expected, "an embedding with high-resolution maps"))
            }
        }
    }
}

impl Segmenter for Sam {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// One image after the other: an encoder fills every core with a single image, and memory stays that of one.
    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        let size = self.spec.image_size;
        let [width, grid] = self.features;
        let encode = |image: &ModelImage| {
            let input = preprocess::prepare(image, size, self.spec.preprocess, Normalization::IMAGENET, &self.device);
            let features = to_vec(self.image_encoder.forward(input));
            Ok(EncodedImageFeatures {
                model_type: self.spec.model_type,
                checkpoint_path: self.spec.reference_checkpoint_path().to_string_lossy().into_owned(),
                src_shape: image.shape(),
                dst_shape: Shape::square(size),
                payload: FeaturePayload::Sam(FeatureTensor::new(vec![1, width, grid, grid], features)?),
            })
        };
        images.iter().map(encode).collect()
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        self.check_made_here(features)?;
        let tensor = self.check_shapes(features)?;
        let [width, grid] = self.features;
        let data = TensorData::new(tensor.values().to_vec(), [1, width, grid, grid]);
        let tensor = Tensor::from_data(data, (&self.device, DType::F32));
        Ok(Box::new(SamSession::new(Arc::clone(&self.decoder), tensor, features.src_shape)))
    }
}

/// Tensors of MobileSAM's file that inference has no use for.
fn is_unused(name: &str) -> bool {
    name.strip_prefix("image_encoder.").is_some_and(TinyViT::ignores)
}

/// Last component of a path that may have been written on Windows.
fn file_name(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
