//! From the decoder's logits to masks at the chip's resolution.

use geosam_core::Shape;
use rayon::prelude::*;

use crate::preprocess::Letterbox;

/// Logits above this are inside the object.
const THRESHOLD: f32 = 0.0;

/// How far, both axes together, the content may be from whole logits and still be cropped.
const CROP_TOLERANCE: f64 = 1e-3;

/// Output rows that one task computes.
const ROWS_PER_TASK: usize = 64;

/// Masks at the letterbox's source shape, `[n, height, width]`, by bilinear interpolation straight from the logits.
///
/// The content is the part of the logits that the chip covers. Where it ends between two logits, interpolation near
/// its edge reads a little of the padding's logits; where it ends on a whole logit, it replicates the last one. Both are
/// what ultralytics 8.4.190 does, and unlike the official SAM there is no detour through the network's resolution.
///
/// # Shapes
/// - logits: `[n, side, side]`
pub(crate) fn masks_at_source(logits: &[f32], side: usize, letterbox: &Letterbox) -> Vec<bool> {
    let Shape { height, width } = letterbox.source();
    let [rows, columns] = axes(side, letterbox);
    let mut masks = vec![false; logits.len() / (side * side) * height * width];
    let tasks = masks.par_chunks_mut(height * width).zip(logits.par_chunks(side * side));
    tasks.for_each(|(mask, logits)| {
        let bands = mask.par_chunks_mut(ROWS_PER_TASK * width).zip(rows.par_chunks(ROWS_PER_TASK));
        bands.for_each(|(band, rows)| {
            let mut source = StretchedRows::new(logits, side, &columns);
            for (out, taps) in band.chunks_exact_mut(width).zip(rows) {
                let (first, second) = source.pair(taps.first, taps.second);
                for ((inside, &a), &b) in out.iter_mut().zip(first).zip(second) {
                    *inside = taps.mix(a, b) > THRESHOLD;
                }
            }
        });
    });
    masks
}

/// The area of a mask at logits above `offset`, divided by that at logits above `-offset`, both counted in pixels of the
/// letterbox's source; 0 if there are none.
///
/// # Shapes
/// - logits: `[side, side]`
pub(crate) fn stability_at_source(logits: &[f32], side: usize, letterbox: &Letterbox, offset: f32) -> f32 {
    let [rows, columns] = axes(side, letterbox);
    let count = |rows: &[Taps]| {
        let mut source = StretchedRows::new(logits, side, &columns);
        rows.iter().fold([0_u64; 2], |[mut high, mut low], taps| {
            let (first, second) = source.pair(taps.first, taps.second);
            // A row has fewer pixels than a `u32` counts, and narrow counters are faster.
            let (mut row_high, mut row_low) = (0_u32, 0_u32);
            for (&a, &b) in first.iter().zip(second) {
                let logit = taps.mix(a, b);
                row_high += u32::from(logit > THRESHOLD + offset);
                row_low += u32::from(logit > THRESHOLD - offset);
            }
            high += u64::from(row_high);
            low += u64::from(row_low);
            [high, low]
        })
    };
    let counts = rows.par_chunks(ROWS_PER_TASK).map(count);
    let [high, low] = counts.reduce(|| [0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
    high as f32 / low.max(1) as f32
}

/// Taps of the rows and columns of the source.
fn axes(side: usize, letterbox: &Letterbox) -> [Vec<Taps>; 2] {
    let Shape { height, width } = letterbox.source();
    let content = letterbox.content();
    let to_logits = side as f64 / letterbox.size() as f64;
    let exact = [content.height, content.width].map(|length| length as f64 * to_logits);
    let whole = exact.map(|length| length.round_ties_even().max(1.0));
    let deviation: f64 = exact.iter().zip(whole).map(|(exact, whole)| (exact - whole).abs()).sum();
    let axis = |axis: usize, length| {
        if deviation < CROP_TOLERANCE {
            Taps::axis(whole[axis], whole[axis] as usize, length)
        } else {
            Taps::axis(exact[axis], side, length)
        }
    };
    [axis(0, height), axis(1, width)]
}

/// The two logits between which an output pixel lies, and how far it is from the first.
struct Taps {
    first: usize,
    second: usize,
    fraction: f32,
}

impl Taps {
    /// Taps of `length` output pixels spread over the first `content` of `available` logits, centre on centre.
    fn axis(content: f64, available: usize, length: usize) -> Vec<Self> {
        let last = available - 1;
        let taps = |index: usize| {
            let position = ((index as f64 + 0.5) * content / length as f64 - 0.5).clamp(0.0, last as f64);
            let first = position as usize;
            Self { first, second: (first + 1).min(last), fraction: (position - first as f64) as f32 }
        };
        (0..length).map(taps).collect()
    }

    fn mix(&self, first: f32, second: f32) -> f32 {
        (1.0 - self.fraction) * first + self.fraction * second
    }
}

/// Rows of a logit map stretched to the output's width, the two in use kept.
struct StretchedRows<'a> {
    logits: &'a [f32],
    side: usize,
    columns: &'a [Taps],
    kept: [(Option<usize>, Vec<f32>); 2],
}

impl<'a> StretchedRows<'a> {
    fn new(logits: &'a [f32], side: usize, columns: &'a [Taps]) -> Self {
        let empty = || (None, vec![0.0; columns.len()]);
        Self { logits, side, columns, kept: [empty(), empty()] }
    }

    fn pair(&mut self, first: usize, second: usize) -> (&[f32], &[f32]) {
        // Going down, the second row of the last pair becomes the first.
        if self.kept[1].0 == Some(first) {
            self.kept.swap(0, 1);
        }
        for (kept, wanted) in self.kept.iter_mut().zip([first, second]) {
            if kept.0 != Some(wanted) {
                let row = &self.logits[wanted * self.side..][..self.side];
                for (value, taps) in kept.1.iter_mut().zip(self.columns) {
                    *value = taps.mix(row[taps.first], row[taps.second]);
                }
                kept.0 = Some(wanted);
            }
        }
        (&self.kept[0].1, &self.kept[1].1)
    }
}

#[cfg(test)]
mod tests;
