//! Self-attention within the square windows of a token grid.

mod tiled;

use burn::tensor::{Int, Tensor, activation};

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

/// What is added to the logit of a query and a key according to where the two lie.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // short-lived, one at a time
pub(crate) enum PositionBias {
    /// Query · `rows[Δy + window - 1]` + query · `columns[Δx + window - 1]`, where Δ = query - key; the query is not
    /// scaled. Both tables are `[2·window - 1, channels of a head]`.
    Relative { rows: Tensor<2>, columns: Tensor<2> },
    /// A number for each head, query and key: `[heads, window², window²]`.
    Dense(Tensor<3>),
}

/// Geometry of [`window_attention`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowAttention {
    pub(crate) heads: usize,
    /// Side of a window in tokens. Windows start at the top left; the last ones may reach over the grid's edge.
    pub(crate) window: usize,
    pub(crate) order: QkvOrder,
}

/// softmax(q kᵀ / √d + bias) v within each window. Where a window reaches over the edge of the grid, its tokens there
/// have the query, key and value `filling`, and take part unmasked.
///
/// # Shapes
/// - qkv: `[batch, height, width, 3·channels]`
/// - filling: `[3·channels]`
/// - output: `[batch, height, width, channels]`
pub(crate) fn window_attention(
    qkv: Tensor<4>,
    filling: Tensor<1>,
    bias: PositionBias,
    attention: WindowAttention,
) -> Tensor<4> {
    let [batch, height, width, fused] = qkv.dims();
    assert_shape!(filling, [fused]);
    let describe = || {
        let window = attention.window;
        let products = batch * height * width * fused / 3 * 2 * window * window;
        (format!("attention {window}×{window}, {} heads", attention.heads), 2.0 * products as f64)
    };
    profile::operator(describe, || match tiled::window_attention(&qkv, &filling, &bias, attention) {
        Some(attended) => attended,
        None => by_operators(qkv, filling, bias, attention),
    })
}

/// With burn's operators, every window and logit in memory.
fn by_operators(
    qkv: Tensor<4>,
    filling: Tensor<1>,
    bias: PositionBias,
    WindowAttention { heads, window, order }: WindowAttention,
) -> Tensor<4> {
    let [batch, height, width, fused] = qkv.dims();
    let depth = fused / (3 * heads);
    let [rows, columns] = [height.div_ceil(window), width.div_ceil(window)];
    let [padded_height, padded_width] = [rows * window, columns * window];
    let tokens = window * window;

    let padded = filling
        .reshape([1, 1, 1, fused])
        .expand([batch, padded_height, padded_width, fused])
        .slice_assign([0..batch, 0..height, 0..width, 0..fused], qkv);
    let windows = padded.reshape([batch, rows, window, columns, window, fused]).permute([0, 1, 3, 2, 4, 5]).reshape([
        batch * rows * columns,
        tokens,
        fused,
    ]);
    let parts = match order {
        QkvOrder::PartMajor => windows.reshape([0, tokens as i32, 3, heads as i32, depth as i32]),
        QkvOrder::HeadMajor => windows.reshape([0, tokens as i32, heads as i32, 3, depth as i32]).swap_dims(2, 3),
    };
    let [q, k, v] = [0, 1, 2].map(|part| parts.clone().narrow(2, part, 1).squeeze_dim::<4>(2).swap_dims(1, 2));

    let bias = match bias {
        PositionBias::Relative { rows, columns } => relative_bias(q.clone(), rows, columns, window),
        PositionBias::Dense(bias) => bias.unsqueeze(),
    };
    let logits = q.mul_scalar((depth as f64).powf(-0.5)).matmul(k.transpose()) + bias;
    activation::softmax(logits, 3)
        .matmul(v)
        .reshape([batch, rows, columns, heads, window, window, depth])
        .permute([0, 1, 4, 2, 5, 3, 6])
        .reshape([batch, padded_height, padded_width, heads * depth])
        .slice([0..batch, 0..height, 0..width])
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
    use crate::sam::golden::{input, relative_error};

    /// Measured: at most 1.2e-6, with 1369 keys.
    const TOLERANCE: f64 = 2e-6;

    fn check(grid: [usize; 2], window: usize, heads: usize, depth: usize, order: QkvOrder, relative: bool) {
        let qkv = input("qkv", [2, grid[0], grid[1], 3 * heads * depth], 2.0);
        let filling = input("filling", [3 * heads * depth], 2.0);
        let table = |name| input(name, [2 * window - 1, depth], 1.0);
        let bias = if relative {
            PositionBias::Relative { rows: table("rows"), columns: table("columns") }
        } else {
            PositionBias::Dense(input("bias", [heads, window.pow(2), window.pow(2)], 3.0))
        };
        let attention = WindowAttention { heads, window, order };
        let expected = by_operators(qkv.clone(), filling.clone(), bias.clone(), attention).into_data();
        let expected = expected.try_into_vec::<f32>().expect("computed in f32");
        let actual = window_attention(qkv, filling, bias, attention);
        let error = relative_error(actual, &expected);
        assert!(error < TOLERANCE, "{grid:?} {attention:?} {relative}: {error}");
    }

    #[test]
    fn agrees_with_burn() {
        for order in [QkvOrder::PartMajor, QkvOrder::HeadMajor] {
            for relative in [true, false] {
                check([6, 6], 3, 2, 8, order, relative);
                check([7, 5], 3, 2, 16, order, relative);
                check([17, 16], 17, 1, 5, order, relative);
            }
        }
        // Several blocks of keys.
        check([40, 37], 40, 1, 8, QkvOrder::PartMajor, true);
    }
}
