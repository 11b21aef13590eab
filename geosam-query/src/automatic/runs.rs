//! Masks as runs of pixels: small, and quick to cut, join and compare.

use geosam_core::{Masks, Result, Shape};

use super::rectangle::Rectangle;

/// Columns `start..end` of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) row: i32,
    pub(super) start: i32,
    pub(super) end: i32,
}

impl Run {
    pub(super) const fn len(self) -> u64 {
        (self.end - self.start) as u64
    }
}

/// A mask with at least one pixel, in pixels of the raster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runs {
    /// In row-major order; those of a row do not touch.
    runs: Vec<Run>,
    bounds: Rectangle,
    area: u64,
}

impl Runs {
    /// The mask of the given runs, in any order, which may overlap; `None` without a pixel.
    pub(super) fn new(mut runs: Vec<Run>) -> Option<Self> {
        runs.sort_unstable();
        let mut joined: Vec<Run> = Vec::with_capacity(runs.len());
        for run in runs.into_iter().filter(|run| run.start < run.end) {
            match joined.last_mut() {
                Some(last) if last.row == run.row && run.start <= last.end => last.end = last.end.max(run.end),
                _ => joined.push(run),
            }
        }
        joined.shrink_to_fit();
        Self::of_sorted(joined)
    }

    fn of_sorted(runs: Vec<Run>) -> Option<Self> {
        let (first, last) = (runs.first()?, runs.last()?);
        let mut bounds = Rectangle { left: first.start, top: first.row, right: first.end, bottom: last.row + 1 };
        let mut area = 0;
        for run in &runs {
            bounds.left = bounds.left.min(run.start);
            bounds.right = bounds.right.max(run.end);
            area += run.len();
        }
        Some(Self { runs, bounds, area })
    }

    /// The pixels of a chip for which `inside` holds, the chip's first pixel at the upper left of `chip`.
    pub(super) fn of_chip(chip: &Rectangle, inside: impl Fn(usize) -> bool) -> Option<Self> {
        let Shape { height, width } = chip.shape();
        let mut runs = Vec::new();
        for row in 0..height {
            let mut start = None;
            for column in 0..=width {
                let on = column < width && inside(row * width + column);
                match (start, on) {
                    (None, true) => start = Some(column),
                    (Some(first), false) => {
                        let [row, start, end] = [(row, chip.top), (first, chip.left), (column, chip.left)]
                            .map(|(at, zero)| at as i32 + zero);
                        runs.push(Run { row, start, end });
                    }
                    _ => {}
                }
                if !on {
                    start = None;
                }
            }
        }
        Self::of_sorted(runs)
    }

    pub(super) fn as_slice(&self) -> &[Run] {
        &self.runs
    }

    pub(super) fn bounds(&self) -> &Rectangle {
        &self.bounds
    }

    /// Number of pixels.
    pub(super) fn area(&self) -> u64 {
        self.area
    }

    /// What lies in any of the rectangles.
    pub(super) fn clip(&self, rectangles: &[Rectangle]) -> Option<Self> {
        let mut runs = Vec::new();
        for rectangle in rectangles {
            if rectangle.intersection(&self.bounds).is_none() {
                continue;
            }
            let rows = self.rows(rectangle.top, rectangle.bottom).iter();
            let cut =
                rows.map(|run| Run { start: run.start.max(rectangle.left), end: run.end.min(rectangle.right), ..*run });
            runs.extend(cut.filter(|run| run.start < run.end));
        }
        // Within one rectangle they are in order and apart.
        if rectangles.len() == 1 { Self::of_sorted(runs) } else { Self::new(runs) }
    }

    /// What lies in none of the rectangles.
    pub(super) fn outside(&self, rectangles: &[Rectangle]) -> Option<Self> {
        let mut runs = self.runs.clone();
        for rectangle in rectangles {
            let parts = |run: Run| {
                let crossed = (rectangle.top..rectangle.bottom).contains(&run.row);
                let left = if crossed { Run { end: run.end.min(rectangle.left), ..run } } else { run };
                let right = if crossed {
                    Run { start: run.start.max(rectangle.right), ..run }
                } else {
                    Run { end: run.start, ..run }
                };
                [left, right].into_iter().filter(|run| run.start < run.end)
            };
            runs = runs.into_iter().flat_map(parts).collect();
        }
        Self::of_sorted(runs)
    }

    /// All pixels of all of them.
    pub(super) fn union<'a>(masks: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        Self::new(masks.into_iter().flat_map(|mask| mask.runs.iter().copied()).collect())
    }

    /// All pixels at most `distance` columns and rows from one of the mask.
    pub(super) fn thickened(&self, distance: i32) -> Self {
        let wider = |run: &Run| {
            let (row, start, end) = (run.row, run.start - distance, run.end + distance);
            (row - distance..=row + distance).map(move |row| Run { row, start, end })
        };
        Self::new(self.runs.iter().flat_map(wider).collect()).unwrap_or_else(|| self.clone())
    }

    /// Number of pixels that both have.
    pub(super) fn shared(&self, other: &Self) -> u64 {
        let mut shared = 0;
        self.for_each_overlap(other, |_, _, pixels| shared += pixels);
        shared
    }

    /// Whether the boxes of both have a larger IoU than `threshold`, and at least half of the smaller mask lies in the larger; or
    /// the masks themselves have a larger IoU.
    ///
    /// DIFFERENCE: the official generators look at boxes only; they lose a road that crosses a field from corner to corner, and
    /// keep a mask twice if a speck far away widens the box of one.
    pub(super) fn is_same(&self, other: &Self, threshold: f64) -> bool {
        let (smaller, larger) = (self.area.min(other.area), self.area.max(other.area));
        let (is_same_box, may_be_same_mask) =
            (self.bounds.iou(&other.bounds) > threshold, smaller as f64 > threshold * larger as f64);
        if !is_same_box && !may_be_same_mask {
            return false;
        }
        let shared = self.shared(other);
        is_same_box && 2 * shared >= smaller || shared as f64 > threshold * (smaller + larger - shared) as f64
    }

    /// Intersection over union.
    pub(super) fn iou(&self, other: &Self) -> f64 {
        let shared = self.shared(other);
        shared as f64 / (self.area + other.area - shared) as f64
    }

    /// Calls `take` with the indices of every two runs that overlap, and by how many pixels.
    pub(super) fn for_each_overlap(&self, other: &Self, mut take: impl FnMut(usize, usize, u64)) {
        let Some(shared) = self.bounds.intersection(&other.bounds) else { return };
        let from = |mask: &Self| mask.runs.partition_point(|run| run.row < shared.top);
        let (mut i, mut j) = (from(self), from(other));
        while let (Some(a), Some(b)) = (self.runs.get(i), other.runs.get(j)) {
            if a.row == b.row && a.start < b.end && b.start < a.end {
                take(i, j, (a.end.min(b.end) - a.start.max(b.start)) as u64);
            }
            if (a.row, a.end) <= (b.row, b.end) { i += 1 } else { j += 1 }
        }
    }

    /// The runs of rows `top..bottom`.
    fn rows(&self, top: i32, bottom: i32) -> &[Run] {
        let first = self.runs.partition_point(|run| run.row < top);
        let end = self.runs.partition_point(|run| run.row < bottom);
        &self.runs[first..end]
    }

    /// The mask in its own bounds.
    ///
    /// # Errors
    /// None: it has a pixel.
    pub(super) fn to_masks(&self) -> Result<Masks> {
        let shape = self.bounds.shape();
        let mut values = vec![false; shape.area()];
        for run in &self.runs {
            let row = &mut values[(run.row - self.bounds.top) as usize * shape.width..][..shape.width];
            row[(run.start - self.bounds.left) as usize..(run.end - self.bounds.left) as usize].fill(true);
        }
        Masks::new(shape, values)
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A mask drawn with `#`, its first pixel at column and row 0.
    pub(in crate::automatic) fn drawn(rows: &[&str]) -> Runs {
        let chip = Rectangle { left: 0, top: 0, right: rows[0].len() as i32, bottom: rows.len() as i32 };
        let pixels: Vec<u8> = rows.concat().into_bytes();
        Runs::of_chip(&chip, |at| pixels[at] == b'#').unwrap()
    }

    #[test]
    fn a_mask_and_its_runs() {
        let mask = drawn(&["....", ".##.", ".#.#"]);
        let run = |row, start, end| Run { row, start, end };
        assert_eq!(mask.as_slice(), [run(1, 1, 3), run(2, 1, 2), run(2, 3, 4)]);
        assert_eq!((mask.area(), *mask.bounds()), (4, Rectangle { left: 1, top: 1, right: 4, bottom: 3 }));
        assert_eq!(mask.to_masks().unwrap().values(), [true, true, false, true, false, true]);
        let chip = Rectangle { left: 5, top: 7, right: 7, bottom: 8 };
        assert_eq!(Runs::of_chip(&chip, |_| true).unwrap().as_slice(), [run(7, 5, 7)]);
        assert_eq!(Runs::of_chip(&chip, |_| false), None);
    }

    #[test]
    fn cutting_and_joining() {
        let mask = drawn(&["####", "#..#", "####"]);
        let left = Rectangle { left: 0, top: 0, right: 2, bottom: 3 };
        let right = Rectangle { left: 1, top: 1, right: 4, bottom: 3 };
        assert_eq!(mask.clip(&[left]).unwrap(), drawn(&["##..", "#...", "##.."]));
        assert_eq!(mask.clip(&[left, right]).unwrap(), drawn(&["##..", "#..#", "####"]));
        assert_eq!(mask.outside(&[left]).unwrap(), drawn(&["..##", "...#", "..##"]));
        assert_eq!(mask.outside(&[left, right]).unwrap(), drawn(&["..##", "....", "...."]));
        let hole = Rectangle { left: 1, top: 0, right: 2, bottom: 3 };
        assert_eq!(mask.outside(&[hole]).unwrap(), drawn(&["#.##", "#..#", "#.##"]));
        let thick = drawn(&[".....", ".....", "..#.."]).thickened(1);
        assert_eq!(thick.as_slice(), (1..=3).map(|row| Run { row, start: 1, end: 4 }).collect::<Vec<_>>());
        assert_eq!(Runs::union([&drawn(&["#..#"]), &drawn(&[".##."])]).unwrap(), drawn(&["####"]));
    }

    #[test]
    fn the_overlap_of_masks() {
        let (a, b) = (drawn(&["##.##.", "......", "######"]), drawn(&[".####.", "######", ".#.#.#"]));
        assert_eq!(a.shared(&b), 1 + 2 + 3);
        assert_eq!(a.iou(&b), 6.0 / (10.0 + 13.0 - 6.0));
        assert_eq!(a.iou(&a), 1.0);
        assert_eq!(drawn(&["#.."]).iou(&drawn(&["..#"])), 0.0);
        // A diagonal and what lies on either side of it have the same box.
        let (road, fields) = (drawn(&["#...", ".#..", "..#.", "...#"]), drawn(&[".###", "#.##", "##.#", "###."]));
        assert!(!road.is_same(&fields, 0.7) && road.is_same(&drawn(&["#...", ".#..", "...#", "...#"]), 0.7));
        // A speck far away.
        let (field, speck) = (drawn(&["###.....", "###....."]), drawn(&["###.....", "###....#"]));
        assert!(field.is_same(&speck, 0.7) && !field.is_same(&speck, 0.9));
    }
}
