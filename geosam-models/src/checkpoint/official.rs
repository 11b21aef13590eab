//! Where official files differ among each other: names inside the crate are those of `sam3.pt`, shapes those that the
//! network asks for.

use std::collections::BTreeMap;

use super::rename::Rename;
use super::view::TensorView;

/// SAM 3.1 answers clicks with modules of their own. What is left below `tracker.model.` follows up to sixteen objects
/// through a video, `tracker.model.sam_mask_decoder.` included.
pub(super) const SAM31: &[Rename] = &[
    Rename::start("tracker.model.interactive_", "tracker."),
    Rename::start("tracker.model.interactivity_", "tracker."),
    Rename::start(
        "detector.backbone.vision_backbone.interactive_convs.",
        "detector.backbone.vision_backbone.sam2_convs.",
    ),
];

/// Files from before the release.
pub(super) const SAM3: &[Rename] =
    &[Rename::start("sam3_model.", "detector."), Rename::start("sam2_predictor.", "tracker.")];

/// SAM 3's table of positions, `[1, 1 + side², width]`. Its first row belongs to a class token that the network lacks.
const POSITIONS: &str = "detector.backbone.vision_backbone.trunk.pos_embed";

/// Drops the row that the network has no token for.
pub(super) fn drop_class_row(tensors: &mut BTreeMap<String, TensorView>) {
    if let Some(positions) = tensors.get_mut(POSITIONS)
        && let Some(rows) = positions.shape().get(1)
        && let Some(without) = positions.rows(1, 1..*rows)
    {
        *positions = without;
    }
}

/// Puts a row before those of a tensor `[1, rows, width]` that is to be written, if files have one there.
pub(crate) fn add_class_row(
    name: &str,
    shape: &mut [usize],
    values: &mut Vec<f32>,
    row: impl FnOnce(usize) -> Vec<f32>,
) {
    if let (POSITIONS, [1, rows, width]) = (name, shape) {
        values.splice(0..0, row(*width));
        *rows += 1;
    }
}
