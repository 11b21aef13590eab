//! What published files hold besides the network that answers prompts on one image.
//!
//! Any other tensor that the network has no use for is an error, so that a file is never half understood.

use super::recognise::Family;

/// Official names. One that ends in a dot stands for all below it.
type Names = &'static [&'static str];

/// Counts the steps of training; in every file that has batch norms.
const BATCH_COUNTER: &str = ".num_batches_tracked";

/// MobileSAM's trunk was trained as a classifier first.
const CLASSIFIER: Names = &["image_encoder.norm_head.", "image_encoder.head."];

/// SAM 2 keeps frames of a video in mind …
const MEMORY: Names =
    &["memory_attention.", "memory_encoder.", "mask_downsample.", "maskmem_tpos_enc", "no_mem_pos_enc"];

/// … points to the object in them, and SAM 2.1 also says where it is hidden …
const OBJECT_POINTERS: Names = &["no_obj_ptr", "no_obj_embed_spatial", "obj_ptr_proj.", "obj_ptr_tpos_proj."];

/// … and tells whether it is in the frame at all, which changes no mask of a single image.
const OBJECT_SCORE: Names = &["sam_mask_decoder.pred_obj_score_head."];

/// SAM 3's detector finds everything that a text or an example describes. Of it, clicks use the trunk.
const DETECTOR: Names = &[
    "detector.backbone.vision_backbone.convs.",
    "detector.backbone.language_backbone.",
    "detector.geometry_encoder.",
    "detector.transformer.",
    "detector.segmentation_head.",
    "detector.dot_prod_scoring.",
    // All but the trunk in Hugging Face's names.
    "detector_model.",
];

/// A level of half the resolution that nobody takes, and SAM 3.1's neck for the frames of a video.
const NECKS: Names =
    &["detector.backbone.vision_backbone.sam2_convs.3.", "detector.backbone.vision_backbone.propagation_convs."];

/// The tracker is a SAM 2 with its memory …
const TRACKER: Names = &[
    "tracker.transformer.",
    "tracker.maskmem_backbone.",
    // The two in Hugging Face's names.
    "tracker.memory_attention.",
    "tracker.memory_encoder.",
    "tracker.mask_downsample.",
    "tracker.maskmem_tpos_enc",
    "tracker.no_mem_pos_enc",
    "tracker.no_obj_ptr",
    "tracker.no_obj_embed_spatial",
    "tracker.obj_ptr_proj.",
    "tracker.obj_ptr_tpos_proj.",
    "tracker.sam_mask_decoder.pred_obj_score_head.",
];

/// … and SAM 3.1's has a second decoder and a memory for sixteen objects at once.
const MULTIPLEX: Names = &["tracker.model."];

/// Rotary positions as complex numbers, which follow from the sizes and are computed.
const ROTARY: &str = ".attn.freqs_cis";

/// Whether a tensor of a published file is none that the network asks for.
pub(super) fn is_unneeded(family: Family, name: &str) -> bool {
    let lists: &[Names] = match family {
        Family::SamVit => &[],
        Family::MobileSam => &[CLASSIFIER],
        Family::Sam2 => &[MEMORY, OBJECT_POINTERS, OBJECT_SCORE],
        Family::Sam3 => &[DETECTOR, NECKS, TRACKER],
        Family::Sam31 => &[DETECTOR, NECKS, TRACKER, MULTIPLEX],
    };
    let covers = |entry: &str| if entry.ends_with('.') { name.starts_with(entry) } else { name == entry };
    let has_rotary = matches!(family, Family::Sam3 | Family::Sam31);
    name.ends_with(BATCH_COUNTER)
        || has_rotary && name.ends_with(ROTARY)
        || lists.iter().copied().flatten().any(|entry| covers(entry))
}
