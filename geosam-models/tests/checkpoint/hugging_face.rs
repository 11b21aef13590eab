//! Official tensors as the `transformers` library stores them. Written from the official names on, so that rules which
//! read those files are checked by others.

use crate::Tensor;

/// Name parts, official and Hugging Face's, replaced in this order.
const SHARED: [(&str, &str); 21] = [
    ("tracker.", ""),
    ("sam_prompt_encoder.", "prompt_encoder."),
    ("sam_mask_decoder.", "mask_decoder."),
    ("no_mem_embed", "no_memory_embedding"),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".norm3.", ".layer_norm3."),
    (".norm4.", ".layer_norm4."),
    (".norm_final_attn.", ".layer_norm_final_attn."),
    (".out_proj.", ".o_proj."),
    (".mlp.lin1.", ".mlp.proj_in."),
    (".mlp.lin2.", ".mlp.proj_out."),
    ("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    ("mask_downscaling.0.", "mask_embed.conv1."),
    ("mask_downscaling.1.", "mask_embed.layer_norm1."),
    ("mask_downscaling.3.", "mask_embed.conv2."),
    ("mask_downscaling.4.", "mask_embed.layer_norm2."),
    ("mask_downscaling.6.", "mask_embed.conv3."),
    ("output_upscaling.0.", "upscale_conv1."),
    ("output_upscaling.1.", "upscale_layer_norm."),
    ("output_upscaling.3.", "upscale_conv2."),
];
const SAM2: [(&str, &str); 6] = [
    ("image_encoder.trunk.", "vision_encoder.backbone."),
    ("image_encoder.neck.", "vision_encoder.neck."),
    (".conv.", "."),
    (".patch_embed.proj.", ".patch_embed.projection."),
    (".mlp.layers.0.", ".mlp.proj_in."),
    (".mlp.layers.1.", ".mlp.proj_out."),
];
const SAM3: [(&str, &str); 11] = [
    ("detector.backbone.vision_backbone.trunk.pos_embed", "vision_encoder.backbone.embeddings.position_embeddings"),
    (
        "detector.backbone.vision_backbone.trunk.patch_embed.proj.",
        "vision_encoder.backbone.embeddings.patch_embeddings.projection.",
    ),
    ("detector.backbone.vision_backbone.trunk.blocks.", "vision_encoder.backbone.layers."),
    ("detector.backbone.vision_backbone.trunk.ln_pre.", "vision_encoder.backbone.layer_norm."),
    ("detector.backbone.vision_backbone.sam2_convs.", "vision_encoder.neck.fpn_layers."),
    (".attn.proj.", ".attention.o_proj."),
    (".dconv_2x2_0.", ".scale_layers.0."),
    (".dconv_2x2_1.", ".scale_layers.2."),
    (".dconv_2x2.", ".scale_layers.0."),
    (".conv_1x1.", ".proj1."),
    (".conv_3x3.", ".proj2."),
];
/// Layers of the perceptrons of mask tokens.
const HEAD: [(&str, &str); 3] =
    [(".layers.0.", ".proj_in."), (".layers.1.", ".layers.0."), (".layers.2.", ".proj_out.")];
/// Of `Sam3TrackerModel`, and of `Sam3VideoModel`.
const VIDEO: [(&str, &str); 3] = [
    ("vision_encoder.backbone.", "detector_model.vision_encoder.backbone."),
    ("vision_encoder.neck.", "tracker_neck."),
    ("", "tracker_model."),
];

/// `Sam2Model`
pub(crate) fn sam2_model(official: &[Tensor]) -> Vec<Tensor> {
    translated(official, &SAM2)
}

/// `Sam2VideoModel`, tied tensors twice
pub(crate) fn sam2_video_model(official: &[Tensor]) -> Vec<Tensor> {
    with_tied(sam2_model(official))
}

/// `Sam3TrackerModel`
pub(crate) fn sam3_tracker_model(official: &[Tensor]) -> Vec<Tensor> {
    translated(official, &SAM3)
}

/// `Sam3VideoModel`, tied tensors twice
pub(crate) fn sam3_video_model(official: &[Tensor]) -> Vec<Tensor> {
    let place = |(name, shape, values): Tensor| {
        let (part, whole) = VIDEO.iter().find(|(part, _)| name.starts_with(part)).unwrap();
        (name.replacen(part, whole, 1), shape, values)
    };
    with_tied(sam3_tracker_model(official)).into_iter().map(place).collect()
}

fn with_tied(mut tensors: Vec<Tensor>) -> Vec<Tensor> {
    let matrix = tensors.iter().find(|(name, ..)| name.ends_with("shared_embedding.positional_embedding")).unwrap();
    let (_, shape, values) = matrix.clone();
    tensors.push(("shared_image_embedding.positional_embedding".to_string(), shape, values));
    tensors
}

fn translated(official: &[Tensor], names: &[(&str, &str)]) -> Vec<Tensor> {
    let (points, others): (Vec<_>, Vec<_>) =
        official.iter().cloned().partition(|(name, ..)| name.contains("point_embeddings."));
    let rows: Vec<f32> = points.iter().flat_map(|(.., values)| values.clone()).collect();
    let points = ("prompt_encoder.point_embed.weight".to_string(), vec![4, rows.len() / 4], rows);
    others.into_iter().flat_map(|tensor| translated_one(tensor, names)).chain([points]).collect()
}

fn translated_one((name, mut shape, mut values): Tensor, names: &[(&str, &str)]) -> Vec<Tensor> {
    let is_head = name.contains("_mlps.") || name.contains("_head.");
    let heads: &[_] = if is_head { &HEAD } else { &[] };
    let one_of_head = heads.iter().find(|(official, _)| name.contains(official));
    let names = names.iter().chain(&SHARED).chain(one_of_head);
    let name = names.fold(name, |name, (official, theirs)| name.replacen(official, theirs, 1));
    if name.ends_with(".position_embeddings") {
        // Without the class token.
        shape[1] -= 1;
        values.drain(..shape[2]);
    }
    if name.contains("backbone.layers.") && name.contains(".attn.qkv.") {
        shape[0] /= 3;
        let thirds = ["q", "k", "v"].iter().zip(values.chunks(values.len() / 3));
        let third = |(part, values): (&&str, &[f32])| {
            (name.replace(".attn.qkv.", &format!(".attention.{part}_proj.")), shape.clone(), values.to_vec())
        };
        return thirds.map(third).collect();
    }
    vec![(name, shape, values)]
}
