//! Where chips lie, and which of them is asked where.

use std::collections::BTreeMap;

use geosam_core::PixelPoint;

use super::rectangle::Rectangle;

/// Chips of a raster in row-major order of their first pixels.
///
/// Every place belongs to the core of one chip, the one in which it lies most centrally: the border between the cores of two
/// neighbours is in the middle of their overlap, or where they meet. What is asked about a place is asked of that chip only,
/// so the number of prompts does not depend on how much chips overlap.
#[derive(Debug)]
pub(super) struct Layout {
    chips: Vec<Rectangle>,
    /// The first chip of each row of chips.
    rows: Vec<usize>,
    across: Axis,
    down: Axis,
    /// Distance between prompts.
    spacing: PixelPoint,
}

impl Layout {
    /// Chips in row-major order, with `points_per_side` prompts along each side of a chip.
    pub(super) fn new(chips: Vec<Rectangle>, points_per_side: usize) -> Self {
        let rows = (0..chips.len()).filter(|&chip| chip == 0 || chips[chip].top != chips[chip - 1].top).collect();
        let across = Axis::of(chips.iter().map(|chip| (chip.left, chip.right)));
        let down = Axis::of(chips.iter().map(|chip| (chip.top, chip.bottom)));
        let spacing = PixelPoint::new(
            f64::from(across.longest) / points_per_side as f64,
            f64::from(down.longest) / points_per_side as f64,
        );
        Self { chips, rows, across, down, spacing }
    }

    pub(super) fn len(&self) -> usize {
        self.chips.len()
    }

    pub(super) fn chip(&self, chip: usize) -> &Rectangle {
        &self.chips[chip]
    }

    /// One side of a chip, the longest there is.
    pub(super) fn longest_side(&self) -> i32 {
        self.across.longest.max(self.down.longest)
    }

    /// The smallest rectangle around all chips.
    pub(super) fn bounds(&self) -> Rectangle {
        let [across, down] = [&self.across, &self.down].map(Axis::extent);
        Rectangle { left: across.0, top: down.0, right: across.1, bottom: down.1 }
    }

    /// The part of a chip in which it is asked.
    pub(super) fn core(&self, chip: usize) -> Rectangle {
        let chip = &self.chips[chip];
        let (left, right) = self.across.core(chip.left, chip.right);
        let (top, bottom) = self.down.core(chip.top, chip.bottom);
        Rectangle { left, top, right, bottom }
    }

    /// The points of the raster's grid of prompts in a chip's core, row by row, in pixels of the raster.
    pub(super) fn points(&self, chip: usize) -> Vec<PixelPoint> {
        let (core, all) = (self.core(chip), self.bounds());
        let columns = positions(all.left, self.spacing.column, core.left, core.right);
        let rows = positions(all.top, self.spacing.row, core.top, core.bottom);
        rows.iter().flat_map(|&row| columns.iter().map(move |&column| PixelPoint::new(column, row))).collect()
    }

    /// The chips that share pixels with this one or lie beside it.
    pub(super) fn neighbours(&self, chip: usize) -> impl Iterator<Item = usize> + '_ {
        let here = self.chips[chip];
        let first = self.rows.partition_point(|&start| self.chips[start].top + self.down.longest < here.top);
        let rows = (first..self.rows.len()).take_while(move |&row| self.chips[self.rows[row]].top <= here.bottom);
        let chips = rows.flat_map(move |row| {
            let end = self.rows.get(row + 1).copied().unwrap_or(self.chips.len());
            let chips = &self.chips[self.rows[row]..end];
            let from = chips.partition_point(|other| other.left + self.across.longest < here.left);
            let to = chips.partition_point(|other| other.left <= here.right);
            self.rows[row] + from..self.rows[row] + to
        });
        chips.filter(move |&other| other != chip && self.chips[other].touches(&here))
    }

    /// The sides of a chip beyond which another chip goes on.
    pub(super) fn inner_sides(&self, chip: usize) -> Sides {
        let here = self.chips[chip];
        let mut sides = Sides::default();
        for other in self.neighbours(chip).map(|other| self.chips[other]) {
            if other.top < here.bottom && here.top < other.bottom {
                sides.left |= other.left < here.left;
                sides.right |= other.right > here.right;
            }
            if other.left < here.right && here.left < other.right {
                sides.top |= other.top < here.top;
                sides.bottom |= other.bottom > here.bottom;
            }
        }
        sides
    }

    /// If the chip is the last of its row of chips: the first row of pixels that later chips have, or the raster's end.
    pub(super) fn row_ends(&self, chip: usize) -> Option<i32> {
        match self.chips.get(chip + 1) {
            None => Some(i32::MAX),
            Some(next) => (next.top != self.chips[chip].top).then_some(next.top),
        }
    }
}

/// Sides of a rectangle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) left: bool,
    pub(super) top: bool,
    pub(super) right: bool,
    pub(super) bottom: bool,
}

impl Sides {
    /// Whether a mask in a chip comes nearer than `distance` pixels to one of these sides of it.
    pub(super) fn cut(self, mask: &Rectangle, chip: &Rectangle, distance: i32) -> bool {
        (self.left && mask.left - chip.left < distance)
            || (self.top && mask.top - chip.top < distance)
            || (self.right && chip.right - mask.right < distance)
            || (self.bottom && chip.bottom - mask.bottom < distance)
    }
}

/// Where chips start and end along one axis.
#[derive(Debug)]
struct Axis {
    /// By start the end, of several the last.
    ends: BTreeMap<i32, i32>,
    longest: i32,
}

impl Axis {
    fn of(chips: impl Iterator<Item = (i32, i32)>) -> Self {
        let mut axis = Self { ends: BTreeMap::new(), longest: 0 };
        for (start, end) in chips {
            let last = axis.ends.entry(start).or_insert(end);
            *last = end.max(*last);
            axis.longest = axis.longest.max(end - start);
        }
        axis
    }

    fn extent(&self) -> (i32, i32) {
        let start = self.ends.keys().next().copied().unwrap_or(0);
        (start, self.ends.values().copied().max().unwrap_or(0))
    }

    /// The core of the chip from `start` to `end`: it shares its overlap with the chips before and after it by halves.
    fn core(&self, start: i32, end: i32) -> (i32, i32) {
        let middle = |start: i32, end: i32| (i64::from(start) + i64::from(end)).div_euclid(2) as i32;
        let before = self.ends.range(..start).next_back();
        let after = self.ends.range(start + 1..).next();
        let from = before.map_or(start, |(_, &end_before)| middle(start, end_before).clamp(start, end));
        let to = after.map_or(end, |(&start_after, _)| middle(start_after, end).clamp(start, end));
        (from, to)
    }
}

/// The positions `origin + (k + ½) · spacing` in `from..to`.
fn positions(origin: i32, spacing: f64, from: i32, to: i32) -> Vec<f64> {
    let first = (f64::from(from - origin) / spacing - 0.5).ceil().max(0.0);
    let position = |k: u32| f64::from(origin) + (first + f64::from(k) + 0.5) * spacing;
    (0..).map(position).skip_while(|at| *at < f64::from(from)).take_while(|at| *at < f64::from(to)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use geosam_core::{GridGeoSampler, Shape, Tiling, Window};

    use super::*;

    fn layout(raster: Shape, chip: usize, tiling: Tiling, points: usize) -> Layout {
        let sampler = GridGeoSampler::with_tiling(Window::whole(raster), Shape::square(chip), tiling).unwrap();
        Layout::new(sampler.windows().map(Rectangle::of).collect(), points)
    }

    #[test]
    fn every_point_of_the_grid_is_asked_once() {
        for tiling in [Tiling::HalfOverlap, Tiling::NonOverlapping, Tiling::Stride(Shape::square(5))] {
            let layout = layout(Shape::new(37, 50), 16, tiling, 4);
            let mut asked: Vec<(i32, i32)> = Vec::new();
            for chip in 0..layout.len() {
                let core = layout.core(chip);
                assert_eq!(core.intersection(layout.chip(chip)), Some(core), "a core lies in its chip");
                asked.extend(layout.points(chip).iter().map(|p| (p.row as i32, p.column as i32)));
            }
            asked.sort_unstable();
            let expected: Vec<_> =
                (2..37).step_by(4).flat_map(|row| (2..50).step_by(4).map(move |c| (row, c))).collect();
            assert_eq!(asked, expected, "{tiling:?}");
        }
    }

    #[test]
    fn a_single_chip_has_the_official_grid() {
        let layout = layout(Shape::new(64, 96), 1024, Tiling::HalfOverlap, 32);
        let points = layout.points(0);
        assert_eq!(points.len(), 32 * 32);
        assert_eq!((points[0], points[1]), (PixelPoint::new(1.5, 1.0), PixelPoint::new(4.5, 1.0)));
        assert_eq!(layout.inner_sides(0), Sides::default());
        assert_eq!(layout.row_ends(0), Some(i32::MAX));
    }

    #[test]
    fn neighbours_and_inner_sides() {
        let layout = layout(Shape::square(32), 16, Tiling::HalfOverlap, 4);
        // 3 × 3 chips, every 8 pixels.
        assert_eq!(layout.neighbours(0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
        let all = Sides { left: true, top: true, right: true, bottom: true };
        assert_eq!(layout.inner_sides(4), all);
        assert_eq!(layout.inner_sides(0), Sides { left: false, top: false, ..all });
        assert_eq!(layout.core(4), Rectangle { left: 12, top: 12, right: 20, bottom: 20 });
        assert_eq!([0, 2, 5, 8].map(|chip| layout.row_ends(chip)), [None, Some(8), Some(16), Some(i32::MAX)]);
        let mask = Rectangle { left: 10, top: 10, right: 23, bottom: 20 };
        assert!(!all.cut(&mask, layout.chip(4), 1));
        assert!(all.cut(&mask, layout.chip(4), 2));
    }

    #[test]
    fn a_chip_that_was_left_out_is_no_neighbour() {
        let chip = |left, top| Rectangle { left, top, right: left + 16, bottom: top + 16 };
        let layout = Layout::new(vec![chip(0, 0), chip(16, 0), chip(48, 0), chip(16, 16)], 4);
        assert_eq!(layout.neighbours(1).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(layout.inner_sides(2), Sides::default());
        assert_eq!(layout.core(2), *layout.chip(2));
    }
}
