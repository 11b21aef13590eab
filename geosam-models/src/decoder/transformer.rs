//! The two-way transformer of the mask decoder: prompt tokens and image tokens attend to each other.
//!
//! Upstream: `segment_anything/modeling/transformer.py`, `sam2/modeling/sam/transformer.py`.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::kernels::{self, Affine, AttentionToPrompt, ProjectedImage, Queries};
use crate::nn::{Activation, LayerNorm, Linear, Mlp, assert_shape};
use crate::profile;
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

    /// Two layers, as in every published model.
    pub(crate) const fn published(embedding_dim: usize, mlp_layers: [&'static str; 2]) -> Self {
        Self { depth: 2, embedding_dim, num_heads: Self::HEADS, mlp_dim: 2048, mlp_layers }
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

    /// The same image for many prompts: what depends on it alone in the first layer is computed now.
    pub(crate) fn project(&self, image: ImageTokens) -> ImageTokens {
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
        self.attend(
            self.split_heads(self.q_proj.forward(positioned.clone())),
            self.split_heads(self.k_proj.forward(positioned)),
            self.split_heads(self.v_proj.forward(values)),
        )
    }

    /// Prompt tokens attend to the image.
    ///
    /// # Shapes
    /// - positioned: `[batch, prompt tokens, width]`
    /// - output: the same
    fn token_to_image(&self, positioned: Tensor<3>, image: &ImageTokens) -> Tensor<3> {
        let [batch, tokens, width] = positioned.dims();
        let queries = self.split_heads(self.q_proj.forward(positioned));
        if let Some(projected) = &image.projected {
            let describe = || cross_attention("token to projected image", batch * tokens, 2 * self.width(), image);
            let attend = || kernels::attend_to_projected_image(queries * self.scale(), &projected.image);
            return self.out_proj.forward(self.merge_heads(profile::operator(describe, attend)));
        }
        if !self.folding_pays(batch, tokens) {
            let keys = self.split_heads(self.k_proj.forward(image.positioned()));
            return self.attend(queries, keys, self.split_heads(self.v_proj.forward(image.features.clone())));
        }
        let folded = self.num_heads * tokens;
        let values = profile::operator(
            || cross_attention("token to image", folded, 2 * width, image),
            || {
                // The bias of the keys would shift all weights of a query alike, which softmax undoes.
                let queries = queries.matmul(self.k_proj.weight.val().reshape(self.per_head(width))) * self.scale();
                let queries = queries.reshape([batch, folded, width]);
                let gathered = kernels::attend_to_image(queries, image.features.clone(), image.position.clone());
                let values = self.v_proj.weight.val().reshape(self.per_head(width)).transpose();
                gathered.reshape([batch, self.num_heads, tokens, width]).matmul(values)
            },
        );
        // Weights sum to one, so the bias of the values can follow them.
        self.out_proj.forward(self.merge_heads(values) + self.v_proj.bias.val().unsqueeze::<3>())
    }

    /// The image tokens, with what they attend to among the prompt tokens, normed.
    ///
    /// # Shapes
    /// - positioned, tokens: `[batch, prompt tokens, width]`, with and without their positional code
    /// - output: `[batch, image tokens, width]`
    fn image_to_token(
        &self,
        image: &ImageTokens,
        positioned: Tensor<3>,
        tokens: Tensor<3>,
        norm: &LayerNorm,
    ) -> Tensor<3> {
        let [batch, count, width] = tokens.dims();
        let keys = self.split_heads(self.k_proj.forward(positioned));
        let values = self.split_heads(self.v_proj.forward(tokens));
        if !self.folding_pays(batch, count) {
            let queries = match &image.projected {
                Some(projected) => projected.queries.clone(),
                None => self.q_proj.forward(image.positioned()),
            };
            let attended = self.attend(self.split_heads(queries), keys, values);
            return norm.forward(image.features.clone() + attended);
        }
        let (heads, folded) = (self.num_heads, self.num_heads * count);
        let outputs = self.out_proj.weight.val().transpose().reshape(self.per_head(width));
        let keys = keys * self.scale();
        let (name, queries, inputs) = match &image.projected {
            Some(projected) => {
                ("projected image to token", Queries::Projected(projected.queries.clone()), self.width())
            }
            None => ("image to token", Queries::Positioned(image.position.clone()), width),
        };
        profile::operator(
            || cross_attention(name, folded, inputs + width, image),
            || {
                // Two linear layers of the image tokens, with weights that come from the prompt.
                let (folding, offsets) = match queries {
                    Queries::Projected(_) => (self.apart(keys), Tensor::zeros([folded], &values.device())),
                    Queries::Positioned(_) => {
                        let bias = self.q_proj.bias.val().reshape([1, heads, self.width() / heads, 1]);
                        let offsets = keys.clone().matmul(bias).reshape([folded]);
                        let keys = keys.matmul(self.q_proj.weight.val().reshape(self.per_head(width)));
                        (keys.reshape([folded, width]), offsets)
                    }
                };
                let values = values.matmul(outputs).reshape([folded, width]).transpose();
                let unfolding = Affine::new(values, self.out_proj.bias.val());
                let folding = Affine::new(kernels::by_columns(folding), offsets);
                let attention = AttentionToPrompt { folding, heads, unfolding, norm: norm.fused() };
                kernels::attend_to_prompt(image.features.clone(), queries, attention)
            },
        )
    }

    /// Each head's channels in columns of their own, zeros in those of the others.
    ///
    /// # Shapes
    /// - x: `[1, heads, tokens, head width]`
    /// - output: `[heads·tokens, heads·head width]`
    fn apart(&self, x: Tensor<4>) -> Tensor<2> {
        let [_, heads, tokens, head] = x.dims();
        let own = Tensor::<2>::eye(heads, &x.device()).reshape([heads, 1, heads, 1]);
        (x.reshape([heads, tokens, 1, head]) * own).reshape([heads * tokens, heads * head])
    }

    /// Whether this is a single prompt with few enough tokens to bring them into the space of the image tokens, head
    /// by head, instead of all image tokens into the smaller space of the attention: q·(K W) = (q Wᵀ)·K. It is the same
    /// attention but for rounding; with the seven tokens of a click it takes less than half the work, and the large
    /// tensors are never rearranged.
    fn folding_pays(&self, batch: usize, tokens: usize) -> bool {
        batch == 1 && self.num_heads * tokens <= self.width()
    }

    /// Channels of all heads together.
    fn width(&self) -> usize {
        let [width, _] = self.q_proj.weight.dims();
        width
    }

    /// Shape of a projection from `inputs` channels, head by head.
    fn per_head(&self, inputs: usize) -> [usize; 4] {
        [1, self.num_heads, self.width() / self.num_heads, inputs]
    }

    fn scale(&self) -> f64 {
        ((self.width() / self.num_heads) as f64).powf(-0.5)
    }

    /// # Shapes
    /// - x: `[batch, tokens, width]`
    /// - output: `[batch, heads, tokens, head width]`
    fn split_heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, tokens, width] = x.dims();
        x.reshape([batch, tokens, self.num_heads, width / self.num_heads]).swap_dims(1, 2)
    }

    /// # Shapes
    /// - x: `[batch, heads, tokens, head width]`
    /// - output: `[batch, tokens, width]`
    fn merge_heads(&self, x: Tensor<4>) -> Tensor<3> {
        let [batch, heads, tokens, head_width] = x.dims();
        x.swap_dims(1, 2).reshape([batch, tokens, heads * head_width])
    }

    /// # Shapes
    /// - queries: `[batch or 1, heads, queries, head width]`
    /// - keys, values: `[batch or 1, heads, keys, head width]`
    /// - output: `[batch, queries, embedding width]`
    fn attend(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>) -> Tensor<3> {
        let weights = kernels::softmax(queries.matmul(keys.transpose()) * self.scale());
        self.out_proj.forward(self.merge_heads(weights.matmul(values)))
    }
}

/// Name and operations of an attention of `rows` rows, one for each token of a prompt or for each of its heads: two
/// products whose other sides are `widths` wide together.
fn cross_attention(name: &str, rows: usize, widths: usize, image: &ImageTokens) -> (String, f64) {
    let [_, pixels, _] = image.features.dims();
    (name.to_string(), 2.0 * (rows * pixels * widths) as f64)
}
