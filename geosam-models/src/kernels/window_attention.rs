//! Self-attention within the square windows of a token grid.
//!
//! Costs 4·tokens·window²·channels operations, a quarter of it with queries of 2×2 tokens pooled to one. Of
//! `benches/encoder.rs`, two cores, share of the peak measured in the same run:
//!
//! | window | f32 | bf16 |
//! |---|--:|--:|
//! | 64×64, 72×72 | 65–70 % | 57–64 % |
//! | 24×24 | 59 % | 46 % |
//! | 14×14, 16×16 | 22–54 % | 12–38 % |
//! | 7×7, 8×8 | 12–32 % | 6–20 % |
//! | 4×4 | 3–12 % | 1–6 % |
//!
//! The smaller a window, the more of the time goes into gathering it and into short rows of logits.

#[cfg(feature = "train")]
mod differentiable;
mod operators;
mod tiled;

use burn::tensor::Tensor;
use geosam_core::Precision;

use crate::nn::assert_shape;
use crate::profile;

/// How a fused projection lays out the queries, keys and values of its heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QkvOrder {
    /// `[part, head, channel]`: the queries of all heads, then the keys, then the values.
    PartMajor,
    /// `[head, part, channel]`: query, key and value of one head, then those of the next.
    HeadMajor,
}

/// How the logit of a query and a key depends on where the two lie.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // short-lived, one at a time
pub(crate) enum Position {
    /// Query · `rows[Δy + window - 1]` + query · `columns[Δx + window - 1]` is added, where Δ = query - key; the query
    /// is not scaled. Both tables are `[2·window - 1, channels of a head]`.
    Relative { rows: Tensor<2>, columns: Tensor<2> },
    /// A number for each head, query and key is added: `[heads, window², window²]`.
    Dense(Tensor<3>),
    /// Channels 2i and 2i + 1 of queries and keys are turned, as a vector of the plane, by the angle of their token:
    /// `[window², channels of a head / 2]`: <https://arxiv.org/abs/2104.09864>.
    Rotary { cos: Tensor<2>, sin: Tensor<2> },
    /// Not at all.
    Unknown,
}

/// Geometry of [`window_attention`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowAttention {
    pub(crate) heads: usize,
    /// Side of a window in tokens. Windows start at the top left; the last ones may reach over the grid's edge.
    pub(crate) window: usize,
    pub(crate) order: QkvOrder,
    /// Side of the squares of tokens whose queries are made one, by their maximum in each channel; 1 for every token
    /// its own. The sides of grid and windows are multiples of it. More than 1 only with [`Position::Unknown`].
    pub(crate) pool: usize,
    /// Of the products on the CPU; softmax and sums are in f32 in any case.
    pub(crate) precision: Precision,
}

/// softmax(q kᵀ / √d + position) v within each window. Where a window reaches over the edge of the grid, its tokens there
/// have the query, key and value `filling`, and take part unmasked.
///
/// On a GPU queries, keys and values may be in half precision; so is the output then.
///
/// # Shapes
/// - qkv: `[batch, height, width, 3·channels]`
/// - filling: `[3·channels]`
/// - output: `[batch, height / pool, width / pool, channels]`
pub(crate) fn window_attention(
    qkv: Tensor<4>,
    filling: Tensor<1>,
    position: Position,
    attention: WindowAttention,
) -> Tensor<4> {
    let [batch, height, width, fused] = qkv.dims();
    assert_shape!(filling, [fused]);
    let pool = attention.pool;
    assert!(pool == 1 || matches!(position, Position::Unknown), "pooled queries have no position");
    assert!([height, width, attention.window].iter().all(|side| side.is_multiple_of(pool)), "{attention:?}");
    let describe = || {
        let window = attention.window;
        let products = batch * height * width * fused / 3 * 2 * window * window / (pool * pool);
        (format!("attention {window}×{window}, {} heads", attention.heads), 2.0 * products as f64)
    };
    profile::operator(describe, || {
        #[cfg(feature = "train")]
        if let Position::Unknown = position
            && let Some(attended) = differentiable::window_attention(&qkv, &filling, attention)
        {
            return attended;
        }
        match tiled::window_attention(&qkv, &filling, &position, attention) {
            Some(attended) => attended,
            None => operators::window_attention(qkv, filling, position, attention),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 1.2e-6, with 1600 keys.
    const TOLERANCE: f64 = 2e-6;
    /// Queries, keys, weights and values are rounded to eight bits. Measured: at most 3.7e-3.
    const BF16_TOLERANCE: f64 = 6e-3;

    fn check(grid: [usize; 2], heads: usize, depth: usize, attention: WindowAttention, position: &Position) {
        let qkv = input("qkv", [2, grid[0], grid[1], 3 * heads * depth], 2.0);
        let filling = input("filling", [3 * heads * depth], 2.0);
        let expected =
            operators::window_attention(qkv.clone(), filling.clone(), position.clone(), attention).into_data();
        let expected = expected.try_into_vec::<f32>().expect("computed in f32");
        let actual = window_attention(qkv.clone(), filling.clone(), position.clone(), attention);
        let error = relative_error(actual, &expected);
        assert!(error < TOLERANCE, "{grid:?} {attention:?} {position:?}: {error}");
        let attention = WindowAttention { precision: Precision::Bf16, ..attention };
        let error = relative_error(window_attention(qkv, filling, position.clone(), attention), &expected);
        assert!(error < BF16_TOLERANCE, "{grid:?} {attention:?} {position:?}: {error}");
    }

    #[test]
    fn agrees_with_burn() {
        // The last grid has several blocks of keys.
        for (grid, window, heads, depth) in
            [([6, 6], 3, 2, 8), ([7, 5], 3, 2, 16), ([17, 16], 17, 1, 6), ([40, 37], 40, 1, 8)]
        {
            let tokens = window * window;
            let relative = |name| input(name, [2 * window - 1, depth], 1.0);
            let rotary = |name| input(name, [tokens, depth / 2], 1.0);
            for order in [QkvOrder::PartMajor, QkvOrder::HeadMajor] {
                let attention = WindowAttention { heads, window, order, pool: 1, precision: Precision::F32 };
                for position in [
                    Position::Relative { rows: relative("rows"), columns: relative("columns") },
                    Position::Dense(input("bias", [heads, tokens, tokens], 3.0)),
                    Position::Rotary { cos: rotary("cos"), sin: rotary("sin") },
                    Position::Unknown,
                ] {
                    check(grid, heads, depth, attention, &position);
                }
            }
        }
    }

    #[test]
    fn pooled_queries_agree_with_burn() {
        for (grid, window, heads, depth) in [([8, 8], 4, 2, 8), ([10, 6], 4, 2, 5), ([36, 34], 36, 1, 8)] {
            let attention =
                WindowAttention { heads, window, order: QkvOrder::PartMajor, pool: 2, precision: Precision::F32 };
            check(grid, heads, depth, attention, &Position::Unknown);
        }
    }
}
