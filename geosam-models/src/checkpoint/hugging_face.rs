//! Tensor names of the `transformers` library, and what the official checkpoints call them.

use std::collections::BTreeMap;

use super::rename::Rename;
use super::view::TensorView;

/// Stored a second time under this name (tied weights).
pub(super) const TIED: &str = "shared_image_embedding.positional_embedding";
/// Rows of the table of embeddings of clicks: background, foreground and the two corners of a box.
const KINDS_OF_POINTS: usize = 4;

type Names = &'static [(&'static str, &'static str)];

const NORMS: Names = &[
    (".layer_norm1.", ".norm1."),
    (".layer_norm2.", ".norm2."),
    (".layer_norm3.", ".norm3."),
    (".layer_norm4.", ".norm4."),
    (".layer_norm_final_attn.", ".norm_final_attn."),
];
const PATCHES: Names = &[(".patch_embed.projection.", ".patch_embed.proj.")];
const NUMBERED_MLP: Names = &[(".mlp.proj_in.", ".mlp.layers.0."), (".mlp.proj_out.", ".mlp.layers.1.")];
const NAMED_MLP: Names = &[(".mlp.layers.0.", ".mlp.lin1."), (".mlp.layers.1.", ".mlp.lin2.")];
const OUT_PROJ: Names = &[(".o_proj.", ".out_proj.")];

const SAM_BLOCKS: Names = &[
    (".neck.conv1.", ".neck.0."),
    (".neck.layer_norm1.", ".neck.1."),
    (".neck.conv2.", ".neck.2."),
    (".neck.layer_norm2.", ".neck.3."),
    (".layers.", ".blocks."),
];
const SAM2_NECK: Names = &[(".weight", ".conv.weight"), (".bias", ".conv.bias")];
const SAM3_TRUNK: Names = &[
    (".embeddings.position_embeddings", ".pos_embed"),
    (".embeddings.patch_embeddings.projection.", ".patch_embed.proj."),
    (".trunk.layer_norm.", ".trunk.ln_pre."),
    (".layers.", ".blocks."),
    (".attention.o_proj.", ".attn.proj."),
];
const SAM3_NECK: Names = &[
    (".0.scale_layers.0.", ".0.dconv_2x2_0."),
    (".0.scale_layers.2.", ".0.dconv_2x2_1."),
    (".1.scale_layers.0.", ".1.dconv_2x2."),
    (".proj1.", ".conv_1x1."),
    (".proj2.", ".conv_3x3."),
];
const PROMPTS: Names = &[
    (".shared_embedding.positional_embedding", ".pe_layer.positional_encoding_gaussian_matrix"),
    (".point_embed.", ".point_embeddings."),
    (".mask_embed.conv1.", ".mask_downscaling.0."),
    (".mask_embed.layer_norm1.", ".mask_downscaling.1."),
    (".mask_embed.conv2.", ".mask_downscaling.3."),
    (".mask_embed.layer_norm2.", ".mask_downscaling.4."),
    (".mask_embed.conv3.", ".mask_downscaling.6."),
];
const MASKS: Names = &[
    (".upscale_conv1.", ".output_upscaling.0."),
    (".upscale_layer_norm.", ".output_upscaling.1."),
    (".upscale_conv2.", ".output_upscaling.3."),
    // Of the three layers of a perceptron only the middle one is in a list.
    (".layers.0.", ".layers.1."),
    (".proj_in.", ".layers.0."),
    (".proj_out.", ".layers.2."),
];

/// `SamModel`
pub(super) const SAM: &[Rename] = &[
    Rename { start: ("vision_encoder.", "image_encoder."), within: &[PATCHES, SAM_BLOCKS, NORMS] },
    Rename { start: ("prompt_encoder.", "prompt_encoder."), within: &[PROMPTS] },
    Rename { start: ("mask_decoder.transformer.", "mask_decoder.transformer."), within: &[NORMS] },
    Rename { start: ("mask_decoder.", "mask_decoder."), within: &[MASKS] },
    Rename::start(TIED, "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
];

/// Image encoder of `Sam2Model` and `Sam2VideoModel`
pub(super) const SAM2: &[Rename] = &[
    Rename { start: ("vision_encoder.backbone.", "image_encoder.trunk."), within: &[PATCHES, NORMS, NUMBERED_MLP] },
    Rename { start: ("vision_encoder.neck.convs.", "image_encoder.neck.convs."), within: &[SAM2_NECK] },
];

/// What answers clicks in SAM 2 and 3, and what a video needs besides.
pub(super) const TRACKER: &[Rename] = &[
    Rename { start: ("prompt_encoder.", "sam_prompt_encoder."), within: &[PROMPTS] },
    Rename {
        start: ("mask_decoder.transformer.", "sam_mask_decoder.transformer."),
        within: &[NORMS, OUT_PROJ, NUMBERED_MLP],
    },
    Rename { start: ("mask_decoder.", "sam_mask_decoder."), within: &[MASKS] },
    Rename::start(TIED, "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    Rename::start("no_memory_embedding", "no_mem_embed"),
    Rename::start("memory_temporal_positional_encoding", "maskmem_tpos_enc"),
    Rename::start("no_memory_positional_encoding", "no_mem_pos_enc"),
    Rename::start("no_object_pointer", "no_obj_ptr"),
    Rename::start("occlusion_spatial_embedding_parameter", "no_obj_embed_spatial"),
    Rename::start("object_pointer_proj.", "obj_ptr_proj."),
    Rename::start("temporal_positional_encoding_projection_layer.", "obj_ptr_tpos_proj."),
];

/// `Sam3VideoModel` puts together what `Sam3TrackerModel` is a part of.
pub(super) const SAM3_VIDEO: &[Rename] = &[
    Rename::start("detector_model.vision_encoder.backbone.", "vision_encoder.backbone."),
    Rename::start("tracker_neck.", "vision_encoder.neck."),
    Rename::start("tracker_model.", ""),
];

/// `Sam3TrackerModel` and `Sam3TrackerVideoModel`, after [`TRACKER`]. The rest of the detector keeps its names.
pub(super) const SAM3: &[Rename] = &[
    Rename {
        start: ("vision_encoder.backbone.", "detector.backbone.vision_backbone.trunk."),
        within: &[SAM3_TRUNK, NORMS],
    },
    Rename {
        start: ("vision_encoder.neck.fpn_layers.", "detector.backbone.vision_backbone.sam2_convs."),
        within: &[SAM3_NECK],
    },
    Rename::start("detector_model.", "detector_model."),
    Rename { start: ("sam_mask_decoder.transformer.", "tracker.sam_mask_decoder.transformer."), within: &[NAMED_MLP] },
    Rename::start("", "tracker."),
];

/// Puts tensors together that the official files have in one, and takes those apart that they have in several. Names
/// are translated already.
pub(super) fn rearrange(tensors: &mut BTreeMap<String, TensorView>) {
    stack_queries_keys_values(tensors);
    split_point_embeddings(tensors);
}

fn stack_queries_keys_values(tensors: &mut BTreeMap<String, TensorView>) {
    const APART: [&str; 3] = [".attention.q_proj.", ".attention.k_proj.", ".attention.v_proj."];
    let queries: Vec<String> = tensors.keys().filter(|name| name.contains(APART[0])).cloned().collect();
    for query in queries {
        let names = APART.map(|part| query.replacen(APART[0], part, 1));
        let parts: Vec<_> = names.iter().filter_map(|name| tensors.get(name).cloned()).collect();
        if parts.len() == names.len()
            && let Some(stacked) = TensorView::stacked(&parts)
        {
            for name in &names {
                tensors.remove(name);
            }
            tensors.insert(query.replacen(APART[0], ".attn.qkv.", 1), stacked);
        }
    }
}

fn split_point_embeddings(tensors: &mut BTreeMap<String, TensorView>) {
    let end = ".point_embeddings.weight";
    let table = tensors.iter().find(|(name, _)| name.ends_with(end));
    let Some((name, table)) = table.map(|(name, table)| (name.clone(), table.clone())) else { return };
    if table.shape().first() == Some(&KINDS_OF_POINTS) {
        for kind in 0..KINDS_OF_POINTS {
            let row_name = name.replacen(end, &format!(".point_embeddings.{kind}.weight"), 1);
            tensors.extend(table.rows(0, kind..kind + 1).map(|row| (row_name, row)));
        }
        tensors.remove(&name);
    }
}
