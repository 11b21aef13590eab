//! OpenCV's `INTER_LINEAR` for 8-bit images, bit for bit: integer weights, truncating shifts, no antialiasing.

use geosam_core::Shape;
use rayon::prelude::*;

/// Weights are multiples of 1 / 2048.
const WEIGHT_SCALE: f32 = 2048.0;

/// The two source samples of one output sample and their integer weights.
struct Taps {
    first: usize,
    second: usize,
    weights: [i32; 2],
}

impl Taps {
    /// Taps of one output sample. At the ends of a row OpenCV drops the fraction, at the ends of a column it keeps it
    /// and only clamps the samples, which rounds differently: `keep_fraction` says which axis this is.
    fn new(index: usize, source: usize, target: usize, keep_fraction: bool) -> Self {
        let scale = source as f64 / target as f64;
        let position = ((index as f64 + 0.5) * scale - 0.5) as f32;
        let floor = position.floor();
        let (mut fraction, mut sample, last) = (position - floor, floor as i64, source as i64 - 1);
        if !keep_fraction && (sample < 0 || sample >= last) {
            (fraction, sample) = (0.0, sample.clamp(0, last));
        }
        Self {
            first: sample.clamp(0, last) as usize,
            second: (sample + 1).clamp(0, last) as usize,
            weights: [1.0 - fraction, fraction].map(|w| (w * WEIGHT_SCALE).round_ties_even() as i32),
        }
    }

    fn axis(source: usize, target: usize, keep_fraction: bool) -> Vec<Self> {
        (0..target).map(|index| Self::new(index, source, target, keep_fraction)).collect()
    }
}

/// Interleaved RGB of shape `from`, resized to `to`.
pub(super) fn resize(rgb: &[u8], from: Shape, to: Shape) -> Vec<u8> {
    let (columns, rows) = (Taps::axis(from.width, to.width, false), Taps::axis(from.height, to.height, true));
    let horizontal = |row: usize, out: &mut [i32]| {
        let row = &rgb[3 * row * from.width..][..3 * from.width];
        for (pixel, taps) in out.chunks_exact_mut(3).zip(&columns) {
            let (first, second) = (&row[3 * taps.first..][..3], &row[3 * taps.second..][..3]);
            for channel in 0..3 {
                pixel[channel] =
                    i32::from(first[channel]) * taps.weights[0] + i32::from(second[channel]) * taps.weights[1];
            }
        }
    };

    let stride = 3 * to.width;
    let mut resized = vec![0; stride * to.height];
    resized.par_chunks_mut(stride).zip(&rows).for_each_init(
        || (vec![0; stride], vec![0; stride]),
        |(upper, lower), (out, taps)| {
            horizontal(taps.first, upper);
            horizontal(taps.second, lower);
            let part = |weight: i32, value: i32| (weight * (value >> 4)) >> 16;
            for ((byte, &upper), &lower) in out.iter_mut().zip(upper.iter()).zip(lower.iter()) {
                *byte = ((part(taps.weights[0], upper) + part(taps.weights[1], lower) + 2) >> 2).clamp(0, 255) as u8;
            }
        },
    );
    resized
}
