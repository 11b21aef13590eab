//! Of masks of the same object, one.

use rstar::primitives::{GeomWithData, Rectangle as Envelope};
use rstar::{AABB, RTree};

use super::config::AutomaticMasksConfig;
use super::object::{Object, Seen};
use super::rectangle::Rectangle;
use super::regions::root;
use super::seams::OpenSet;

/// Objects that wait until everything is known that they may be the same as.
#[derive(Debug)]
pub(super) struct Suppression {
    waiting: Vec<Object>,
    box_nms_thresh: f64,
    seam_iou_thresh: f64,
}

type Entry = GeomWithData<Envelope<[f64; 2]>, usize>;

impl Suppression {
    pub(super) fn new(config: &AutomaticMasksConfig) -> Self {
        let AutomaticMasksConfig { box_nms_thresh, seam_iou_thresh, .. } = *config;
        Self { waiting: Vec::new(), box_nms_thresh, seam_iou_thresh }
    }

    /// Number of objects that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(&mut self, object: Object) {
        self.waiting.push(object);
    }

    /// The objects that are settled once all chips above pixel row `next_top` have answered (`i32::MAX`: all there are) and
    /// these sets of fragments are still open: one of each group of the same, in row-major order.
    ///
    /// A group, objects that are linked by being the same as each other, is settled together: so the choice is that of the
    /// greedy suppression over the whole raster, of which groups are independent.
    pub(super) fn settle(&mut self, next_top: i32, open: &[OpenSet]) -> Vec<Object> {
        let waiting = std::mem::take(&mut self.waiting);
        let entry = |(index, object): (usize, &Object)| Entry::new(envelope(object.mask.bounds()), index);
        let tree = RTree::bulk_load(waiting.iter().enumerate().map(entry).collect());
        let around = |bounds: &Rectangle| {
            let [lower, upper] = corners(bounds);
            tree.locate_in_envelope_intersecting(AABB::from_corners(lower, upper)).map(|entry| entry.data)
        };

        let mut groups: Vec<usize> = (0..waiting.len()).collect();
        for (index, object) in waiting.iter().enumerate() {
            for other in around(object.mask.bounds()).filter(|other| *other > index) {
                if self.is_same(object, &waiting[other]) || self.is_same(&waiting[other], object) {
                    let (a, b) = (root(&mut groups, index), root(&mut groups, other));
                    groups[a.max(b)] = a.min(b);
                }
            }
        }
        let mut unsettled = vec![false; waiting.len()];
        let mut wait = |index: usize| unsettled[root(&mut groups, index)] = true;
        for (index, object) in waiting.iter().enumerate() {
            if next_top != i32::MAX && object.mask.bounds().bottom > next_top {
                wait(index);
            }
        }
        for set in open {
            around(&set.bounds).filter(|&index| self.may_be_same(&waiting[index], set)).for_each(&mut wait);
        }

        let mut settled: Vec<(usize, Object)> = Vec::new();
        for (index, object) in waiting.into_iter().enumerate() {
            match root(&mut groups, index) {
                group if unsettled[group] => self.waiting.push(object),
                group => settled.push((group, object)),
            }
        }
        settled.sort_by(|(group_a, a), (group_b, b)| group_a.cmp(group_b).then_with(|| rank(a, b)));
        let mut kept: Vec<Object> = Vec::new();
        for group in settled.chunk_by(|(a, _), (b, _)| a == b) {
            let first = kept.len();
            for (_, object) in group {
                if !kept[first..].iter().any(|better| self.is_same(object, better)) {
                    kept.push(object.clone());
                }
            }
        }
        kept.sort_by_key(|object| (object.mask.bounds().top, object.mask.bounds().left));
        kept
    }

    /// Whether `object` says no more than `better` does: they or their boxes are the same, or `object` is a piece of it, as far as
    /// the chips of `object` see it.
    fn is_same(&self, object: &Object, better: &Object) -> bool {
        if object.mask.is_same(&better.mask, self.box_nms_thresh) {
            return true;
        }
        let threshold = match object.seen {
            Seen::Whole => return false,
            Seen::Joined => self.box_nms_thresh,
            Seen::Cut => self.seam_iou_thresh,
        };
        // One chip can tell an object from its parts.
        object.chips != better.chips
            && better.mask.clip(&object.chips).is_some_and(|seen| object.mask.iou(&seen) >= threshold)
    }

    /// Whether a set of fragments may turn out to be the same as an object, one way round or the other.
    fn may_be_same(&self, object: &Object, set: &OpenSet) -> bool {
        // The set only grows, which bounds its IoU with the object.
        let (pixels, area) = (object.mask.bounds().area() as f64, object.mask.area() as f64);
        object.seen != Seen::Whole
            || pixels >= self.box_nms_thresh * set.bounds.area() as f64
            || area >= self.seam_iou_thresh.min(self.box_nms_thresh) * set.area as f64
    }
}

/// The one to keep first: what a chip saw whole, by predicted IoU; then what was put together, by area.
fn rank(a: &Object, b: &Object) -> std::cmp::Ordering {
    a.seen.cmp(&b.seen).then_with(|| match a.seen {
        Seen::Whole => b.score.total_cmp(&a.score),
        Seen::Joined | Seen::Cut => b.mask.area().cmp(&a.mask.area()),
    })
}

fn corners(bounds: &Rectangle) -> [[f64; 2]; 2] {
    let Rectangle { left, top, right, bottom } = *bounds;
    [[left.into(), top.into()], [right.into(), bottom.into()]]
}

fn envelope(bounds: &Rectangle) -> Envelope<[f64; 2]> {
    let [lower, upper] = corners(bounds);
    Envelope::from_corners(lower, upper)
}
