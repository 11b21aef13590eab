//! Masks on their way out: seen whole by a chip, or put together from pieces.

use std::collections::BTreeMap;

use geosam_core::PixelPoint;

use super::candidate::Candidate;
use super::config::AutomaticMasksConfig;
use super::rectangle::Rectangle;
use super::regions::{drop_islands, fill_holes, regions_apart};
use super::runs::Runs;

/// How much of it chips saw; the most reliable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// It lies in one chip, away from its inner sides.
    Whole,
    /// Several chips saw pieces that agree.
    Joined,
    /// One chip saw a piece, and no other a piece that agrees with it.
    Cut,
}

/// A mask, and the chips it was seen in.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) mask: Runs,
    pub(super) score: f32,
    pub(super) stability: f32,
    pub(super) point: PixelPoint,
    pub(super) seen: Seen,
    pub(super) chips: Vec<Rectangle>,
}

impl Object {
    /// A mask that does not touch the inner sides of its chip.
    pub(super) fn whole(candidate: Candidate, chip: Rectangle) -> Self {
        let Candidate { mask, score, stability, point } = candidate;
        Self { mask, score, stability, point, seen: Seen::Whole, chips: vec![chip] }
    }

    /// What fragments, at least one, make together.
    ///
    /// Where several chips saw a place, the one in whose core it lies decides how far the object goes there; regions that it
    /// did not find at all are left to the others. Scores are means weighted by area, the point is that of the best fragment.
    pub(super) fn of_fragments(fragments: Vec<Fragment>) -> Option<Self> {
        let area: f64 = fragments.iter().map(|fragment| fragment.candidate.mask.area() as f64).sum();
        let mean = |value: fn(&Candidate) -> f32| {
            let weighted = |f: &Fragment| f64::from(value(&f.candidate)) * f.candidate.mask.area() as f64;
            (fragments.iter().map(weighted).sum::<f64>() / area) as f32
        };
        let (score, stability) = (mean(|candidate| candidate.score), mean(|candidate| candidate.stability));
        let best = fragments.iter().max_by(|a, b| a.candidate.score.total_cmp(&b.candidate.score))?;
        let point = best.candidate.point;
        let mut by_chip: BTreeMap<usize, (Rectangle, Rectangle, Vec<Runs>)> = BTreeMap::new();
        for Fragment { chip, window, core, candidate } in fragments {
            by_chip.entry(chip).or_insert((window, core, Vec::new())).2.push(candidate.mask);
        }
        let seen = if by_chip.len() > 1 { Seen::Joined } else { Seen::Cut };
        let chips = by_chip.values().map(|(window, ..)| *window).collect();
        let cores: Vec<Rectangle> = by_chip.values().map(|(_, core, _)| *core).collect();
        let all = Runs::union(by_chip.values().flat_map(|(.., masks)| masks))?;
        let mut parts: Vec<Runs> = all.outside(&cores).into_iter().collect();
        for (_, core, masks) in by_chip.values() {
            let own = Runs::union(masks).and_then(|own| own.clip(&[*core]));
            let unknown = all.clip(&[*core]).and_then(|there| regions_apart(&there, own.as_ref()));
            parts.extend(own.into_iter().chain(unknown));
        }
        Some(Self { mask: Runs::union(&parts)?, score, stability, point, seen, chips })
    }

    /// The mask with its holes and islands seen to, if it is neither too small nor too large then.
    pub(super) fn finished(mut self, config: &AutomaticMasksConfig) -> Option<Self> {
        let hole = if config.fill_holes { u64::MAX } else { config.min_mask_region_area };
        if hole > 0 {
            self.mask = fill_holes(self.mask, hole);
        }
        if config.min_mask_region_area > 0 {
            self.mask = drop_islands(self.mask, config.min_mask_region_area);
        }
        config.keeps_area(self.mask.area()).then_some(self)
    }
}

/// A mask that an inner side of its chip cuts.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    /// Number of the chip in the layout.
    pub(super) chip: usize,
    pub(super) window: Rectangle,
    pub(super) core: Rectangle,
    pub(super) candidate: Candidate,
}
