//! Objects that chip borders cut, put together.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::config::AutomaticMasksConfig;
use super::object::{Fragment, Object};
use super::rectangle::Rectangle;
use super::regions::{Regions, root};
use super::runs::{Run, Runs};

/// Fragments that wait for their neighbours, in sets of those that belong together.
#[derive(Debug)]
pub(super) struct Seams {
    /// Those of a chip lie together.
    fragments: Vec<Fragment>,
    of_chip: HashMap<usize, Range<usize>>,
    parents: Vec<usize>,
    /// Around the set whose root has this index.
    bounds: Vec<Rectangle>,
    iou_thresh: f64,
    max_pixels: u64,
    /// How far from the border of a chip a mask may end that reaches it.
    reach: i32,
}

/// A set of fragments that later chips may add to.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenSet {
    pub(super) bounds: Rectangle,
    /// Least pixels that the object will have.
    pub(super) area: u64,
}

impl Seams {
    pub(super) fn new(config: &AutomaticMasksConfig, reach: i32) -> Self {
        Self {
            fragments: Vec::new(),
            of_chip: HashMap::new(),
            parents: Vec::new(),
            bounds: Vec::new(),
            iou_thresh: config.seam_iou_thresh,
            max_pixels: config.max_joined_pixels,
            reach,
        }
    }

    /// Number of fragments that wait.
    pub(super) fn len(&self) -> usize {
        self.fragments.len()
    }

    /// Add the fragments of one chip, and join them with those of its neighbours among the chips before it.
    pub(super) fn add(&mut self, chip: usize, fragments: Vec<Fragment>, neighbours: impl Iterator<Item = usize>) {
        let Some(window) = fragments.first().map(|fragment| fragment.window) else { return };
        let first = self.fragments.len();
        for fragment in fragments {
            self.parents.push(self.fragments.len());
            self.bounds.push(*fragment.candidate.mask.bounds());
            self.fragments.push(fragment);
        }
        let these = first..self.fragments.len();
        for neighbour in neighbours {
            let Some(those) = self.of_chip.get(&neighbour).cloned() else { continue };
            let there = self.fragments[those.start].window;
            if let Some(seam) = Seam::between(&there, &window, self.reach) {
                for (a, b) in self.matches(&seam, those, these.clone()) {
                    self.join(a, b);
                }
            }
        }
        self.of_chip.insert(chip, these);
    }

    /// Pairs that agree, one of each range. A part of a fragment goes with one part of the other chip's fragments only: with
    /// the one it agrees with best, so that an object is not joined with the part of it that the neighbour found, too.
    fn matches(&self, seam: &Seam, first: Range<usize>, second: Range<usize>) -> Vec<(usize, usize)> {
        let parts = |range: Range<usize>, strip: &Rectangle| -> Vec<(usize, SeamPart)> {
            let part = |index: usize| Some((index, seam.part(&self.fragments[index].candidate.mask, strip)?));
            range.filter_map(part).collect()
        };
        let (first, second) = (parts(first, &seam.first), parts(second, &seam.second));
        let mut agreeing = Vec::new();
        for (a, part_a) in &first {
            for (b, part_b) in &second {
                part_a.for_each_agreement(part_b, self.iou_thresh, |iou, region_a, region_b| {
                    agreeing.push((iou, (*a, region_a), (*b, region_b)));
                });
            }
        }
        agreeing.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        let (mut taken_a, mut taken_b) = (HashSet::new(), HashSet::new());
        agreeing.retain(|(_, a, b)| {
            let free = !taken_a.contains(a) && !taken_b.contains(b);
            if free {
                taken_a.insert(*a);
                taken_b.insert(*b);
            }
            free
        });
        agreeing.into_iter().map(|(_, (a, _), (b, _))| (a, b)).collect()
    }

    /// Make two sets one, unless it became too large.
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (root(&mut self.parents, a), root(&mut self.parents, b));
        let bounds = self.bounds[a].union(&self.bounds[b]);
        if a != b && bounds.area() <= self.max_pixels {
            self.parents[a.max(b)] = a.min(b);
            self.bounds[a.min(b)] = bounds;
        }
    }

    /// The objects that no chip from pixel row `next_top` on can add to; `i32::MAX` stands for the raster's end.
    pub(super) fn close(&mut self, next_top: i32) -> Vec<Object> {
        let roots: Vec<usize> = (0..self.fragments.len()).map(|index| root(&mut self.parents, index)).collect();
        let reaches = |fragment: &Fragment| {
            // The border itself counts where chips lie side by side, and so does what ends just before it.
            next_top != i32::MAX && fragment.candidate.mask.bounds().bottom + self.reach > next_top
        };
        let open: HashSet<usize> = roots
            .iter()
            .zip(&self.fragments)
            .filter(|(_, fragment)| reaches(fragment))
            .map(|(root, _)| *root)
            .collect();
        let mut closed: Vec<Vec<Fragment>> = Vec::new();
        let mut set_of_root: HashMap<usize, usize> = HashMap::new();
        let (mut kept, mut old_roots) = (Vec::new(), Vec::new());
        for (fragment, root) in std::mem::take(&mut self.fragments).into_iter().zip(roots) {
            if open.contains(&root) {
                kept.push(fragment);
                old_roots.push(root);
            } else {
                let set = *set_of_root.entry(root).or_insert(closed.len());
                if set == closed.len() {
                    closed.push(Vec::new());
                }
                closed[set].push(fragment);
            }
        }
        self.renumber(kept, &old_roots);
        closed.into_iter().filter_map(Object::of_fragments).collect()
    }

    /// Start over with these fragments, those with the same root in one set.
    fn renumber(&mut self, fragments: Vec<Fragment>, roots: &[usize]) {
        let mut first_with_root: HashMap<usize, usize> = HashMap::new();
        self.parents = roots.iter().enumerate().map(|(i, root)| *first_with_root.entry(*root).or_insert(i)).collect();
        let old_bounds = std::mem::take(&mut self.bounds);
        self.bounds = roots.iter().map(|root| old_bounds[*root]).collect();
        self.of_chip.clear();
        for (index, fragment) in fragments.iter().enumerate() {
            self.of_chip.entry(fragment.chip).or_insert(index..index).end = index + 1;
        }
        self.fragments = fragments;
    }

    /// The sets that wait.
    pub(super) fn open_sets(&mut self) -> Vec<OpenSet> {
        let mut sets: HashMap<usize, u64> = HashMap::new();
        for index in 0..self.fragments.len() {
            let area = sets.entry(root(&mut self.parents, index)).or_default();
            *area = self.fragments[index].candidate.mask.area().max(*area);
        }
        sets.into_iter().map(|(root, area)| OpenSet { bounds: self.bounds[root], area }).collect()
    }
}

/// Where two chips can be compared: the pixels that both have, or where they only meet, a strip on either side.
#[derive(Clone, Copy, Debug)]
struct Seam {
    first: Rectangle,
    second: Rectangle,
    across: Across,
    /// How far edges may be off: half of what a mask may end before a border.
    tolerance: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Across {
    Overlap,
    /// The chips meet in a vertical border, and masks are compared row by row.
    Columns,
    /// They meet in a horizontal one.
    Rows,
}

impl Seam {
    /// `None` where they share a corner only.
    fn between(first: &Rectangle, second: &Rectangle, reach: i32) -> Option<Self> {
        let tolerance = reach / 2;
        if let Some(overlap) = first.intersection(second) {
            return Some(Self { first: overlap, second: overlap, across: Across::Overlap, tolerance });
        }
        let (left, right) = (first.left.max(second.left), first.right.min(second.right));
        let (top, bottom) = (first.top.max(second.top), first.bottom.min(second.bottom));
        // Of rectangles side by side, the border is where one of the two spans is empty.
        if left == right && top < bottom {
            let strip = |chip: &Rectangle| {
                if chip.right == left {
                    Rectangle { left: left - reach, top, right: left, bottom }
                } else {
                    Rectangle { left, top, right: left + reach, bottom }
                }
            };
            return Some(Self { first: strip(first), second: strip(second), across: Across::Columns, tolerance });
        }
        if top == bottom && left < right {
            let strip = |chip: &Rectangle| {
                if chip.bottom == top {
                    Rectangle { left, top: top - reach, right, bottom: top }
                } else {
                    Rectangle { left, top, right, bottom: top + reach }
                }
            };
            return Some(Self { first: strip(first), second: strip(second), across: Across::Rows, tolerance });
        }
        None
    }

    /// What a mask has in its strip of the seam; strips are projected onto the border.
    fn part(&self, mask: &Runs, strip: &Rectangle) -> Option<SeamPart> {
        let clipped = mask.clip(&[*strip])?;
        let project = |to: fn(&Run) -> Run| Runs::new(clipped.as_slice().iter().map(to).collect());
        let mask = match self.across {
            Across::Overlap => Some(clipped),
            Across::Columns => project(|run| Run { row: run.row, start: 0, end: 1 }),
            Across::Rows => project(|run| Run { row: 0, ..*run }),
        }?;
        // What is as narrow as edges are off, a road, would hardly ever agree.
        let mask = mask.thickened(self.tolerance);
        let regions = Regions::of(mask.as_slice());
        Some(SeamPart { largest: regions.largest(), mask, regions })
    }
}

/// What a mask has in a seam, in its connected regions.
#[derive(Debug)]
struct SeamPart {
    mask: Runs,
    regions: Regions,
    largest: usize,
}

impl SeamPart {
    /// Calls `take` with the IoU of every two regions that have at least `threshold`, one of which is the largest of its
    /// mask: specks prove nothing, but a mask may cross the seam several times.
    fn for_each_agreement(&self, other: &Self, threshold: f64, mut take: impl FnMut(f64, usize, usize)) {
        let mut shared: HashMap<(usize, usize), u64> = HashMap::new();
        self.mask.for_each_overlap(&other.mask, |a, b, pixels| {
            *shared.entry((self.regions.of_run[a], other.regions.of_run[b])).or_default() += pixels;
        });
        for ((a, b), pixels) in shared {
            let iou = pixels as f64 / (self.regions.areas[a] + other.regions.areas[b] - pixels) as f64;
            if iou >= threshold && (a == self.largest || b == other.largest) {
                take(iou, a, b);
            }
        }
    }
}
