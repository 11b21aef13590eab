//! Tensor names of Hugging Face's `SamModel`, and what the official checkpoints call them.

/// The random position matrix, stored twice by Hugging Face (tied); a file may have either or both.
const POSITION_MATRICES: [&str; 2] =
    ["prompt_encoder.shared_embedding.positional_embedding", "shared_image_embedding.positional_embedding"];
const OFFICIAL_POSITION_MATRIX: &str = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix";

/// Pairs (Hugging Face, official) of name parts, applied in this order, each at most once.
type Renames = &'static [(&'static str, &'static str)];

const IMAGE_ENCODER: Renames = &[
    ("vision_encoder.", "image_encoder."),
    (".patch_embed.projection.", ".patch_embed.proj."),
    (".neck.conv1.", ".neck.0."),
    (".neck.layer_norm1.", ".neck.1."),
    (".neck.conv2.", ".neck.2."),
    (".neck.layer_norm2.", ".neck.3."),
    (".layers.", ".blocks."),
    (".layer_norm1.", ".norm1."),
    (".layer_norm2.", ".norm2."),
];
const PROMPT_ENCODER: Renames = &[
    (".point_embed.", ".point_embeddings."),
    (".mask_embed.conv1.", ".mask_downscaling.0."),
    (".mask_embed.layer_norm1.", ".mask_downscaling.1."),
    (".mask_embed.conv2.", ".mask_downscaling.3."),
    (".mask_embed.layer_norm2.", ".mask_downscaling.4."),
    (".mask_embed.conv3.", ".mask_downscaling.6."),
];
const TRANSFORMER: Renames = &[
    (".layer_norm1.", ".norm1."),
    (".layer_norm2.", ".norm2."),
    (".layer_norm3.", ".norm3."),
    (".layer_norm4.", ".norm4."),
    (".layer_norm_final_attn.", ".norm_final_attn."),
];
const MASK_DECODER: Renames = &[
    (".upscale_conv1.", ".output_upscaling.0."),
    (".upscale_layer_norm.", ".output_upscaling.1."),
    (".upscale_conv2.", ".output_upscaling.3."),
    // Of the three layers only the middle one is in a list.
    (".layers.0.", ".layers.1."),
    (".proj_in.", ".layers.0."),
    (".proj_out.", ".layers.2."),
];

/// The official name of a tensor of `SamModel`.
pub(super) fn official_name(name: &str) -> String {
    if POSITION_MATRICES.contains(&name) {
        return OFFICIAL_POSITION_MATRIX.to_string();
    }
    let renames = match name {
        _ if name.starts_with("vision_encoder.") => IMAGE_ENCODER,
        _ if name.starts_with("prompt_encoder.") => PROMPT_ENCODER,
        _ if name.starts_with("mask_decoder.transformer.") => TRANSFORMER,
        _ if name.starts_with("mask_decoder.") => MASK_DECODER,
        _ => &[],
    };
    renames.iter().fold(name.to_string(), |name, (theirs, official)| name.replacen(theirs, official, 1))
}

#[cfg(test)]
mod tests {
    use super::official_name;

    #[test]
    fn every_rule_renames() {
        for (theirs, official) in [
            ("vision_encoder.pos_embed", "image_encoder.pos_embed"),
            ("vision_encoder.patch_embed.projection.bias", "image_encoder.patch_embed.proj.bias"),
            ("vision_encoder.layers.3.layer_norm1.weight", "image_encoder.blocks.3.norm1.weight"),
            ("vision_encoder.layers.11.attn.rel_pos_h", "image_encoder.blocks.11.attn.rel_pos_h"),
            ("vision_encoder.neck.layer_norm1.bias", "image_encoder.neck.1.bias"),
            ("vision_encoder.neck.conv2.weight", "image_encoder.neck.2.weight"),
            (
                "shared_image_embedding.positional_embedding",
                "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
            ),
            ("prompt_encoder.point_embed.2.weight", "prompt_encoder.point_embeddings.2.weight"),
            ("prompt_encoder.mask_embed.conv3.bias", "prompt_encoder.mask_downscaling.6.bias"),
            ("prompt_encoder.no_mask_embed.weight", "prompt_encoder.no_mask_embed.weight"),
            ("mask_decoder.transformer.layers.0.layer_norm4.weight", "mask_decoder.transformer.layers.0.norm4.weight"),
            ("mask_decoder.transformer.layers.0.mlp.lin1.bias", "mask_decoder.transformer.layers.0.mlp.lin1.bias"),
            ("mask_decoder.transformer.layer_norm_final_attn.bias", "mask_decoder.transformer.norm_final_attn.bias"),
            ("mask_decoder.upscale_layer_norm.weight", "mask_decoder.output_upscaling.1.weight"),
            ("mask_decoder.iou_prediction_head.layers.0.bias", "mask_decoder.iou_prediction_head.layers.1.bias"),
            ("mask_decoder.iou_prediction_head.proj_in.bias", "mask_decoder.iou_prediction_head.layers.0.bias"),
            (
                "mask_decoder.output_hypernetworks_mlps.0.layers.0.weight",
                "mask_decoder.output_hypernetworks_mlps.0.layers.1.weight",
            ),
            (
                "mask_decoder.output_hypernetworks_mlps.2.proj_out.weight",
                "mask_decoder.output_hypernetworks_mlps.2.layers.2.weight",
            ),
        ] {
            assert_eq!(official_name(theirs), official);
        }
    }
}
