"""Hugging Face's layouts: which name each official tensor has there, and what else the published files hold."""
import re

import torch

HEAD = [  # prompt encoder and mask decoder of every family, applied in this order
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
     "prompt_encoder.shared_embedding.positional_embedding"),
    (r"^prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^(mask_decoder\.transformer\.layers\.\d+)\.norm([1-4])\.", r"\1.layer_norm\2."),
    (r"^mask_decoder\.transformer\.norm_final_attn\.", "mask_decoder.transformer.layer_norm_final_attn."),
    (r"^mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|\w+_head))\.layers\.0\.", r"\1.proj_in."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|\w+_head))\.layers\.1\.", r"\1.layers.0."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|\w+_head))\.layers\.2\.", r"\1.proj_out."),
]

SAM = [
    (r"^image_encoder\.", "vision_encoder."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^vision_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^(vision_encoder\.layers\.\d+)\.norm([12])\.", r"\1.layer_norm\2."),
    (r"^vision_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^vision_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^vision_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^vision_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    *HEAD,
]

LATER_HEAD = [  # SAM 2 and 3
    (r"^sam_(prompt_encoder|mask_decoder)\.", r"\1."),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^(mask_decoder\..*)\.out_proj\.", r"\1.o_proj."),
    (r"^(mask_decoder\..*\.mlp)\.(?:layers\.0|lin1)\.", r"\1.proj_in."),
    (r"^(mask_decoder\..*\.mlp)\.(?:layers\.1|lin2)\.", r"\1.proj_out."),
    *HEAD,
]

SAM2 = [
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"^(vision_encoder\.backbone\.blocks\.\d+)\.norm([12])\.", r"\1.layer_norm\2."),
    (r"^(vision_encoder\.backbone\..*\.mlp)\.layers\.0\.", r"\1.proj_in."),
    (r"^(vision_encoder\.backbone\..*\.mlp)\.layers\.1\.", r"\1.proj_out."),
    *LATER_HEAD,
]

SAM3 = [  # Sam3TrackerModel
    (r"^detector\.backbone\.vision_backbone\.trunk\.", "vision_encoder.backbone."),
    (r"^detector\.backbone\.vision_backbone\.sam2_convs\.", "vision_encoder.neck.fpn_layers."),
    (r"^vision_encoder\.backbone\.pos_embed$", "vision_encoder.backbone.embeddings.position_embeddings"),
    (r"\.patch_embed\.proj\.", ".embeddings.patch_embeddings.projection."),
    (r"\.backbone\.ln_pre\.", ".backbone.layer_norm."),
    (r"\.backbone\.blocks\.", ".backbone.layers."),
    (r"^(vision_encoder\.backbone\.layers\.\d+)\.norm([12])\.", r"\1.layer_norm\2."),
    (r"^(vision_encoder\.backbone\.layers\.\d+)\.attn\.proj\.", r"\1.attention.o_proj."),
    (r"\.dconv_2x2(?:_0)?\.", ".scale_layers.0."),
    (r"\.dconv_2x2_1\.", ".scale_layers.2."),
    (r"\.conv_1x1\.", ".proj1."),
    (r"\.conv_3x3\.", ".proj2."),
    (r"^tracker\.", ""),
    *LATER_HEAD,
]

SAM3_VIDEO = [  # Sam3TrackerModel -> Sam3VideoModel
    (r"^vision_encoder\.backbone\.", "detector_model.vision_encoder.backbone."),
    (r"^vision_encoder\.neck\.", "tracker_neck."),
    (r"^(?!detector_model|tracker_neck)", "tracker_model."),
]


def rename(name, rules):
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def translate(state, name):
    """The tensors of the official checkpoint `name` that make masks from clicks, as Hugging Face holds them."""
    if name.startswith("sam_"):
        out = {rename(key, SAM): tensor.contiguous() for key, tensor in state.items()}
    else:
        out = later_family({rename(key, SAM3 if name.startswith("sam3") else SAM2): t for key, t in state.items()})
    out["shared_image_embedding.positional_embedding"] = out[
        "prompt_encoder.shared_embedding.positional_embedding"].clone()  # tied, and stored under both of its names
    return out


def later_family(state):
    """SAM 2 and 3: tensors that are stacked, split or cut."""
    out = {}
    for name, tensor in state.items():
        if match := re.match(r"(vision_encoder\.backbone\.layers\.\d+)\.attn\.qkv\.(weight|bias)$", name):
            for part, third in zip("qkv", tensor.chunk(3)):
                out[f"{match[1]}.attention.{part}_proj.{match[2]}"] = third.clone()
        elif name.endswith("embeddings.position_embeddings"):
            out[name] = tensor[:, 1:].clone()  # without the class token
        elif "point_embeddings" not in name:
            out[name] = tensor.contiguous()
    out["prompt_encoder.point_embed.weight"] = torch.cat(
        [state[f"prompt_encoder.point_embeddings.{label}.weight"] for label in range(4)])
    return out


def config(name, video=False):
    """The configuration of `Sam2Model` (`Sam2VideoModel`) or `Sam3TrackerModel` (`Sam3VideoModel`) for a checkpoint.

    DIFFERENCE: transformers norms SAM 3's trunk with an epsilon of 1e-6; it is given that of the official code, 1e-5.
    """
    import transformers

    if name.startswith("sam3"):
        return transformers.Sam3VideoConfig() if video else transformers.Sam3TrackerConfig(
            vision_config={"backbone_config": {"model_type": "sam3_vit_model", "layer_norm_eps": 1e-5}})
    trunk = HIERA[name.rsplit("_", 1)[1]]
    widths = [trunk["hidden_size"] << stage for stage in range(4)]
    heads = [trunk["num_attention_heads"] << stage for stage in range(4)]
    backbone = {"model_type": "sam2_hiera_det_model", "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": heads, **trunk}
    options = {"vision_config": {"backbone_config": backbone, "backbone_channel_list": widths[::-1]}}
    return transformers.Sam2VideoConfig(**options) if video else transformers.Sam2Config(**options)


HIERA = {
    "t": {"hidden_size": 96, "num_attention_heads": 1, "blocks_per_stage": [1, 2, 7, 2],
          "global_attention_blocks": [5, 7, 9]},
    "s": {"hidden_size": 96, "num_attention_heads": 1, "blocks_per_stage": [1, 2, 11, 2],
          "global_attention_blocks": [7, 10, 13]},
    "b": {"hidden_size": 112, "num_attention_heads": 2, "blocks_per_stage": [2, 3, 16, 3],
          "global_attention_blocks": [12, 16, 20], "window_positional_embedding_background_size": [14, 14]},
    "l": {"hidden_size": 144, "num_attention_heads": 2, "blocks_per_stage": [2, 6, 36, 4],
          "global_attention_blocks": [23, 33, 43], "window_size_per_stage": [8, 4, 16, 8]},
}


def model(name, video=False):
    """The transformers model of a checkpoint, its weights meaningless (`Sam2Model`, `Sam2VideoModel`, …)."""
    import transformers

    kind = ("Sam3Video" if video else "Sam3Tracker") if name.startswith("sam3") else "Sam2Video" if video else "Sam2"
    return getattr(transformers, f"{kind}Model")(config(name, video)).eval()
