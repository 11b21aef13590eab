//! Attention among prompt tokens, and between them and the image.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{ImageTokens, TwoWayTransformerConfig};
use crate::kernels::{self, Affine, AttentionToPrompt, Queries};
use crate::nn::{LayerNorm, Linear};
use crate::profile;
use crate::weights::Weights;

/// Multi-head attention with separate projections, at the width of the tokens or less.
#[derive(Module, Debug)]
pub(super) struct Attention {
    pub(super) q_proj: Linear,
    pub(super) k_proj: Linear,
    pub(super) v_proj: Linear,
    out_proj: Linear,
    num_heads: usize,
}

impl Attention {
    pub(super) fn load(weights: &Weights<'_>, config: TwoWayTransformerConfig, width: usize) -> Self {
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
    pub(super) fn load_half(weights: &Weights<'_>, config: TwoWayTransformerConfig) -> Self {
        Self::load(weights, config, config.embedding_dim / 2)
    }

    /// Self-attention of `values`, with `positioned` for queries and keys.
    pub(super) fn forward(&self, positioned: Tensor<3>, values: Tensor<3>) -> Tensor<3> {
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
    pub(super) fn token_to_image(&self, positioned: Tensor<3>, image: &ImageTokens) -> Tensor<3> {
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
    pub(super) fn image_to_token(
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
            // Each row of the folding has the channels of one head, and zeros.
            Some(projected) => {
                ("projected image to token", Queries::Projected(projected.queries.clone()), self.width() / heads)
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
