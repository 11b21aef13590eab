//! Attention within windows under autodiff: one window and head after the other, forth and back, with nothing rearranged as a
//! whole. The weights of all windows are kept for the way back.

use burn::tensor::Tensor;

use super::{QkvOrder, WindowAttention};
use crate::kernels::buffer;
use crate::kernels::differentiable::{Input, differentiable, dot};
use crate::kernels::matmul::{Matrix, Threads, add_transposed_matmul, matmul, matmul_transposed};
use crate::kernels::simd::vectorised;
use crate::kernels::softmax::softmax_rows;

/// See [`super::window_attention`], without positions; `None` without autodiff.
pub(super) fn window_attention(qkv: &Tensor<4>, filling: &Tensor<1>, attention: WindowAttention) -> Option<Tensor<4>> {
    let (input, padding) = (Input::of(qkv)?, Input::of(filling)?);
    let [batch, height, width, fused] = qkv.dims();
    let WindowAttention { heads, window, order, pool, .. } = attention;
    let geometry = Geometry { batch, height, width, heads, depth: fused / (3 * heads), window, order, pool };
    let (values, filling_values) = (input.values, padding.values);
    let mut output = buffer::zeroed(batch * height / pool * (width / pool) * fused / 3);
    let mut weights = Vec::with_capacity(geometry.heads_of_windows() * geometry.queries() * geometry.keys());
    let mut parts = Parts::new(&geometry);
    for place in geometry.places() {
        parts.gather(&geometry, place, values.values(), filling_values.values());
        let mut rows = vec![0.0; geometry.queries() * geometry.keys()];
        matmul_transposed(&mut rows, geometry.scale(), parts.queries(&geometry), parts.keys(&geometry), Threads::One);
        softmax_rows(&mut rows, geometry.keys());
        let mut attended = vec![0.0; geometry.queries() * geometry.depth];
        matmul(&mut attended, Matrix::new(&rows, geometry.keys()), parts.values(&geometry), Threads::One);
        geometry.for_each_query(place, |query, at| {
            output[at..at + geometry.depth].copy_from_slice(&attended[query * geometry.depth..][..geometry.depth]);
        });
        weights.extend_from_slice(&rows);
    }
    let gradient = move |output: &[f32], [_, _]: [bool; 2]| {
        let [dx, dfilling] = back(&geometry, values.values(), filling_values.values(), &weights, output);
        [Some(dx), Some(dfilling)]
    };
    let inputs = [(input.node, qkv.dims().to_vec()), (padding.node, vec![fused])];
    Some(differentiable(inputs, output, [batch, height / pool, width / pool, fused / 3], gradient))
}

/// Gradients of `qkv` and of the filling, from that of the output.
fn back(geometry: &Geometry, qkv: &[f32], filling: &[f32], weights: &[f32], output: &[f32]) -> [Vec<f32>; 2] {
    let Geometry { depth, .. } = *geometry;
    let (queries, keys) = (geometry.queries(), geometry.keys());
    let (mut found, mut of_filling) = (buffer::zeroed(qkv.len()), vec![0.0; filling.len()]);
    let mut parts = Parts::new(geometry);
    for (place, weights) in geometry.places().zip(weights.chunks_exact(queries * keys)) {
        parts.gather(geometry, place, qkv, filling);
        let mut attended = vec![0.0; queries * depth];
        geometry.for_each_query(place, |query, at| {
            attended[query * depth..][..depth].copy_from_slice(&output[at..at + depth]);
        });
        let mut slopes = vec![0.0; queries * keys];
        matmul_transposed(&mut slopes, 1.0, Matrix::new(&attended, depth), parts.values(geometry), Threads::One);
        vectorised(
            #[inline(always)]
            || {
                for (slopes, weights) in slopes.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
                    let mean = dot(slopes, weights);
                    let scale = geometry.scale();
                    slopes
                        .iter_mut()
                        .zip(weights)
                        .for_each(|(slope, weight)| *slope = scale * weight * (*slope - mean));
                }
            },
        );
        let slopes = Matrix::new(&slopes, keys);
        let [mut dq, mut dk, mut dv] = [queries, keys, keys].map(|rows| vec![0.0; rows * depth]);
        matmul(&mut dq, slopes, parts.keys(geometry), Threads::One);
        add_transposed_matmul(&mut dk, slopes, parts.queries(geometry));
        add_transposed_matmul(&mut dv, Matrix::new(weights, keys), Matrix::new(&attended, depth));
        let dq = parts.unpooled(geometry, dq);
        for (part, gradient) in [dq, dk, dv].iter().enumerate() {
            for (token, gradient) in gradient.chunks_exact(depth).enumerate() {
                let channel = geometry.channel(part, place.head);
                let target = match geometry.token(place, token) {
                    Some(token) => &mut found[token * filling.len() + channel..][..depth],
                    None => &mut of_filling[channel..][..depth],
                };
                target.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
            }
        }
    }
    [found, of_filling]
}

/// Sizes, and where things lie.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    batch: usize,
    height: usize,
    width: usize,
    heads: usize,
    depth: usize,
    window: usize,
    order: QkvOrder,
    pool: usize,
}

/// A head of a window.
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    /// Of the window's first token.
    row: usize,
    column: usize,
    head: usize,
}

impl Geometry {
    fn keys(&self) -> usize {
        self.window * self.window
    }

    fn queries(&self) -> usize {
        self.keys() / (self.pool * self.pool)
    }

    fn heads_of_windows(&self) -> usize {
        self.batch * self.height.div_ceil(self.window) * self.width.div_ceil(self.window) * self.heads
    }

    fn scale(&self) -> f32 {
        (self.depth as f32).sqrt().recip()
    }

    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let Self { batch, height, width, heads, window, .. } = *self;
        let rows = (0..batch).flat_map(move |image| (0..height).step_by(window).map(move |row| (image, row)));
        let windows = rows.flat_map(move |(image, row)| (0..width).step_by(window).map(move |at| (image, row, at)));
        windows.flat_map(move |(image, row, column)| (0..heads).map(move |head| Place { image, row, column, head }))
    }

    /// First channel of queries (0), keys (1) or values (2).
    fn channel(&self, part: usize, head: usize) -> usize {
        match self.order {
            QkvOrder::PartMajor => (part * self.heads + head) * self.depth,
            QkvOrder::HeadMajor => (head * 3 + part) * self.depth,
        }
    }

    /// The token of the grid that one of the window is, if it is one.
    fn token(&self, place: Place, token: usize) -> Option<usize> {
        let (row, column) = (place.row + token / self.window, place.column + token % self.window);
        (row < self.height && column < self.width).then(|| (place.image * self.height + row) * self.width + column)
    }

    /// Calls `work` with each query of the window that lies on the grid, and where its channels begin in the output.
    fn for_each_query(&self, place: Place, mut work: impl FnMut(usize, usize)) {
        let side = self.window / self.pool;
        let [height, width] = [self.height, self.width].map(|side| side / self.pool);
        for query in 0..side * side {
            let (row, column) = (place.row / self.pool + query / side, place.column / self.pool + query % side);
            if row < height && column < width {
                let token = (place.image * height + row) * width + column;
                work(query, (token * self.heads + place.head) * self.depth);
            }
        }
    }
}

/// Queries, keys and values of a place.
struct Parts {
    /// Of all tokens, `[3, keys, depth]`.
    all: Vec<f32>,
    /// `[queries, depth]`, and which token each of their channels is from.
    pooled: Vec<f32>,
    from: Vec<usize>,
}

impl Parts {
    fn new(geometry: &Geometry) -> Self {
        let pooled = if geometry.pool == 1 { 0 } else { geometry.queries() * geometry.depth };
        Self { all: vec![0.0; 3 * geometry.keys() * geometry.depth], pooled: vec![0.0; pooled], from: vec![0; pooled] }
    }

    fn gather(&mut self, geometry: &Geometry, place: Place, qkv: &[f32], filling: &[f32]) {
        let Geometry { depth, window, pool, .. } = *geometry;
        for (part, values) in self.all.chunks_exact_mut(geometry.keys() * depth).enumerate() {
            let channel = geometry.channel(part, place.head);
            for (token, values) in values.chunks_exact_mut(depth).enumerate() {
                let source = match geometry.token(place, token) {
                    Some(token) => &qkv[token * filling.len() + channel..][..depth],
                    None => &filling[channel..][..depth],
                };
                values.copy_from_slice(source);
            }
        }
        if pool == 1 {
            return;
        }
        let side = window / pool;
        let (pooled, from) = (self.pooled.chunks_exact_mut(depth), self.from.chunks_exact_mut(depth));
        for (query, (pooled, from)) in pooled.zip(from).enumerate() {
            let first = query / side * pool * window + query % side * pool;
            let tokens = (0..pool * pool).map(|index| first + index / pool * window + index % pool);
            pooled.fill(f32::NEG_INFINITY);
            for token in tokens {
                for (channel, value) in self.all[token * depth..][..depth].iter().enumerate() {
                    if *value > pooled[channel] {
                        (pooled[channel], from[channel]) = (*value, token);
                    }
                }
            }
        }
    }

    fn queries(&self, geometry: &Geometry) -> Matrix<'_> {
        let all = &self.all[..geometry.keys() * geometry.depth];
        Matrix::new(if geometry.pool == 1 { all } else { &self.pooled }, geometry.depth)
    }

    fn keys(&self, geometry: &Geometry) -> Matrix<'_> {
        let count = geometry.keys() * geometry.depth;
        Matrix::new(&self.all[count..2 * count], geometry.depth)
    }

    fn values(&self, geometry: &Geometry) -> Matrix<'_> {
        let count = geometry.keys() * geometry.depth;
        Matrix::new(&self.all[2 * count..], geometry.depth)
    }

    /// Gradients of the queries as those of all tokens.
    fn unpooled(&self, geometry: &Geometry, gradient: Vec<f32>) -> Vec<f32> {
        if geometry.pool == 1 {
            return gradient;
        }
        let mut all = vec![0.0; geometry.keys() * geometry.depth];
        for (index, (gradient, token)) in gradient.iter().zip(&self.from).enumerate() {
            all[token * geometry.depth + index % geometry.depth] += gradient;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use geosam_core::Precision;

    use super::super::{Position, operators};
    use super::*;
    use crate::golden::{input, relative_error};

    /// Of values and gradients. Measured: at most 3.7e-7.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn attention_and_its_gradients_agree_with_burn() {
        for (grid, window, heads, depth, pool) in
            [([8, 8], 4, 2, 8, 1), ([8, 8], 4, 2, 8, 2), ([6, 10], 4, 1, 12, 2), ([7, 5], 3, 3, 4, 1)]
        {
            for order in [QkvOrder::PartMajor, QkvOrder::HeadMajor] {
                let attention = WindowAttention { heads, window, order, pool, precision: Precision::F32 };
                let leaves = || {
                    let qkv = input("qkv", [2, grid[0], grid[1], 3 * heads * depth], 2.0);
                    let filling: Tensor<1> = input("filling", [3 * heads * depth], 2.0);
                    (qkv.autodiff().require_grad(), filling.autodiff().require_grad())
                };
                let run = |ours: bool| {
                    let (qkv, filling) = leaves();
                    let y = if ours {
                        window_attention(&qkv, &filling, attention).unwrap()
                    } else {
                        operators::window_attention(qkv.clone(), filling.clone(), Position::Unknown, attention)
                    };
                    let gradients = (y.clone() * input("output", y.dims(), 1.0).autodiff()).sum().backward();
                    let flat = |x: Tensor<4>| x.without_autodiff().flatten::<1>(0, 3);
                    let of_filling = filling.grad(&gradients).map(|x| x * 1.0);
                    [Some(flat(y)), qkv.grad(&gradients).map(flat), of_filling]
                };
                let values = |x: Tensor<1>| x.into_data().try_into_vec::<f32>().unwrap();
                for (ours, burns) in run(true).into_iter().zip(run(false)) {
                    let Some(burns) = burns else {
                        // Nothing is filled up, so burn has no gradient of it.
                        assert!(ours.is_none_or(|ours| values(ours).iter().all(|&value| value == 0.0)));
                        continue;
                    };
                    let error = relative_error(ours.unwrap(), &values(burns));
                    assert!(error < TOLERANCE, "{grid:?} {attention:?}: {error}");
                }
            }
        }
    }
}
