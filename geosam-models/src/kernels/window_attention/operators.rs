//! Attention within windows with burn's operators, for GPUs.
//!
//! Where the device has f16 tensor cores, and queries, keys and values are in half precision, burn has a kernel that keeps
//! no logits ("flash"). It takes neither a bias nor a scale, so both are folded into queries and keys, and serves a whole
//! number of squares of its matrix units, so sizes are rounded up. Everywhere else logits are in memory, in f32 and a
//! bounded number of them at a time: in half precision their range does not suffice.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Int, Tensor, module};

use super::{Position, QkvOrder, WindowAttention};
use crate::device::has_flash_attention;
use crate::kernels::cast::in_type;
use crate::kernels::softmax::softmax_by_operators;

/// Bytes of logits that are in memory at a time.
const LOGITS: usize = 256 << 20;
/// Queries in whole numbers of which every flash kernel fits that burn tries: 2, 4 or 8 planes of 16. One that does not fit is
/// timed, and kept if it is fast, as burn's fallback, whose logits are in half precision.
const QUERIES: usize = 128;
/// Channels that it takes at a time.
const CHANNELS: usize = 16;

/// What is added to the logits.
#[allow(clippy::large_enum_variant)] // short-lived, one at a time
enum Bias {
    Nothing,
    /// `[heads, queries, keys]`
    Dense(Tensor<3>),
    /// A number for each query and row of keys, and one for each query and column of keys: `[windows, heads, queries,
    /// window]` both.
    Axes {
        by_row: Tensor<4>,
        by_column: Tensor<4>,
    },
}

/// See [`super::window_attention`].
pub(super) fn window_attention(
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

    let padded = if [padded_height, padded_width] == [height, width] {
        qkv
    } else {
        filling
            .reshape([1, 1, 1, fused])
            .expand([batch, padded_height, padded_width, fused])
            .slice_assign([0..batch, 0..height, 0..width, 0..fused], qkv)
    };
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
    let q = if pool == 1 {
        q
    } else {
        let q = q.reshape([windows * heads * side, pool, side, pool * depth]).max_dim(1);
        let q = q.reshape([windows * heads * side * side, pool, depth]).max_dim(1);
        q.reshape([windows, heads, side * side, depth])
    };

    let dtype = v.dtype();
    let [q, k] = [q, k].map(|x| in_type(x, DType::F32));
    let (q, k, bias) = match position {
        Position::Unknown => (q, k, Bias::Nothing),
        Position::Rotary { cos, sin } => (turned(q, cos.clone(), sin.clone()), turned(k, cos, sin), Bias::Nothing),
        Position::Dense(bias) => (q, k, Bias::Dense(bias)),
        Position::Relative { rows, columns } => {
            let bias = relative_bias(q.clone(), rows, columns, window);
            (q, k, bias)
        }
    };
    let flash = dtype != DType::F32 && fits_flash(side * side, depth, &bias) && has_flash_attention(&v.device());
    let attended = if flash {
        let [q, k] = folded(q, k, bias).map(|x| in_type(x, DType::F16));
        in_type(without_logits(q, k, in_type(v, DType::F16)), dtype)
    } else {
        with_logits(&q, &k, &v, &bias)
    };
    attended
        .reshape([batch, rows, columns, heads, side, side, depth])
        .permute([0, 1, 4, 2, 5, 3, 6])
        .reshape([batch, padded_height / pool, padded_width / pool, heads * depth])
        .slice([0..batch, 0..height / pool, 0..width / pool])
}

/// Whether the kernel without logits is the only one that burn considers. Of no more queries than channels, both rounded up to
/// powers of two, it also considers one with logits, which in half precision do not last.
fn fits_flash(queries: usize, depth: usize, bias: &Bias) -> bool {
    let rounded = |queries: usize| queries.next_multiple_of(QUERIES).next_power_of_two();
    let is_wide = |channels: usize| rounded(queries) <= channels.next_power_of_two();
    let is_dense = matches!(bias, Bias::Dense(_));
    // Small windows would be mostly filling.
    queries >= QUERIES && !is_dense && !is_wide(folded_width(depth, bias))
}

/// Channels of queries and keys into which a bias is folded.
fn folded_width(depth: usize, bias: &Bias) -> usize {
    let added = match bias {
        Bias::Axes { by_row, .. } => 2 * by_row.dims()[3],
        Bias::Nothing | Bias::Dense(_) => 0,
    };
    (depth + added).next_multiple_of(CHANNELS)
}

/// softmax(q kᵀ / √d + bias) v, a block of queries after the other.
///
/// # Shapes
/// - q: `[windows, heads, queries, depth]`, in f32
/// - k, v: `[windows, heads, keys, depth]`, the keys in f32
/// - output: `[windows, heads, queries, depth]`, of the type of the values
fn with_logits(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, bias: &Bias) -> Tensor<4> {
    let [windows, heads, queries, depth] = q.dims();
    let [_, _, keys, _] = k.dims();
    let scale = (depth as f64).powf(-0.5);
    let transposed = k.clone().transpose();
    let attend = |first: usize, count: usize| {
        let rows = |x: &Tensor<4>| if count == queries { x.clone() } else { x.clone().narrow(2, first, count) };
        let products = (rows(q) * scale).matmul(transposed.clone());
        let logits = match bias {
            Bias::Nothing => products,
            Bias::Dense(bias) => products + rows(&bias.clone().unsqueeze::<4>()),
            Bias::Axes { by_row, by_column } => {
                let side = keys.isqrt();
                let by_row = rows(by_row).reshape([windows * heads, count, side, 1]);
                let by_column = rows(by_column).reshape([windows * heads, count, 1, side]);
                products + (by_row + by_column).reshape([windows, heads, count, keys])
            }
        };
        in_type(softmax_by_operators(logits), v.dtype()).matmul(v.clone())
    };
    let block = (LOGITS / (size_of::<f32>() * windows * heads * keys)).clamp(1, queries);
    let blocks = (0..queries).step_by(block).map(|first| attend(first, block.min(queries - first)));
    let mut blocks: Vec<_> = blocks.collect();
    if blocks.len() == 1 { blocks.remove(0) } else { Tensor::cat(blocks, 2) }
}

/// Queries and keys whose products by burn's scale, one over the root of their channels, are q kᵀ / √d + bias: the numbers of
/// a query go beside its channels, and keys are marked by row and column.
///
/// # Shapes
/// - q, k: as [`with_logits`]
/// - output: the same with more channels, a whole number of [`CHANNELS`]
fn folded(q: Tensor<4>, k: Tensor<4>, bias: Bias) -> [Tensor<4>; 2] {
    let [windows, heads, _, depth] = q.dims();
    let width = folded_width(depth, &bias);
    let (more_q, more_k) = match bias {
        Bias::Nothing => (None, None),
        Bias::Axes { by_row, by_column } => {
            let [_, _, _, side] = by_row.dims();
            let marks = marks(side, &k).expand([windows, heads, side * side, 2 * side]);
            (Some(Tensor::cat(vec![by_row, by_column], 3)), Some(marks))
        }
        Bias::Dense(_) => unreachable!("a bias for every query and key cannot be folded"),
    };
    let mut q = vec![q * (width as f64 / depth as f64).sqrt()];
    q.extend(more_q.map(|more| more * (width as f64).sqrt()));
    let k = std::iter::once(k).chain(more_k).collect();
    [Tensor::cat(q, 3), Tensor::cat(k, 3)].map(|x| filled_up(x, 3, CHANNELS))
}

/// For each key of a window a one at its row, and one at its column.
///
/// # Shapes
/// - output: `[1, 1, side², 2·side]`, on the device of `like`
fn marks(side: usize, like: &Tensor<4>) -> Tensor<4> {
    let places = Tensor::<1, Int>::arange(0..side as i64, &like.device());
    let one =
        places.clone().reshape([side, 1]).expand([side, side]).equal(places.reshape([1, side]).expand([side, side]));
    let one = in_type(one.float(), like.dtype());
    let by_row = one.clone().reshape([side, 1, side]).expand([side, side, side]);
    let by_column = one.reshape([1, side, side]).expand([side, side, side]);
    Tensor::cat(vec![by_row, by_column], 2).reshape([1, 1, side * side, 2 * side])
}

/// softmax(q kᵀ / √channels of a query) v by a kernel that keeps no logits.
///
/// # Shapes
/// - q: `[windows, heads, queries, channels]`
/// - k: `[windows, heads, keys, channels]`
/// - v: `[windows, heads, keys, depth]`
/// - output: `[windows, heads, queries, depth]`
fn without_logits(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
    let ([windows, heads, queries, _], [_, _, _, depth]) = (q.dims(), v.dims());
    let (q, v) = (filled_up(q, 2, QUERIES), filled_up(v, 3, CHANNELS));
    let attended = module::attention(q, k, v, None, None, AttentionModuleOptions::default());
    attended.slice([0..windows, 0..heads, 0..queries, 0..depth])
}

/// `x` with zeros behind it, up to a multiple of `unit` on the axis `axis`.
fn filled_up(x: Tensor<4>, axis: usize, unit: usize) -> Tensor<4> {
    let mut dims = x.dims();
    let missing = dims[axis].next_multiple_of(unit) - dims[axis];
    if missing == 0 {
        return x;
    }
    dims[axis] = missing;
    let zeros = Tensor::zeros(dims, (&x.device(), x.dtype()));
    Tensor::cat(vec![x, zeros], axis)
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
fn relative_bias(q: Tensor<4>, rows: Tensor<2>, columns: Tensor<2>, window: usize) -> Bias {
    let [windows, heads, tokens, depth] = q.dims();
    let batch = windows * heads;
    let distances: Vec<i32> = (0..tokens).map(|i| (i / window + window - 1) as i32 - (i % window) as i32).collect();
    let distances = Tensor::<1, Int>::from_ints(distances.as_slice(), &q.device());
    let table = |t: Tensor<2>| t.select(0, distances.clone()).reshape([1, window, window, depth]).transpose();
    let q = q.reshape([batch, window, window, depth]);
    let by_row = q.clone().matmul(table(rows));
    let by_column = q.swap_dims(1, 2).matmul(table(columns)).swap_dims(1, 2);
    let [by_row, by_column] = [by_row, by_column].map(|x| x.reshape([windows, heads, tokens, window]));
    Bias::Axes { by_row, by_column }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{input, relative_error};

    /// Measured: at most 4.4e-7.
    const TOLERANCE: f64 = 5e-6;

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("computed in f32")
    }

    #[test]
    fn what_is_folded_into_queries_and_keys_is_what_is_added_to_logits() {
        for (window, heads, depth) in [(3, 2, 8), (7, 1, 20), (14, 2, 32)] {
            let tokens = window * window;
            let [q, k, v] = ["q", "k", "v"].map(|name| input(name, [2, heads, tokens, depth], 2.0));
            let [rows, columns] = ["rows", "columns"].map(|name| input(name, [2 * window - 1, depth], 1.0));
            for bias in [Bias::Nothing, relative_bias(q.clone(), rows, columns, window)] {
                let expected = values(with_logits(&q, &k, &v, &bias));
                let [folded_q, folded_k] = folded(q.clone(), k.clone(), bias);
                assert!(folded_q.dims()[3].is_multiple_of(CHANNELS));
                let error = relative_error(without_logits(folded_q, folded_k, v.clone()), &expected);
                assert!(error < TOLERANCE, "{window} {heads} {depth}: {error}");
            }
        }
    }

    #[test]
    fn windows_that_burn_could_answer_with_logits_are_left_to_us() {
        let axes = |side: usize| Bias::Axes {
            by_row: input("rows", [1, 1, side * side, side], 1.0),
            by_column: input("columns", [1, 1, side * side, side], 1.0),
        };
        // SAM's windows and its whole grid, SAM 3's windows.
        assert!(fits_flash(14 * 14, 64, &axes(14)) && fits_flash(64 * 64, 80, &axes(64)));
        assert!(fits_flash(24 * 24, 64, &Bias::Nothing));
        // SAM 2's windows of the first stage and of pooled queries; as many channels as queries.
        assert!(!fits_flash(8 * 8, 56, &Bias::Nothing) && !fits_flash(4 * 4, 112, &Bias::Nothing));
        assert!(!fits_flash(14 * 14, 250, &Bias::Nothing));
    }

    #[test]
    fn blocks_of_queries_are_all_of_them() {
        // The last block is shorter than the others.
        const WINDOW: usize = 36;
        let [q, k, v] = ["q", "k", "v"].map(|name| input(name, [1, 64, WINDOW * WINDOW, 4], 2.0));
        let [rows, columns] = ["rows", "columns"].map(|name| input(name, [2 * WINDOW - 1, 4], 1.0));
        const { assert!(LOGITS / (4 * 64 * WINDOW * WINDOW) < WINDOW * WINDOW) };
        let bias = relative_bias(q.clone(), rows.clone(), columns.clone(), WINDOW);
        let all = values(with_logits(&q, &k, &v, &bias));
        for head in [0, 63] {
            let of = |x: &Tensor<4>| x.clone().narrow(1, head, 1);
            let bias = relative_bias(of(&q), rows.clone(), columns.clone(), WINDOW);
            let alone = with_logits(&of(&q), &of(&k), &of(&v), &bias);
            let size = WINDOW * WINDOW * 4;
            assert!(relative_error(alone, &all[head * size..][..size]) < TOLERANCE);
        }
    }
}
