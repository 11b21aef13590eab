//! Pillow's bilinear filter for 8-bit images, bit for bit: antialiased when it shrinks.
//!
//! The algorithm is that of Pillow's `Resample.c`: a separable triangle filter as wide as the reduction, weights in
//! fixed point with 22 fractional bits, rounded to bytes between the two passes.

use geosam_core::Shape;
use rayon::prelude::*;

/// Fractional bits of the weights: 32 less 8 for the byte and 2 to spare.
const PRECISION_BITS: u32 = 22;

/// The source samples of one output sample and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Taps {
    /// Taps of every output sample on an axis.
    fn axis(source: usize, target: usize) -> Vec<Self> {
        let scale = source as f64 / target as f64;
        let support = scale.max(1.0);
        // A product with the reciprocal, like Pillow's: a quotient rounds differently.
        let to_unit = 1.0 / support;
        let taps = |index: usize| {
            let center = (index as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(source);
            let triangle = |sample: usize| (1.0 - ((sample as f64 - center + 0.5) * to_unit).abs()).max(0.0);
            let weights: Vec<f64> = (first..end).map(triangle).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: &f64| (0.5 + weight / sum * f64::from(1u32 << PRECISION_BITS)) as i32;
            Self { first, weights: weights.iter().map(fixed).collect() }
        };
        (0..target).map(taps).collect()
    }

    /// Σ weight · value, rounded to a byte; `value` is given the index of a source sample.
    fn apply(&self, value: impl Fn(usize) -> u8) -> u8 {
        let half = 1 << (PRECISION_BITS - 1);
        let sum: i32 =
            self.weights.iter().enumerate().map(|(i, weight)| weight * i32::from(value(self.first + i))).sum();
        ((half + sum) >> PRECISION_BITS).clamp(0, 255) as u8
    }
}

/// Interleaved RGB of shape `from`, resized to `to`.
pub(super) fn resize(rgb: &[u8], from: Shape, to: Shape) -> Vec<u8> {
    // Which axis comes first shows, as the bytes in between are rounded. Pillow 13 starts with the rows if it loses more
    // than twice as many of them as of columns; older versions never do.
    let [lost_rows, lost_columns] =
        [(from.height, to.height), (from.width, to.width)].map(|(from, to)| from as i64 - to as i64);
    if lost_rows > 0 && lost_rows > 2 * lost_columns {
        resize_columns(&resize_rows(rgb, from, to.height), from.width, to.width)
    } else {
        resize_rows(&resize_columns(rgb, from.width, to.width), Shape::new(from.height, to.width), to.height)
    }
}

/// Every row of `from` pixels stretched to `to`.
fn resize_columns(rgb: &[u8], from: usize, to: usize) -> Vec<u8> {
    let columns = Taps::axis(from, to);
    let mut resized = vec![0; rgb.len() / from * to];
    resized.par_chunks_mut(3 * to).zip(rgb.par_chunks(3 * from)).for_each(|(out, row)| {
        for (pixel, taps) in out.chunks_exact_mut(3).zip(&columns) {
            for (channel, byte) in pixel.iter_mut().enumerate() {
                *byte = taps.apply(|column| row[3 * column + channel]);
            }
        }
    });
    resized
}

/// Every column of an image of shape `from` stretched to `height` pixels.
fn resize_rows(rgb: &[u8], from: Shape, height: usize) -> Vec<u8> {
    let rows = Taps::axis(from.height, height);
    let stride = 3 * from.width;
    let mut resized = vec![0; stride * height];
    resized.par_chunks_mut(stride).zip(&rows).for_each(|(out, taps)| {
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = taps.apply(|row| rgb[row * stride + at]);
        }
    });
    resized
}
