#!/usr/bin/env python3
"""Write checkpoints in the published layouts, with seeded random weights.

Real weights are several hundred megabytes, so parity is checked on random ones: names, shapes, dtypes and container are
those of the published files, and the values are drawn so that no tensor is zero or one everywhere (default
initialisation leaves position tables at zero, which hides position bugs).

    make_checkpoints.py OUT [--seed N] [--dtype float16|bfloat16] [NAME ...]

NAME (default: sam_b mobile_sam):
    sam_b sam_l sam_h mobile_sam         flat state dict                         -> NAME.pt
    sam2_t|s|b|l  sam2.1_t|s|b|l         {"model": state dict}                   -> NAME.pt
    hf_sam_b hf_sam_l hf_sam_h           the weights of sam_b (…) of the same
                                         seed under Hugging Face's names         -> NAME.safetensors
With --dtype the floating tensors are rounded and the file is called NAME.DTYPE.pt (.safetensors).
"""
import argparse
import math
import pathlib
import re

import torch


def randomise(state, seed):
    """Redraw every floating tensor: deterministic in (seed, place in name order), scaled by fan-in, never degenerate.

    Projections keep their fan-in scale without exception. Where attention logits are so large that softmax picks one key,
    the network amplifies rounding errors a thousandfold, and even float32 and float64 disagree by more than the bounds.
    """
    out = {}
    for index, (name, tensor) in enumerate(sorted(state.items())):
        if not tensor.is_floating_point():
            out[name] = tensor.clone()
            continue
        noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed * 1_000_003 + index))
        last = name.rsplit(".", 1)[-1]
        if "gaussian_matrix" in name:
            value = noise
        elif last == "running_var":
            value = 1.0 + 0.2 * noise.abs()
        elif tensor.ndim <= 1 and last == "weight":
            value = 1.0 + 0.1 * noise
        elif tensor.ndim <= 1:
            value = 0.05 * noise
        elif "pos_embed" in name or "rel_pos" in name or "attention_biases" in name:
            value = 0.2 * noise
        elif re.search(r"(embed|embeddings\.\d+|tokens?)(\.weight)?$", name):
            value = 0.5 * noise
        else:
            value = noise / math.sqrt(max(tensor[0].numel(), 1))
        out[name] = value.to(tensor.dtype).reshape(tensor.shape)
    return out


def layout(name):
    """A state dict with the names and shapes of the published checkpoint `name`."""
    from ultralytics.models.sam import build

    builders = {
        "sam_b": build.build_sam_vit_b, "sam_l": build.build_sam_vit_l, "sam_h": build.build_sam_vit_h,
        "mobile_sam": build.build_mobile_sam,
        "t": build.build_sam2_t, "s": build.build_sam2_s, "b": build.build_sam2_b, "l": build.build_sam2_l,
    }
    if not name.startswith("sam2"):
        return builders[name](None).state_dict()
    state = builders[name.rsplit("_", 1)[1]](None).state_dict()
    if name.startswith("sam2.1"):  # three tensors that only the video path of 2.1 uses
        state["no_obj_embed_spatial"] = torch.zeros(1, 64)
        state["obj_ptr_tpos_proj.weight"] = torch.zeros(64, 256)
        state["obj_ptr_tpos_proj.bias"] = torch.zeros(64)
    return state


HUGGING_FACE_NAMES = [  # official name -> name in facebook/sam-vit-*, applied in this order
    (r"^image_encoder\.", "vision_encoder."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^vision_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^(vision_encoder\.layers\.\d+)\.norm([12])\.", r"\1.layer_norm\2."),
    (r"^vision_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^vision_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^vision_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^vision_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
     "prompt_encoder.shared_embedding.positional_embedding"),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
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
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.0\.", r"\1.proj_in."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.1\.", r"\1.layers.0."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.2\.", r"\1.proj_out."),
]


def hugging_face(state):
    """An official SAM state dict under Hugging Face's names, the tied position table under both of its names."""
    out = {}
    for name, tensor in state.items():
        for pattern, replacement in HUGGING_FACE_NAMES:
            name = re.sub(pattern, replacement, name)
        out[name] = tensor.contiguous()
    out["shared_image_embedding.positional_embedding"] = out[
        "prompt_encoder.shared_embedding.positional_embedding"].clone()
    return out


def make(folder, name, seed, dtype=None):
    """Write one checkpoint unless it is there; return its path."""
    folder = pathlib.Path(folder)
    suffix = "safetensors" if name.startswith("hf_") else "pt"
    path = folder / (f"{name}.{dtype}.{suffix}" if dtype else f"{name}.{suffix}")
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    state = randomise(layout(name.removeprefix("hf_")), seed)
    if dtype:
        state = {key: t.to(getattr(torch, dtype)) if t.is_floating_point() else t for key, t in state.items()}
    unfinished = path.with_suffix(".unfinished")
    if name.startswith("hf_"):
        from safetensors.torch import save_file

        save_file(hugging_face(state), unfinished, metadata={"format": "pt"})
    else:
        torch.save({"model": state} if name.startswith("sam2") else state, unfinished)
    unfinished.rename(path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*", default=["sam_b", "mobile_sam"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=["float16", "bfloat16"])
    args = parser.parse_intermixed_args()
    for name in args.names:
        print(make(args.out, name, args.seed, args.dtype))


if __name__ == "__main__":
    main()
