//! The layers of a model, whichever its family.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use geosam_core::{ModelType, Precision};

use super::config::SamConfig;
use super::image_encoder::ImageEncoder;
use super::session::PromptDecoder;
use crate::decoder::{Generation, MaskDecoder, PromptEncoder, TwoWayTransformerConfig};
use crate::runtime_panic::{check_made, first_value};
use crate::weights::Weights;

/// Image encoder, prompt encoder and mask decoder.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) image_encoder: ImageEncoder,
    pub(crate) decoder: PromptDecoder,
}

impl Network {
    /// `weights` is the whole checkpoint; `config` is valid.
    pub(crate) fn load(weights: &Weights<'_>, config: &SamConfig, precision: Precision) -> Self {
        Self {
            image_encoder: ImageEncoder::load(&weights.laid_out_for(precision), &config.image_encoder),
            decoder: PromptDecoder::load(weights, config),
        }
    }
}

impl Network {
    /// Has a GPU report weights that it had no room for.
    pub(crate) fn check_made(&self) {
        struct FirstValues(Vec<Tensor<1>>);
        impl ModuleVisitor for FirstValues {
            fn visit_float<const D: usize>(&mut self, weight: &Param<Tensor<D>>) {
                self.0.push(first_value(&weight.val()));
            }
        }
        let PromptDecoder { prompt_encoder, mask_decoder, image_pe, .. } = &self.decoder;
        let mut first_values = FirstValues(vec![first_value(image_pe)]);
        self.image_encoder.visit(&mut first_values);
        prompt_encoder.visit(&mut first_values);
        mask_decoder.visit(&mut first_values);
        check_made(first_values.0);
    }
}

impl PromptDecoder {
    /// As [`Network::load`].
    pub(crate) fn load(weights: &Weights<'_>, config: &SamConfig) -> Self {
        let (model_type, width, image_size) = (config.model_type(), config.prompt_embed_dim(), config.image_size());
        let names = DecoderNames::of(model_type);
        let generation = match model_type {
            ModelType::Sam => Generation::Sam,
            ModelType::Sam2 | ModelType::Sam3 => Generation::Sam2,
        };
        let prompt_encoder = PromptEncoder::load(&weights.scope(names.prompt_encoder), width, image_size);
        let transformer = TwoWayTransformerConfig::published(width, names.mlp_layers);
        let mask_decoder = MaskDecoder::load(&weights.scope(names.mask_decoder), transformer, generation);
        let image_pe = prompt_encoder.dense_pe(image_size / model_type.patch_size());
        Self { prompt_encoder, mask_decoder, generation, image_pe, image_size, gpu: None }
    }
}

/// Whether features depend on the tensor of this name, in the layout of the official checkpoints: all but prompt encoder and
/// mask decoder, and of that the two convolutions of SAM 2 and 3 that are applied while encoding.
pub(crate) fn shapes_features(name: &str) -> bool {
    let any_in = |parts: [&str; 2]| parts.iter().any(|part| name.contains(part));
    !any_in(["prompt_encoder", "mask_decoder"]) || any_in(["conv_s0", "conv_s1"])
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
