//! Everything a model finds on a raster, without prompts.

mod candidate;
mod chips;
mod config;
mod layout;
mod mask;
mod object;
mod rectangle;
mod regions;
mod runs;
mod seams;
mod suppression;

use std::sync::Arc;

use geosam_core::{ChipSource, Error, FeatureStore, GeoGrid, PixelPoint, Progress, Result, Segmenter};

use self::candidate::{Asked, Candidate, best_of_each_box};
use self::chips::{Chips, Opened};
pub use self::config::{AutomaticMasksConfig, AutomaticMasksRaster};
use self::layout::Layout;
pub use self::mask::AutomaticMask;
use self::object::{Fragment, Object};
use self::seams::Seams;
use self::suppression::Suppression;

/// A mask that ends nearer than this part of a chip to a border is taken to be cut by it: two of the decoder's logits, 8
/// pixels of 1024. The official generators take 20 pixels, but drop the mask.
const REACH: i32 = 128;

/// Finds everything the model sees on a raster: a grid of points is asked, and of the masks that are good and stable one is
/// kept for each object, also where a chip border cuts it.
///
/// The parameters are those of the official generators ([`AutomaticMasksConfig`]). Where they cut an image into crops and
/// drop what touches a crop's edge, here chips cover the raster, and what their borders cut is replaced by the whole mask of
/// another chip, or put together from the pieces that agree. A piece beyond a border that no point hits stays unknown: where
/// chips do not overlap, up to the distance between points may be missing at the ends of an object.
///
/// Masks are handed over one by one, as soon as no later chip can change them. What waits is kept as runs of pixels, for one row of
/// chips and what reaches further down from it: memory grows with the width of the raster, not with its height.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use geosam_core::{FeatureStore, Result, Segmenter};
/// use geosam_core::NoProgress;
/// use geosam_query::{AutomaticMasks, AutomaticMasksConfig};
///
/// /// Number of objects of at least 400 pixels, and the area of the largest.
/// fn count(store: Arc<dyn FeatureStore>, segmenter: Arc<dyn Segmenter>) -> Result<(usize, u64)> {
///     let config = AutomaticMasksConfig { min_area: 400, ..AutomaticMasksConfig::default() };
///     let mut largest = 0;
///     let masks = AutomaticMasks::from_features(store, segmenter, config)?;
///     let report = masks.for_each(&NoProgress, |mask| {
///         largest = mask.area.max(largest);
///         Ok(())
///     })?;
///     Ok((report.masks, largest))
/// }
/// ```
#[derive(Debug)]
pub struct AutomaticMasks {
    chips: Chips,
    segmenter: Arc<dyn Segmenter>,
    layout: Layout,
    grid: GeoGrid,
    config: AutomaticMasksConfig,
}

/// What [`AutomaticMasks::for_each`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AutomaticMasksReport {
    /// Chips that were asked.
    pub chips: usize,
    /// Chips that were not, as they hold no data where they would have been.
    pub skipped: usize,
    /// Points that were asked.
    pub points: usize,
    /// Masks that were handed over.
    pub masks: usize,
    /// Most masks and pieces of masks that were in memory between two chips.
    pub most_waiting: usize,
}

impl AutomaticMasks {
    /// Search the chips of a feature store, in their order on the raster. Chips that were left out of it for want of data are not
    /// asked.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for unusable settings, for a store without chips, or if these do not lie on one pixel grid;
    /// [`Error::ModelMismatch`] if another model made them; and what listing them returns.
    pub fn from_features(
        store: Arc<dyn FeatureStore>,
        segmenter: Arc<dyn Segmenter>,
        config: AutomaticMasksConfig,
    ) -> Result<Self> {
        config.validate()?;
        let (chips, windows, grid) = Chips::of_store(store, segmenter.spec())?;
        let layout = Layout::new(windows, config.points_per_side);
        Ok(Self { chips, segmenter, layout, grid, config })
    }

    /// Search a raster, each chip encoded when its turn comes. Points and pixels without data are left out. Settles the value
    /// range, which may read the raster.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for unusable settings, [`Error::OutOfBounds`] for an extent that leaves the raster, and what
    /// reading the raster returns.
    pub fn from_raster(
        source: Arc<dyn ChipSource>,
        segmenter: Arc<dyn Segmenter>,
        raster: AutomaticMasksRaster,
        config: AutomaticMasksConfig,
    ) -> Result<Self> {
        config.validate()?;
        let grid = source.grid().clone();
        let (chips, windows) = Chips::of_raster(source, raster, segmenter.spec())?;
        let layout = Layout::new(windows, config.points_per_side);
        Ok(Self { chips, segmenter, layout, grid, config })
    }

    /// The pixels that windows and points of masks are in: the raster, or the smallest grid around the chips of a feature
    /// store.
    #[must_use]
    pub fn grid(&self) -> &GeoGrid {
        &self.grid
    }

    /// Number of chips that will be asked.
    #[must_use]
    pub fn chips(&self) -> usize {
        self.layout.len()
    }

    /// Find all masks, and hand each to `take`. After each row of chips come those that no later chip can change, from
    /// top to bottom.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when `progress` says so, what `take` returns, and what reading, encoding and decoding return. The
    /// masks handed over before are good.
    pub fn for_each(
        &self,
        progress: &dyn Progress,
        mut take: impl FnMut(AutomaticMask) -> Result<()>,
    ) -> Result<AutomaticMasksReport> {
        let mut report = AutomaticMasksReport::default();
        let mut seams = Seams::new(&self.config, self.reach());
        let mut suppression = Suppression::new(&self.config);
        let total = self.layout.len();
        for chip in 0..total {
            if progress.is_canceled() {
                return Err(Error::Cancelled { done: chip, total });
            }
            let mut points = self.layout.points(chip);
            match self.chips.open(chip, self.layout.chip(chip), &mut points, &*self.segmenter)? {
                None => report.skipped += 1,
                Some(opened) => {
                    let candidates = self.ask(chip, &opened, &points, progress)?;
                    self.sort_out(chip, candidates, &mut seams, &mut suppression);
                    report.chips += 1;
                    report.points += points.len();
                }
            }
            report.most_waiting = report.most_waiting.max(seams.len() + suppression.len());
            if let Some(next_top) = self.layout.row_ends(chip) {
                let closed = seams.close(next_top).into_iter();
                closed.filter_map(|object| object.finished(&self.config)).for_each(|object| suppression.push(object));
                for object in suppression.settle(next_top, &seams.open_sets()) {
                    report.masks += 1;
                    take(hand_over(&object, report.masks)?)?;
                }
            }
            progress.push_info(&format!("{} masks", report.masks));
            progress.set_progress(100.0 * (chip + 1) as f64 / total as f64);
        }
        Ok(report)
    }

    /// What a chip answers to points: of each box the best.
    fn ask(
        &self,
        chip: usize,
        opened: &Opened,
        points: &[PixelPoint],
        progress: &dyn Progress,
    ) -> Result<Vec<Candidate>> {
        let asked = Asked {
            session: &*opened.session,
            chip: *self.layout.chip(chip),
            valid: opened.valid.as_deref(),
            pred_iou_thresh: self.config.pred_iou_thresh_for(self.segmenter.spec().model_type),
            config: &self.config,
        };
        let mut candidates = Vec::new();
        for batch in points.chunks(self.config.points_per_batch) {
            if progress.is_canceled() {
                return Err(Error::Cancelled { done: chip, total: self.layout.len() });
            }
            asked.ask(batch, &mut candidates)?;
        }
        Ok(best_of_each_box(candidates, self.config.box_nms_thresh))
    }

    /// Candidates that an inner side of the chip cuts wait for their neighbours, the others are objects.
    fn sort_out(&self, chip: usize, candidates: Vec<Candidate>, seams: &mut Seams, suppression: &mut Suppression) {
        let (window, core, inner) = (*self.layout.chip(chip), self.layout.core(chip), self.layout.inner_sides(chip));
        let mut fragments = Vec::new();
        for candidate in candidates {
            if !inner.cut(candidate.mask.bounds(), &window, self.reach()) {
                if let Some(object) = Object::whole(candidate, window).finished(&self.config) {
                    suppression.push(object);
                }
            } else if self.config.max_area.is_none_or(|most| candidate.mask.area() <= most) {
                fragments.push(Fragment { chip, window, core, candidate });
            }
        }
        seams.add(chip, fragments, self.layout.neighbours(chip).filter(|neighbour| *neighbour < chip));
    }

    /// How many pixels before the border of its chip a mask may end that is cut by it; at least 2, as edges are never exact.
    fn reach(&self) -> i32 {
        (self.layout.longest_side() / REACH).max(2)
    }
}

/// A finished object with its identifier.
fn hand_over(object: &Object, number: usize) -> Result<AutomaticMask> {
    let id = u32::try_from(number).map_err(|_| Error::TooLarge {
        what: "the masks of this raster".to_string(),
        found: format!("{number} masks"),
        limit: format!("{} masks", u32::MAX),
        remedy: "search a part of the raster, or keep only larger masks",
    })?;
    Ok(AutomaticMask {
        id,
        window: object.mask.bounds().window(),
        mask: object.mask.to_masks()?,
        area: object.mask.area(),
        score: object.score,
        stability: object.stability,
        point: object.point,
        chips: object.chips.len(),
    })
}
