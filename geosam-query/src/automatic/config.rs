//! How automatic masks are made.

use geosam_core::{Error, ModelType, Result, Shape, Tiling, ValueRangeChoice, Window};

/// Points along a side of a chip, and of a batch, at most: more than one a pixel tell nothing new.
const MOST_POINTS: usize = 1024;

/// How [`AutomaticMasks`](crate::AutomaticMasks) asks for masks and which it keeps.
///
/// Names and defaults are those of the official generators, `SamAutomaticMaskGenerator` of segment-anything and
/// `SAM2AutomaticMaskGenerator` of sam2, as far as they have the parameter; chips take the place of their crops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutomaticMasksConfig {
    /// Points along each side of a chip, default 32. The points form one grid over the raster, a chip's side divided by this
    /// apart; however much chips overlap, each is asked once, of the chip in which it lies most centrally.
    pub points_per_side: usize,
    /// Points that are asked in one call, default 64. Their answers are in memory together: three masks of a chip, one byte a
    /// pixel, for each point, 192 MiB with chips of 1024 pixels.
    pub points_per_batch: usize,
    /// Three masks for each point (whole, part and part of a part) instead of one; default `true`.
    pub multimask: bool,
    /// Masks are kept if the model predicts them a larger IoU than this. By default what the official generator of the
    /// model's family has: 0.88 with SAM, 0.8 with SAM 2 and 3.
    pub pred_iou_thresh: Option<f32>,
    /// Masks are kept if they are at least this stable, default 0.95: see
    /// [`PromptSession::stability`](geosam_core::PromptSession::stability).
    pub stability_score_thresh: f32,
    /// How far the threshold of the logits is moved up and down to measure stability, default 1.
    pub stability_score_offset: f32,
    /// Of masks that have a larger IoU than this, their boxes or themselves, one is kept, default 0.7: the one with the largest predicted IoU,
    /// but masks that lie whole in a chip come before those that were put together at chip borders. Other than in the official
    /// generators, masks that share less than half of the smaller one's pixels are both kept, as a road across a field.
    pub box_nms_thresh: f64,
    /// Holes and islands of fewer pixels than this are filled and removed, default 0: none. Of a mask that is small islands only
    /// the largest stays.
    pub min_mask_region_area: u64,
    /// Fill all holes, default `false`.
    pub fill_holes: bool,
    /// Smallest mask to keep, in pixels, default 0.
    pub min_area: u64,
    /// Largest mask to keep, in pixels, by default any.
    pub max_area: Option<u64>,
    /// Two pieces of masks that chip borders cut are taken for one object if, where both chips see it, they have at least this
    /// IoU, default 0.5, edges blurred by one of the decoder's logits. Where chips only meet, what counts is how the two pieces
    /// meet along the border.
    pub seam_iou_thresh: f64,
    /// Largest rectangle around an object that is put together from pieces, in pixels, default 2²⁶ (8192×8192): what would
    /// be larger stays in pieces. It bounds how far back pieces are kept, and what one mask takes in memory.
    pub max_joined_pixels: u64,
}

impl Default for AutomaticMasksConfig {
    fn default() -> Self {
        Self {
            points_per_side: 32,
            points_per_batch: 64,
            multimask: true,
            pred_iou_thresh: None,
            stability_score_thresh: 0.95,
            stability_score_offset: 1.0,
            box_nms_thresh: 0.7,
            min_mask_region_area: 0,
            fill_holes: false,
            min_area: 0,
            max_area: None,
            seam_iou_thresh: 0.5,
            max_joined_pixels: 1 << 26,
        }
    }
}

impl AutomaticMasksConfig {
    /// [`AutomaticMasksConfig::pred_iou_thresh`], or the official default for models of this family.
    #[must_use]
    pub fn pred_iou_thresh_for(&self, family: ModelType) -> f32 {
        self.pred_iou_thresh.unwrap_or(match family {
            ModelType::Sam => 0.88,
            ModelType::Sam2 | ModelType::Sam3 => 0.8,
        })
    }

    /// Whether a mask of this many pixels is neither too small nor too large.
    pub(super) fn keeps_area(&self, area: u64) -> bool {
        area >= self.min_area && self.max_area.is_none_or(|most| area <= most)
    }

    pub(super) fn validate(&self) -> Result<()> {
        for (parameter, count) in
            [("points per side", self.points_per_side), ("points per batch", self.points_per_batch)]
        {
            if !(1..=MOST_POINTS).contains(&count) {
                return Err(Error::invalid_argument(parameter, format!("1 to {MOST_POINTS}"), count));
            }
        }
        if !self.stability_score_offset.is_finite() || self.stability_score_offset < 0.0 {
            let found = self.stability_score_offset;
            return Err(Error::invalid_argument("stability score offset", "a number that is not negative", found));
        }
        // The head's predictions are no probabilities, so that any number makes sense as their threshold.
        let predicted = self.pred_iou_thresh.unwrap_or(0.0);
        if !predicted.is_finite() {
            return Err(Error::invalid_argument("predicted IoU threshold", "a finite number", predicted));
        }
        if !(0.0..=1.0).contains(&self.stability_score_thresh) {
            let found = self.stability_score_thresh;
            return Err(Error::invalid_argument("stability score threshold", "a number from 0 to 1", found));
        }
        for (parameter, value) in
            [("box NMS threshold", self.box_nms_thresh), ("seam IoU threshold", self.seam_iou_thresh)]
        {
            if !(value > 0.0 && value <= 1.0) {
                return Err(Error::invalid_argument(parameter, "a number above 0 and at most 1", value));
            }
        }
        match self.max_area {
            Some(most) if most < self.min_area => {
                let expected = format!("at least the smallest area, {}", self.min_area);
                Err(Error::invalid_argument("largest area", expected, most))
            }
            _ => Ok(()),
        }
    }
}

/// How [`AutomaticMasks::from_raster`](crate::AutomaticMasks::from_raster) cuts a raster into chips.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AutomaticMasksRaster {
    /// Size of a chip in pixels of the raster; default the model's image size.
    pub chip: Option<Shape>,
    /// How far apart chips lie; default half a chip, so that objects up to half a chip lie whole in one.
    pub tiling: Tiling,
    /// The part of the raster to search; default all of it.
    pub extent: Option<Window>,
    /// Which values become 0 and 255. Settled once, from the extent, as [`ValueRangeChoice::for_preprocess`] has it.
    pub value_range: ValueRangeChoice,
}
