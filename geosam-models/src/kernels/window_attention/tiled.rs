//! [`window_attention`](super::window_attention) without the logits ever being in memory together: tiles of queries meet blocks of keys, and
//! the softmax is kept up as blocks come: <https://arxiv.org/abs/2205.14135>.

use burn::tensor::Tensor;
use geosam_core::Precision;
use rayon::prelude::*;

use super::{Position, QkvOrder, WindowAttention};
use crate::kernels::bf16::{self, PackedMatrix};
use crate::kernels::buffer::{self, Buffer};
use crate::kernels::matmul::{Matrix, Threads, add_matmul, matmul_transposed};
use crate::kernels::online_softmax::OnlineSoftmax;
use crate::kernels::simd::vectorised;

/// Queries of a tile. With [`KEYS`] it bounds the logits in memory to half a mebibyte for each core, which the second
/// level cache holds.
const QUERIES: usize = 128;
/// Keys of a block, rounded down to whole rows of the window.
const KEYS: usize = 1024;

/// `None` where the tensors are not on the CPU.
pub(super) fn window_attention(
    qkv: &Tensor<4>,
    filling: &Tensor<1>,
    position: &Position,
    attention: WindowAttention,
) -> Option<Tensor<4>> {
    let [batch, height, width, fused] = qkv.dims();
    let WindowAttention { heads, window, order, pool, precision } = attention;
    let depth = fused / (3 * heads);
    let (qkv, filling) = (Buffer::of(qkv)?, Buffer::of(filling)?);
    let code = Code::of(position, window)?;
    let (qkv, filling) = (qkv.values(), filling.values());
    let grid = Grid { qkv, filling, height, width, heads, depth, window, order, pool, precision };

    let [rows, columns] = [height.div_ceil(window), width.div_ceil(window)];
    let [pooled_height, pooled_width] = [height / pool, width / pool];
    let mut output = buffer::zeroed(batch * pooled_height * pooled_width * heads * depth);
    let target = Target(output.as_mut_ptr());
    (0..batch * rows * columns * heads).into_par_iter().for_each(|job| {
        let (place, head) = (job / heads, job % heads);
        let (image, place) = (place / (rows * columns), place % (rows * columns));
        let corner = [place / columns * window, place % columns * window];
        grid.attend(Window { image, corner, head }, &code, target);
    });
    Some(buffer::tensor(output, [batch, pooled_height, pooled_width, heads * depth]))
}

/// [`Position`] in the order in which tokens or logits are visited.
enum Code {
    /// Both tables one after the other, each with its rows reversed, so that the products of a query with its keys'
    /// rows follow each other in ascending order.
    Relative(Vec<f32>),
    Dense(Buffer),
    Rotary {
        cos: Buffer,
        sin: Buffer,
    },
    Unknown,
}

impl Code {
    fn of(position: &Position, window: usize) -> Option<Self> {
        match position {
            Position::Unknown => Some(Self::Unknown),
            Position::Dense(bias) => Buffer::of(bias).map(Self::Dense),
            Position::Rotary { cos, sin } => Some(Self::Rotary { cos: Buffer::of(cos)?, sin: Buffer::of(sin)? }),
            Position::Relative { rows, columns } => {
                let (rows, columns) = (Buffer::of(rows)?, Buffer::of(columns)?);
                let depth = rows.values().len() / (2 * window - 1);
                let reversed = [&rows, &columns].map(|table| table.values().rchunks_exact(depth).flatten().copied());
                Some(Self::Relative(reversed.into_iter().flatten().collect()))
            }
        }
    }

    /// Turns the queries or keys of tokens, which are row-major in `columns` columns of a window of side `side`.
    fn turn(&self, tokens: &mut [f32], depth: usize, columns: usize, side: usize) {
        let Self::Rotary { cos, sin } = self else { return };
        let half = depth / 2;
        for (index, token) in tokens.chunks_exact_mut(depth).enumerate() {
            let place = (index / columns * side + index % columns) * half;
            let angles = cos.values()[place..][..half].iter().zip(&sin.values()[place..][..half]);
            let (pairs, _) = token.as_chunks_mut::<2>();
            for ([a, b], (cos, sin)) in pairs.iter_mut().zip(angles) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}

/// Where the tasks write: each to the channels of its own head at the tokens of its own window.
#[derive(Clone, Copy)]
struct Target(*mut f32);

// SAFETY: no two tasks write to the same element, see `Grid::attend_tile`, and nobody reads before all have ended.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    /// # Safety
    /// The output must have room for `values` from `start` on, and no other task may write there.
    unsafe fn write(self, start: usize, values: &[f32]) {
        // SAFETY: by the contract of this function.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.0.add(start), values.len()) };
    }
}

/// One head in one window.
#[derive(Clone, Copy)]
struct Window {
    image: usize,
    /// Row and column of its top left token.
    corner: [usize; 2],
    head: usize,
}

/// The tokens, and what they hold.
#[derive(Clone, Copy)]
struct Grid<'a> {
    qkv: &'a [f32],
    filling: &'a [f32],
    height: usize,
    width: usize,
    heads: usize,
    depth: usize,
    window: usize,
    order: QkvOrder,
    pool: usize,
    precision: Precision,
}

impl Grid<'_> {
    /// Index of the token at a row and column of a window, or `None` beyond the edge.
    fn token(&self, window: Window, row: usize, column: usize) -> Option<usize> {
        let (row, column) = (window.corner[0] + row, window.corner[1] + column);
        (row < self.height && column < self.width).then(|| (window.image * self.height + row) * self.width + column)
    }

    /// Queries (part 0), keys (1) or values (2) of a window, one row for each token.
    fn gather(&self, window: Window, part: usize, rows: usize, columns: usize) -> Vec<f32> {
        let (channels, depth) = (self.filling.len(), self.depth);
        let offset = depth
            * match self.order {
                QkvOrder::PartMajor => part * self.heads + window.head,
                QkvOrder::HeadMajor => window.head * 3 + part,
            };
        let mut gathered = Vec::with_capacity(rows * columns * depth);
        for (row, column) in (0..rows * columns).map(|i| (i / columns, i % columns)) {
            let fused = match self.token(window, row, column) {
                Some(token) => &self.qkv[token * channels..][..channels],
                None => self.filling,
            };
            gathered.extend_from_slice(&fused[offset..][..depth]);
        }
        gathered
    }

    /// Makes the largest of every square of `pool`² tokens, which are row-major in `columns` columns.
    fn pooled(&self, tokens: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
        let (pool, depth) = (self.pool, self.depth);
        if pool == 1 {
            return tokens;
        }
        let mut pooled = vec![f32::NEG_INFINITY; rows / pool * (columns / pool) * depth];
        for (index, token) in tokens.chunks_exact(depth).enumerate() {
            let place = index / columns / pool * (columns / pool) + index % columns / pool;
            for (largest, value) in pooled[place * depth..][..depth].iter_mut().zip(token) {
                *largest = largest.max(*value);
            }
        }
        pooled
    }

    /// Attention of one head in one window, for those of its queries that are on the grid.
    fn attend(&self, window: Window, code: &Code, target: Target) {
        let (side, depth, pool) = (self.window, self.depth, self.pool);
        let [rows, columns] = [self.height - window.corner[0], self.width - window.corner[1]].map(|n| n.min(side));
        let mut queries = self.gather(window, 0, rows, columns);
        code.turn(&mut queries, depth, columns, side);
        let queries = self.pooled(queries, rows, columns);
        let [rows, columns] = [rows / pool, columns / pool];
        let mut keys = self.gather(window, 1, side, side);
        code.turn(&mut keys, depth, side, side);
        let values = self.gather(window, 2, side, side);
        let blocks = self.blocks(&keys, &values);
        let pooled = Grid { height: self.height / pool, width: self.width / pool, ..*self };
        let pooled_window = Window { corner: window.corner.map(|at| at / pool), ..window };
        let tile = |index: usize| {
            let first = index * QUERIES;
            let tile = &queries[first * depth..(rows * columns).min(first + QUERIES) * depth];
            let places = (first..).map(|query| [query / columns, query % columns]);
            let attended = self.attend_tile(Matrix::new(tile, depth), &places, &blocks, code, window.head);
            for (attended, [row, column]) in attended.chunks_exact(depth).zip(places) {
                let token = pooled.token(pooled_window, row, column).expect("the query is on the grid");
                let start = (token * self.heads + window.head) * depth;
                // SAFETY: `start` is the first channel of this head at a token of the grid, for which the output has
                // room, and this is the only task for the token and head.
                unsafe { target.write(start, attended) };
            }
        };
        match (rows * columns).div_ceil(QUERIES) {
            1 => tile(0),
            tiles => (0..tiles).into_par_iter().for_each(tile),
        }
    }

    /// Keys and values in blocks of whole rows of the window.
    fn blocks<'a>(&self, keys: &'a [f32], values: &'a [f32]) -> Vec<Block<'a>> {
        let (side, depth) = (self.window, self.depth);
        let rows = (KEYS / side).max(1) * side;
        let block = |(keys, values)| {
            let (keys, values) = (Matrix::new(keys, depth), Matrix::new(values, depth));
            let factors = match self.precision {
                Precision::F32 => Factors::F32 { keys, values },
                Precision::Bf16 => {
                    Factors::Bf16 { keys: PackedMatrix::of_transposed(keys), values: PackedMatrix::of(values) }
                }
                Precision::F16 => unreachable!("f16 is for GPUs, and is refused when a model is loaded"),
            };
            Block { keys: keys.rows, factors }
        };
        keys.chunks(rows * depth).zip(values.chunks(rows * depth)).map(block).collect()
    }

    /// softmax(q kᵀ / √d + position) v for some queries, whose rows and columns in the window are `places`.
    fn attend_tile(
        &self,
        queries: Matrix<'_>,
        places: &(impl Iterator<Item = [usize; 2]> + Clone),
        blocks: &[Block<'_>],
        code: &Code,
        head: usize,
    ) -> Vec<f32> {
        let (side, depth) = (self.window, self.depth);
        let scale = (depth as f32).powf(-0.5);
        let distances = 2 * (2 * side - 1);
        let relative = match code {
            Code::Dense(_) | Code::Rotary { .. } | Code::Unknown => Vec::new(),
            Code::Relative(tables) => {
                let mut products = vec![0.0; queries.rows * distances];
                matmul_transposed(&mut products, 1.0, queries, Matrix::new(tables, depth), Threads::One);
                products
            }
        };

        let scaled: Vec<f32> = queries.values.iter().map(|value| value * scale).collect();
        let scaled = Matrix::new(&scaled, depth);
        let mut logits = vec![0.0; queries.rows * blocks.first().map_or(0, |block| block.keys)];
        let mut attended = vec![0.0; queries.rows * depth];
        let mut softmax = vec![OnlineSoftmax::default(); queries.rows];
        let mut first = 0;
        for block in blocks {
            let logits = &mut logits[..queries.rows * block.keys];
            block.multiply(logits, scaled);
            vectorised(
                #[inline(always)]
                || {
                    for (query, (logits, [row, column])) in
                        logits.chunks_exact_mut(block.keys).zip(places.clone()).enumerate()
                    {
                        match code {
                            Code::Rotary { .. } | Code::Unknown => {}
                            Code::Dense(bias) => {
                                let query = (head * side + row) * side + column;
                                add(logits, &bias.values()[query * side * side + first..][..block.keys]);
                            }
                            Code::Relative(_) => {
                                let products = &relative[query * distances..][..distances];
                                let by_row = &products[side - 1 - row + first / side..];
                                let by_column = &products[3 * side - 2 - column..][..side];
                                add_relative(logits, by_row, by_column);
                            }
                        }
                        softmax[query].take_in(logits, &mut attended[query * depth..][..depth]);
                    }
                },
            );
            block.gather(&mut attended, Matrix::new(logits, block.keys));
            first += block.keys;
        }
        for (attended, softmax) in attended.chunks_exact_mut(depth).zip(softmax) {
            attended.iter_mut().for_each(|value| *value /= softmax.sum());
        }
        attended
    }
}

/// Some keys of a window and their values.
struct Block<'a> {
    /// How many.
    keys: usize,
    factors: Factors<'a>,
}

/// `[keys, depth]` each.
enum Factors<'a> {
    F32 {
        keys: Matrix<'a>,
        values: Matrix<'a>,
    },
    /// The keys transposed.
    Bf16 {
        keys: PackedMatrix,
        values: PackedMatrix,
    },
}

impl Block<'_> {
    /// logits = queries keysᵀ
    fn multiply(&self, logits: &mut [f32], queries: Matrix<'_>) {
        match &self.factors {
            Factors::F32 { keys, .. } => matmul_transposed(logits, 1.0, queries, *keys, Threads::One),
            Factors::Bf16 { keys, .. } => bf16::product(logits, queries.values, keys),
        }
    }

    /// attended += weights values
    fn gather(&self, attended: &mut [f32], weights: Matrix<'_>) {
        match &self.factors {
            Factors::F32 { values, .. } => add_matmul(attended, weights, *values, Threads::One),
            Factors::Bf16 { values, .. } => bf16::add_product(attended, weights.values, values),
        }
    }
}

#[inline(always)]
fn add(logits: &mut [f32], bias: &[f32]) {
    for (logit, bias) in logits.iter_mut().zip(bias) {
        *logit += bias;
    }
}

/// Logits of whole rows of keys.
#[inline(always)]
fn add_relative(logits: &mut [f32], by_row: &[f32], by_column: &[f32]) {
    for (logits, row) in logits.chunks_exact_mut(by_column.len()).zip(by_row) {
        for (logit, column) in logits.iter_mut().zip(by_column) {
            *logit += row + column;
        }
    }
}
