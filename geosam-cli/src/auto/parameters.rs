//! The parameters of the official generators.

use clap::Args;
use geosam::AutomaticMasksConfig;

/// Which masks are asked for, and which are kept; names and defaults are those of the official generators.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Masks")]
pub(crate) struct Parameters {
    /// Points along each side of a chip; they are one grid over the raster, each asked of the chip around it
    #[arg(long, value_name = "N", default_value_t = 32)]
    points_per_side: usize,
    /// Points asked in one call, whose answers are in memory together: with 64 of them 192 MiB
    #[arg(long, value_name = "N", default_value_t = 64)]
    points_per_batch: usize,
    /// One mask for each point instead of three (whole, part, part of a part)
    #[arg(long)]
    single_mask: bool,
    /// Keep masks of which the model predicts a larger IoU [default: 0.88 with SAM, 0.8 with SAM 2 and 3]
    #[arg(long, value_name = "IOU", allow_hyphen_values = true)]
    pred_iou_thresh: Option<f32>,
    /// Keep masks that change less when the threshold of the logits moves: the IoU of the two ends
    #[arg(long, value_name = "IOU", default_value_t = 0.95)]
    stability_score_thresh: f32,
    /// How far the threshold of the logits moves up and down for that
    #[arg(long, value_name = "LOGIT", default_value_t = 1.0)]
    stability_score_offset: f32,
    /// Of masks that have a larger IoU, their boxes or themselves, keep the best
    #[arg(long, value_name = "IOU", default_value_t = 0.7)]
    box_nms_thresh: f64,
    /// Fill holes and drop islands of fewer pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    min_mask_region_area: u64,
    /// Fill all holes
    #[arg(long)]
    fill_holes: bool,
    /// Smallest mask to keep, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    min_area: u64,
    /// Largest mask to keep, in pixels [default: any]
    #[arg(long, value_name = "PIXELS")]
    max_area: Option<u64>,
    /// Join pieces of an object at a chip border if they agree this well where both chips see it
    #[arg(long, value_name = "IOU", default_value_t = 0.5)]
    seam_iou_thresh: f64,
    /// Largest rectangle around an object that is joined from pieces; a larger one stays in pieces
    #[arg(long, value_name = "PIXELS", default_value_t = 1 << 26)]
    max_joined_pixels: u64,
}

impl Parameters {
    pub(crate) fn config(&self) -> AutomaticMasksConfig {
        AutomaticMasksConfig {
            points_per_side: self.points_per_side,
            points_per_batch: self.points_per_batch,
            multimask: !self.single_mask,
            pred_iou_thresh: self.pred_iou_thresh,
            stability_score_thresh: self.stability_score_thresh,
            stability_score_offset: self.stability_score_offset,
            box_nms_thresh: self.box_nms_thresh,
            min_mask_region_area: self.min_mask_region_area,
            fill_holes: self.fill_holes,
            min_area: self.min_area,
            max_area: self.max_area,
            seam_iou_thresh: self.seam_iou_thresh,
            max_joined_pixels: self.max_joined_pixels,
        }
    }
}
