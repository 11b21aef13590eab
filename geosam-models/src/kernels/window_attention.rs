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

mod tiled;

use burn::tensor::{Int, Tensor, activation};
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
    /// Of the products; softmax and sums are in f32 in any case.
    pub(crate) precision: Precision,
}

/// softmax(q kᵀ / √d + position) v within each window. Where a window reaches over the edge of the grid, its tokens there
/// have the query, key and value `filling`, and take part unmasked.
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
    profile::operator(describe, || match tiled::window_attention(&qkv, &filling, &position, attention) {
        Some(attended) => attended,
        None => by_operators(qkv, filling, position, attention),
    })
}

/// With burn's operators, every window and logit in memory.
fn by_operators(
    qkv: Tensor<4>,
    filling: Tensor<1>,
    position: Position,
    WindowAttention { heads, window, order, pool, precision: _ }: WindowAttention,
) -> Tensor<4> {
    let [batch, height, width, fused] = qkv.dims();
    let depth = fused / (3 * heads);
    let [rows, columns] = [height.div_ceil(window), width.div_ceil(window)];
    let [padded_height, padded_width] = [rows * window, columns * window];
    let (windows, tokens) = (batch * rows * columns, window * window);

    let padded = filling
        .reshape([1, 1, 1, fused])
        .expand([batch, padded_height, padded_width, fused])
        .slice_assign([0..batch, 0..height, 0..width, 0..fused], qkv);
    let fused = padded
        .reshape([batch, rows, window, columns, window, fused])
        .permute([0, 1, 3, 2, 4, 5])
        .reshape([windows, tokens, fused]);
    let parts = match order {
        QkvOrder::PartMajor => fused.reshape([windows, tokens, 3, heads, depth]),
        QkvOrder::HeadMajor => fused.reshape([windows, tokens, heads, 3, depth]).swap_dims(2, 3),
    };
    let [q, k, v] = [0, 1, 2].map(|part| parts.clone().narrow(2, part, 1).squeeze_dim::<4>(2).swap_dims(1, 2));

    let side = window / pool;
    let q = q.reshape([windows * heads * side, pool, side, pool * depth]).max_dim(1);
    let q = q.reshape([windows * heads * side * side, pool, depth]).max_dim(1);
    let q = q.reshape([windows, heads, side * side, depth]);

    let scale = (depth as f64).powf(-0.5);
    let logits = match position {
        Position::Unknown => (q * scale).matmul(k.transpose()),
        Position::Rotary { cos, sin } => {
            (turned(q, cos.clone(), sin.clone()) * scale).matmul(turned(k, cos, sin).transpose())
        }
        Position::Dense(bias) => (q * scale).matmul(k.transpose()) + bias.unsqueeze(),
        Position::Relative { rows, columns } => {
            (q.clone() * scale).matmul(k.transpose()) + relative_bias(q, rows, columns, window)
        }
    };
    activation::softmax(logits, 3)
        .matmul(v)
        .reshape([batch, rows, columns, heads, side, side, depth])
        .permute([0, 1, 4, 2, 5, 3, 6])
        .reshape([batch, padded_height / pool, padded_width / pool, heads * depth])
        .slice([0..batch, 0..height / pool, 0..width / pool])
}

/// # Shapes
/// - x: `[windows, heads, window², depth]`
/// - output: the same
fn turned(x: Tensor<4>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<4> {
    let [windows, heads, tokens, depth] = x.dims();
    let pairs = x.reshape([windows, heads, tokens, depth / 2, 2]);
    let [a, b] = [0, 1].map(|index| pairs.clone().narrow(4, index, 1).squeeze_dim::<4>(4));
    let (cos, sin) = (cos.unsqueeze::<4>(), sin.unsqueeze::<4>());
    let turned = [a.clone() * cos.clone() - b.clone() * sin.clone(), a * sin + b * cos];
    Tensor::stack::<5>(turned.to_vec(), 4).reshape([windows, heads, tokens, depth])
}

/// # Shapes
/// - q: `[windows, heads, window², depth]`
/// - output: `[windows, heads, window², window²]`
fn relative_bias(q: Tensor<4>, rows: Tensor<2>, columns: Tensor<2>, window: usize) -> Tensor<4> {
    let [windows, heads, tokens, depth] = q.dims();
    let batch = windows * heads;
    let distances: Vec<i32> = (0..tokens).map(|i| (i / window + window - 1) as i32 - (i % window) as i32).collect();
    let distances = Tensor::<1, Int>::from_ints(distances.as_slice(), &q.device());
    let table = |t: Tensor<2>| t.select(0, distances.clone()).reshape([1, window, window, depth]).transpose();
    let q = q.reshape([batch, window, window, depth]);
    let by_row = q.clone().matmul(table(rows)).reshape([batch, window, window, window, 1]);
    let by_column =
        q.swap_dims(1, 2).matmul(table(columns)).swap_dims(1, 2).reshape([batch, window, window, 1, window]);
    (by_row + by_column).reshape([windows, heads, tokens, tokens])
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
        let expected = by_operators(qkv.clone(), filling.clone(), position.clone(), attention).into_data();
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
