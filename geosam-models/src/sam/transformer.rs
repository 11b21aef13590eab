//! The two-way transformer of the mask decoder: prompt tokens and image tokens attend to each other.
//!
//! Upstream: `segment_anything/modeling/transformer.py`.

use burn::module::Module;
use burn::tensor::{Tensor, activation};

use crate::nn::{Activation, LayerNorm, Linear, Mlp, assert_shape};
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
}

impl TwoWayTransformerConfig {
    /// Heads of the published models. Cross-attention has half the width, so the width is a multiple of twice as many.
    pub(crate) const HEADS: usize = 8;

    /// Two layers, as in every published model.
    pub(crate) const fn published(embedding_dim: usize) -> Self {
        Self { depth: 2, embedding_dim, num_heads: Self::HEADS, mlp_dim: 2048 }
    }
}

/// Image tokens, ready for prompts: what the first layer computes from them alone is computed once.
#[derive(Clone, Debug)]
pub(crate) struct ImageTokens {
    /// `[batch or 1, tokens, width]`
    embedding: Tensor<3>,
    /// `[1, tokens, width]`
    position: Tensor<3>,
    first_layer: ImageProjections,
}

/// The image side of a layer's two cross-attentions, each `[batch or 1, heads, tokens, head width]`.
#[derive(Clone, Debug)]
struct ImageProjections {
    /// What prompt tokens compare themselves with.
    keys: Tensor<4>,
    /// What they take from the image.
    values: Tensor<4>,
    /// What image tokens ask of the prompt tokens.
    queries: Tensor<4>,
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

    /// Does what does not depend on the prompt tokens.
    ///
    /// # Shapes
    /// - embedding: `[batch, tokens, width]`, batch 1 if it is the same for all prompts
    /// - position: `[1, tokens, width]`
    pub(crate) fn prepare(&self, embedding: Tensor<3>, position: Tensor<3>) -> ImageTokens {
        let [_, tokens, width] = embedding.dims();
        assert_shape!(position, [1, tokens, width]);
        let positioned = embedding.clone() + position.clone();
        let first_layer = self.layers[0].project_image(&embedding, &positioned);
        ImageTokens { embedding, position, first_layer }
    }

    /// Prompt tokens and image tokens after they have seen each other.
    ///
    /// # Shapes
    /// - tokens: `[batch, prompt tokens, width]`
    /// - output: `[batch, prompt tokens, width]` and `[batch, image tokens, width]`
    pub(crate) fn forward(&self, image: &ImageTokens, tokens: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let [_, _, width] = image.embedding.dims();
        assert_shape!(tokens, [_, _, width]);
        // The prompt tokens are their own positional code, from beginning to end.
        let position = tokens.clone();
        let (mut queries, mut keys, mut projections) = (tokens, image.embedding.clone(), image.first_layer.clone());
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                projections = layer.project_image(&keys, &(keys.clone() + image.position.clone()));
            }
            (queries, keys) = layer.forward(queries, keys, &position, projections.clone());
        }
        let attention = &self.final_attn_token_to_image;
        let attended = attention.attend(
            attention.queries(queries.clone() + position),
            attention.keys(keys.clone() + image.position.clone()),
            attention.values(keys.clone()),
        );
        (self.norm_final_attn.forward(queries + attended), keys)
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
        Self {
            self_attn: Attention::load(&weights.scope("self_attn"), config, config.embedding_dim),
            norm1: norm("norm1"),
            cross_attn_token_to_image: cross("cross_attn_token_to_image"),
            norm2: norm("norm2"),
            mlp: Mlp::load(&weights.scope("mlp"), config.embedding_dim, config.mlp_dim, Activation::Relu),
            norm3: norm("norm3"),
            cross_attn_image_to_token: cross("cross_attn_image_to_token"),
            norm4: norm("norm4"),
            is_first,
        }
    }

    /// # Shapes
    /// - keys, positioned: `[batch or 1, image tokens, width]`, without and with their positional code
    fn project_image(&self, keys: &Tensor<3>, positioned: &Tensor<3>) -> ImageProjections {
        ImageProjections {
            keys: self.cross_attn_token_to_image.keys(positioned.clone()),
            values: self.cross_attn_token_to_image.values(keys.clone()),
            queries: self.cross_attn_image_to_token.queries(positioned.clone()),
        }
    }

    /// # Shapes
    /// - queries, position: `[batch, prompt tokens, width]`
    /// - keys: `[batch or 1, image tokens, width]`
    /// - output: queries and keys, both with the full batch
    fn forward(
        &self,
        queries: Tensor<3>,
        keys: Tensor<3>,
        position: &Tensor<3>,
        image: ImageProjections,
    ) -> (Tensor<3>, Tensor<3>) {
        let attention = &self.self_attn;
        // The first layer has neither positional code nor residual here: its input is the code itself.
        let queries = if self.is_first {
            attention.forward(queries.clone(), queries)
        } else {
            queries.clone() + attention.forward(queries.clone() + position.clone(), queries)
        };
        let queries = self.norm1.forward(queries);

        let attention = &self.cross_attn_token_to_image;
        let attended =
            attention.attend(attention.queries(queries.clone() + position.clone()), image.keys, image.values);
        let queries = self.norm2.forward(queries + attended);

        let queries = self.norm3.forward(queries.clone() + self.mlp.forward(queries));

        let attention = &self.cross_attn_image_to_token;
        let attended = attention.attend(
            image.queries,
            attention.keys(queries.clone() + position.clone()),
            attention.values(queries.clone()),
        );
        (queries, self.norm4.forward(keys + attended))
    }
}

/// Multi-head attention with separate projections, at the width of the tokens or less.
#[derive(Module, Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    num_heads: usize,
}

impl Attention {
    fn load(weights: &Weights<'_>, config: TwoWayTransformerConfig, width: usize) -> Self {
        let inward = |name: &str| Linear::load(&weights.scope(name), config.embedding_dim, width);
        Self {
            q_proj: inward("q_proj"),
            k_proj: inward("k_proj"),
            v_proj: inward("v_proj"),
            out_proj: Linear::load(&weights.scope("out_proj"), width, config.embedding_dim),
            num_heads: config.num_heads,
        }
    }

    /// At half the width of the tokens, as between prompt and image.
    fn load_half(weights: &Weights<'_>, config: TwoWayTransformerConfig) -> Self {
        Self::load(weights, config, config.embedding_dim / 2)
    }

    /// Self-attention of `values`, with `positioned` for queries and keys.
    fn forward(&self, positioned: Tensor<3>, values: Tensor<3>) -> Tensor<3> {
        self.attend(self.queries(positioned.clone()), self.keys(positioned), self.values(values))
    }

    fn queries(&self, x: Tensor<3>) -> Tensor<4> {
        self.split_heads(self.q_proj.forward(x))
    }

    fn keys(&self, x: Tensor<3>) -> Tensor<4> {
        self.split_heads(self.k_proj.forward(x))
    }

    fn values(&self, x: Tensor<3>) -> Tensor<4> {
        self.split_heads(self.v_proj.forward(x))
    }

    /// # Shapes
    /// - x: `[batch, tokens, width]`
    /// - output: `[batch, heads, tokens, head width]`
    fn split_heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, tokens, width] = x.dims();
        x.reshape([batch, tokens, self.num_heads, width / self.num_heads]).swap_dims(1, 2)
    }

    /// # Shapes
    /// - queries: `[batch or 1, heads, queries, head width]`
    /// - keys, values: `[batch or 1, heads, keys, head width]`
    /// - output: `[batch, queries, embedding width]`
    fn attend(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>) -> Tensor<3> {
        let [_, heads, _, head_width] = queries.dims();
        let scale = (head_width as f64).powf(-0.5);
        let weights = activation::softmax(queries.matmul(keys.transpose()) * scale, 3);
        let [batch, _, tokens, _] = weights.dims();
        let attended = weights.matmul(values).swap_dims(1, 2).reshape([batch, tokens, heads * head_width]);
        self.out_proj.forward(attended)
    }
}
