//! Tensors that nothing here runs, but that Python systems insist on: their names and shapes.

use crate::sam::TinyVitConfig;
use crate::sam2::HieraConfig;
use crate::segmenter::{ImageEncoderConfig, SamConfig};

/// Name, in which `#` stands for the number of a module, how many modules there are, and shape. A `.weight` has a
/// `.bias`, too.
type Pattern = (&'static str, usize, &'static [usize]);

/// The classifier as which MobileSAM's trunk was trained. Facts from `mobile_sam/modeling/tiny_vit_sam.py`.
const CLASSIFIER: [Pattern; 2] =
    [("image_encoder.norm_head.weight", 1, &[320]), ("image_encoder.head.weight", 1, &[1000, 320])];

/// The part of SAM 2 that follows objects through a video, the same in all four sizes. Facts from
/// `sam2/modeling/sam2_base.py`, `memory_attention.py` and `memory_encoder.py`.
const VIDEO: [Pattern; 38] = [
    ("maskmem_tpos_enc", 1, &[7, 1, 1, 64]),
    ("no_mem_pos_enc", 1, &[1, 1, 256]),
    ("no_obj_ptr", 1, &[1, 256]),
    ("mask_downsample.weight", 1, &[1, 1, 4, 4]),
    ("memory_attention.layers.#.self_attn.q_proj.weight", 4, &[256, 256]),
    ("memory_attention.layers.#.self_attn.k_proj.weight", 4, &[256, 256]),
    ("memory_attention.layers.#.self_attn.v_proj.weight", 4, &[256, 256]),
    ("memory_attention.layers.#.self_attn.out_proj.weight", 4, &[256, 256]),
    ("memory_attention.layers.#.cross_attn_image.q_proj.weight", 4, &[256, 256]),
    ("memory_attention.layers.#.cross_attn_image.k_proj.weight", 4, &[256, 64]),
    ("memory_attention.layers.#.cross_attn_image.v_proj.weight", 4, &[256, 64]),
    ("memory_attention.layers.#.cross_attn_image.out_proj.weight", 4, &[256, 256]),
    ("memory_attention.layers.#.linear1.weight", 4, &[2048, 256]),
    ("memory_attention.layers.#.linear2.weight", 4, &[256, 2048]),
    ("memory_attention.layers.#.norm1.weight", 4, &[256]),
    ("memory_attention.layers.#.norm2.weight", 4, &[256]),
    ("memory_attention.layers.#.norm3.weight", 4, &[256]),
    ("memory_attention.norm.weight", 1, &[256]),
    ("memory_encoder.mask_downsampler.encoder.0.weight", 1, &[4, 1, 3, 3]),
    ("memory_encoder.mask_downsampler.encoder.1.weight", 1, &[4]),
    ("memory_encoder.mask_downsampler.encoder.3.weight", 1, &[16, 4, 3, 3]),
    ("memory_encoder.mask_downsampler.encoder.4.weight", 1, &[16]),
    ("memory_encoder.mask_downsampler.encoder.6.weight", 1, &[64, 16, 3, 3]),
    ("memory_encoder.mask_downsampler.encoder.7.weight", 1, &[64]),
    ("memory_encoder.mask_downsampler.encoder.9.weight", 1, &[256, 64, 3, 3]),
    ("memory_encoder.mask_downsampler.encoder.10.weight", 1, &[256]),
    ("memory_encoder.mask_downsampler.encoder.12.weight", 1, &[256, 256, 1, 1]),
    ("memory_encoder.pix_feat_proj.weight", 1, &[256, 256, 1, 1]),
    ("memory_encoder.fuser.layers.#.gamma", 2, &[256]),
    ("memory_encoder.fuser.layers.#.dwconv.weight", 2, &[256, 1, 7, 7]),
    ("memory_encoder.fuser.layers.#.norm.weight", 2, &[256]),
    ("memory_encoder.fuser.layers.#.pwconv1.weight", 2, &[1024, 256]),
    ("memory_encoder.fuser.layers.#.pwconv2.weight", 2, &[256, 1024]),
    ("memory_encoder.out_proj.weight", 1, &[64, 256, 1, 1]),
    ("obj_ptr_proj.layers.#.weight", 3, &[256, 256]),
    ("sam_mask_decoder.pred_obj_score_head.layers.0.weight", 1, &[256, 256]),
    ("sam_mask_decoder.pred_obj_score_head.layers.1.weight", 1, &[256, 256]),
    ("sam_mask_decoder.pred_obj_score_head.layers.2.weight", 1, &[1, 256]),
];

/// Names and shapes of the tensors beside those of the network. Sizes that were never published have none.
pub(super) fn tensors(config: &SamConfig) -> impl Iterator<Item = (String, Vec<usize>)> {
    let patterns: &[Pattern] = match &config.image_encoder {
        ImageEncoderConfig::Tiny(tiny) if *tiny == TinyVitConfig::mobile() => &CLASSIFIER,
        ImageEncoderConfig::Hiera(hiera) if HieraConfig::published().contains(hiera) => &VIDEO,
        _ => &[],
    };
    let modules = patterns.iter().flat_map(|(name, count, shape)| {
        (0..*count).map(move |number| (name.replace('#', &number.to_string()), shape.to_vec()))
    });
    modules.flat_map(|(name, shape)| {
        let bias = name.strip_suffix(".weight").map(|module| (format!("{module}.bias"), vec![shape[0]]));
        [(name, shape)].into_iter().chain(bias)
    })
}
