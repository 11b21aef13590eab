//! Connected regions of masks, and the holes in them.

use super::rectangle::Rectangle;
use super::runs::{Run, Runs};

/// The regions of a mask; pixels that share a corner belong together, as in the official generators.
#[derive(Debug)]
pub(super) struct Regions {
    /// Region of each run.
    pub(super) of_run: Vec<usize>,
    /// Pixels of each region.
    pub(super) areas: Vec<u64>,
}

impl Regions {
    pub(super) fn of(runs: &[Run]) -> Self {
        let mut parents: Vec<usize> = (0..runs.len()).collect();
        let mut above = 0;
        for (index, run) in runs.iter().enumerate() {
            // The first run of the row above that may touch, and those after it.
            while runs[above].row < run.row - 1 || (runs[above].row == run.row - 1 && runs[above].end < run.start) {
                above += 1;
            }
            let touching = runs[above..index].iter().take_while(|other| other.row < run.row && other.start <= run.end);
            for other in above..above + touching.count() {
                let (a, b) = (root(&mut parents, index), root(&mut parents, other));
                parents[a.max(b)] = a.min(b);
            }
        }
        let mut numbers = vec![usize::MAX; runs.len()];
        let mut regions = Self { of_run: Vec::with_capacity(runs.len()), areas: Vec::new() };
        for (index, run) in runs.iter().enumerate() {
            let root = root(&mut parents, index);
            if numbers[root] == usize::MAX {
                numbers[root] = regions.areas.len();
                regions.areas.push(0);
            }
            regions.areas[numbers[root]] += run.len();
            regions.of_run.push(numbers[root]);
        }
        regions
    }

    /// The region with most pixels, the first of equals.
    pub(super) fn largest(&self) -> usize {
        (0..self.areas.len()).rev().max_by_key(|&region| self.areas[region]).unwrap_or(0)
    }
}

/// The root of a set, the path to it shortened.
pub(super) fn root(parents: &mut [usize], mut member: usize) -> usize {
    while parents[member] != member {
        parents[member] = parents[parents[member]];
        member = parents[member];
    }
    member
}

/// The mask with the holes of fewer than `area` pixels filled.
pub(super) fn fill_holes(mask: Runs, area: u64) -> Runs {
    let bounds = *mask.bounds();
    let gaps = gaps(mask.as_slice(), &bounds);
    let regions = Regions::of(&gaps);
    let mut fill: Vec<bool> = regions.areas.iter().map(|pixels| *pixels < area).collect();
    for (gap, region) in gaps.iter().zip(&regions.of_run) {
        let on_edge = gap.row == bounds.top
            || gap.row + 1 == bounds.bottom
            || gap.start == bounds.left
            || gap.end == bounds.right;
        fill[*region] &= !on_edge;
    }
    let holes = gaps.iter().zip(&regions.of_run).filter(|(_, region)| fill[**region]).map(|(gap, _)| *gap);
    let runs: Vec<_> = mask.as_slice().iter().copied().chain(holes).collect();
    Runs::new(runs).unwrap_or(mask)
}

/// The mask without the regions of fewer than `area` pixels; of small ones only, the largest stays.
pub(super) fn drop_islands(mask: Runs, area: u64) -> Runs {
    let regions = Regions::of(mask.as_slice());
    let largest = regions.largest();
    let kept = mask.as_slice().iter().zip(&regions.of_run);
    let kept = kept.filter(|(_, region)| **region == largest || regions.areas[**region] >= area);
    Runs::new(kept.map(|(run, _)| *run).collect()).unwrap_or(mask)
}

/// The regions of a mask that share no pixel with the other one.
pub(super) fn regions_apart(mask: &Runs, other: Option<&Runs>) -> Option<Runs> {
    let Some(other) = other else { return Some(mask.clone()) };
    let regions = Regions::of(mask.as_slice());
    let mut apart = vec![true; regions.areas.len()];
    mask.for_each_overlap(other, |run, _, _| apart[regions.of_run[run]] = false);
    let kept = mask.as_slice().iter().zip(&regions.of_run).filter(|(_, region)| apart[**region]);
    Runs::new(kept.map(|(run, _)| *run).collect())
}

/// The pixels of `bounds` that are in none of the runs.
fn gaps(runs: &[Run], bounds: &Rectangle) -> Vec<Run> {
    let mut gaps = Vec::new();
    let mut rest = runs;
    for row in bounds.top..bounds.bottom {
        let (these, after) = rest.split_at(rest.partition_point(|run| run.row <= row));
        let ends = std::iter::once(bounds.left).chain(these.iter().map(|run| run.end));
        let starts = these.iter().map(|run| run.start).chain([bounds.right]);
        gaps.extend(ends.zip(starts).filter(|(end, start)| end < start).map(|(start, end)| Run { row, start, end }));
        rest = after;
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::super::runs::tests::drawn;
    use super::*;

    #[test]
    fn pixels_that_share_a_corner_belong_together() {
        let mask = drawn(&["#..##", ".#...", "#..#.", "...##"]);
        let regions = Regions::of(mask.as_slice());
        assert_eq!(regions.of_run, [0, 1, 0, 0, 2, 2]);
        assert_eq!(regions.areas, [3, 2, 3]);
        assert_eq!(regions.largest(), 0);
        // Two arms that meet further down.
        assert_eq!(Regions::of(drawn(&["#.#.#", "#.#.#", "#####"]).as_slice()).areas, [11]);
    }

    #[test]
    fn small_holes_are_filled_and_bays_are_not() {
        let mask = drawn(&["#####.", "#.#..#", "####.#", "#.####"]);
        assert_eq!(fill_holes(mask.clone(), 1), mask);
        assert_eq!(fill_holes(mask.clone(), 2), drawn(&["#####.", "###..#", "####.#", "#.####"]));
        assert_eq!(fill_holes(drawn(&["####", "#..#", "####"]), u64::MAX), drawn(&["####", "####", "####"]));
    }

    #[test]
    fn small_islands_go_and_one_always_stays() {
        let mask = drawn(&["##.#", "##..", "...#"]);
        assert_eq!(drop_islands(mask.clone(), 2), drawn(&["##..", "##..", "...."]));
        assert_eq!(drop_islands(mask.clone(), 100), drawn(&["##..", "##..", "...."]));
        assert_eq!(drop_islands(mask.clone(), 1), mask);
        assert_eq!(
            regions_apart(&mask, Some(&drawn(&["#...", "....", "...."]))),
            Some(drawn(&["...#", "....", "...#"]))
        );
        assert_eq!(regions_apart(&mask, Some(&mask)), None);
    }
}
