//! The two-way transformer of the mask decoder: prompt tokens and image tokens attend to each other.
//!
//! Upstream: `segment_anything/modeling/transformer.py`, `sam2/modeling/sam/transformer.py`.

mod attention;

use burn::module::Module;
use burn::tensor::Tensor;

use self::attention::Attention;
use crate::kernels::ProjectedImage;
use crate::nn::{Activation, LayerNorm, Mlp, assert_shape};
use crate::weights::Weights;

/// Epsilon of the layer norms; the image encoder's is 1e-6.
const EPSILON: f64 = 1e-5;

/// Architecture of a [`TwoWayTransformer`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct TwoWayTransformerConfig {
    pub(crate) depth: usize,
    pub(crate) embedding_dim: usize,
    pub(crate) num_heads: usize,
    pub(crate) mlp_dim: usize,
    /// What the checkpoint calls the two layers of a perceptron.
    pub(crate) mlp_layers: [&'static str; 2],
}

impl TwoWayTransformerConfig {
    /// Heads of the published models. Cross-attention has half the width, so the width is a multiple of twice as many.
    pub(crate) const HEADS: usize = 8;

    /// Two layers and a perceptron of eight times the width, as in every published model.
    pub(crate) const fn published(embedding_dim: usize, mlp_layers: [&'static str; 2]) -> Self {
        Self { depth: 2, embedding_dim, num_heads: Self::HEADS, mlp_dim: 8 * embedding_dim, mlp_layers }
    }
}

/// Image tokens, ready for prompts.
#[derive(Clone, Debug)]
pub(crate) struct ImageTokens {
    /// `[batch or 1, tokens, width]`
    features: Tensor<3>,
    /// The positional code, `[1, tokens, width]`.
    position: Tensor<3>,
    projected: Option<ProjectedTokens>,
}

/// What the first layer's attentions make of the image tokens of one image before they meet a prompt.
#[derive(Clone, Debug)]
struct ProjectedTokens {
    /// For prompt tokens that look at the image.
    image: ProjectedImage,
    /// For image tokens that look at the prompt, `[1, tokens, width / 2]`.
    queries: Tensor<3>,
}

impl ImageTokens {
    /// # Shapes
    /// - features: `[batch, tokens, width]`, batch 1 if they are the same for all prompts
    /// - position: `[1, tokens, width]`
    pub(crate) fn new(features: Tensor<3>, position: Tensor<3>) -> Self {
        let [_, tokens, width] = features.dims();
        assert_shape!(position, [1, tokens, width]);
        Self { features, position, projected: None }
    }

    /// Those of this image alone: the positional code is the same for all.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<3>> {
        let projected = self.projected.iter();
        let projected = projected.flat_map(|ProjectedTokens { image, queries }| [&image.keys, &image.values, queries]);
        std::iter::once(&self.features).chain(projected)
    }

    fn updated(&self, features: Tensor<3>) -> Self {
        Self::new(features, self.position.clone())
    }

    fn positioned(&self) -> Tensor<3> {
        self.features.clone() + self.position.clone()
    }
}

/// Layers of [`TwoWayAttentionBlock`] and a last attention from prompt tokens to the image.
#[derive(Module, Debug)]
pub(crate) struct TwoWayTransformer {
    layers: Vec<TwoWayAttentionBlock>,
    final_attn_token_to_image: Attention,
    norm_final_attn: LayerNorm,
}

impl TwoWayTransformer {
    pub(crate) fn load(weights: &Weights<'_>, config: TwoWayTransformerConfig) -> Self {
        let layer =
            |index| TwoWayAttentionBlock::load(&weights.scope(format_args!("layers.{index}")), config, index == 0);
        Self {
            layers: (0..config.depth).map(layer).collect(),
            final_attn_token_to_image: Attention::load_half(&weights.scope("final_attn_token_to_image"), config),
            norm_final_attn: LayerNorm::load(&weights.scope("norm_final_attn"), config.embedding_dim, EPSILON),
        }
    }

    /// The same image, of batch 1, for many prompts: what depends on it alone in the first layer is computed now.
    pub(crate) fn project(&self, image: ImageTokens) -> ImageTokens {
        let [_, tokens, width] = image.position.dims();
        assert_shape!(image.features, [1, tokens, width]);
        let projected = self.layers.first().map(|layer| layer.project(&image));
        ImageTokens { projected, ..image }
    }

    /// Prompt tokens and image tokens after they have seen each other.
    ///
    /// # Shapes
    /// - tokens: `[batch, prompt tokens, width]`
    /// - output: `[batch, prompt tokens, width]` and `[batch, image tokens, width]`
    pub(crate) fn forward(&self, image: &ImageTokens, tokens: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let [_, _, width] = image.features.dims();
        assert_shape!(tokens, [_, _, width]);
        // The prompt tokens are their own positional code, from beginning to end.
        let position = tokens.clone();
        let (mut tokens, mut image) = (tokens, image.clone());
        for layer in &self.layers {
            let features;
            (tokens, features) = layer.forward(tokens, &image, &position);
            image = image.updated(features);
        }
        (self.finish(tokens, &image, &position), image.features)
    }

    /// The prompt tokens' last look at the image.
    ///
    /// # Shapes
    /// - tokens, position, output: `[batch, prompt tokens, width]`
    fn finish(&self, tokens: Tensor<3>, image: &ImageTokens, position: &Tensor<3>) -> Tensor<3> {
        let attended = self.final_attn_token_to_image.token_to_image(tokens.clone() + position.clone(), image);
        self.norm_final_attn.forward(tokens + attended)
    }
}

/// Self-attention of prompt tokens, prompt to image, perceptron, image to prompt.
#[derive(Module, Debug)]
struct TwoWayAttentionBlock {
    self_attn: Attention,
    norm1: LayerNorm,
    cross_attn_token_to_image: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
    norm3: LayerNorm,
    cross_attn_image_to_token: Attention,
    norm4: LayerNorm,
    is_first: bool,
}

impl TwoWayAttentionBlock {
    fn load(weights: &Weights<'_>, config: TwoWayTransformerConfig, is_first: bool) -> Self {
        let norm = |name: &str| LayerNorm::load(&weights.scope(name), config.embedding_dim, EPSILON);
        let cross = |name: &str| Attention::load_half(&weights.scope(name), config);
        let mlp = [config.embedding_dim, config.mlp_dim, config.embedding_dim];
        Self {
            self_attn: Attention::load(&weights.scope("self_attn"), config, config.embedding_dim),
            norm1: norm("norm1"),
            cross_attn_token_to_image: cross("cross_attn_token_to_image"),
            norm2: norm("norm2"),
            mlp: Mlp::load(&weights.scope("mlp"), config.mlp_layers, mlp, Activation::Relu),
            norm3: norm("norm3"),
            cross_attn_image_to_token: cross("cross_attn_image_to_token"),
            norm4: norm("norm4"),
            is_first,
        }
    }

    fn project(&self, image: &ImageTokens) -> ProjectedTokens {
        let Attention { k_proj, v_proj, .. } = &self.cross_attn_token_to_image;
        let positioned = image.positioned();
        // The bias of the keys would shift all weights of a query alike, which softmax undoes.
        let keys = k_proj.weight.val().unsqueeze::<3>().matmul(positioned.clone().transpose());
        ProjectedTokens {
            image: ProjectedImage { keys, values: v_proj.forward(image.features.clone()) },
            queries: self.cross_attn_image_to_token.q_proj.forward(positioned),
        }
    }

    /// # Shapes
    /// - tokens, position: `[batch, prompt tokens, width]`
    /// - output: `[batch, prompt tokens, width]` and `[batch, image tokens, width]`
    fn forward(&self, tokens: Tensor<3>, image: &ImageTokens, position: &Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        // The first layer has neither positional code nor residual here: its input is the code itself.
        let tokens = if self.is_first {
            self.self_attn.forward(tokens.clone(), tokens)
        } else {
            tokens.clone() + self.self_attn.forward(tokens.clone() + position.clone(), tokens)
        };
        let tokens = self.norm1.forward(tokens);

        let attended = self.cross_attn_token_to_image.token_to_image(tokens.clone() + position.clone(), image);
        let tokens = self.norm2.forward(tokens + attended);

        let tokens = self.norm3.forward(tokens.clone() + self.mlp.forward(tokens));

        let positioned = tokens.clone() + position.clone();
        let features = self.cross_attn_image_to_token.image_to_token(image, positioned, tokens.clone(), &self.norm4);
        (tokens, features)
    }
}
