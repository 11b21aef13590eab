#!/usr/bin/env python3
"""Write checkpoints in the published layouts, with seeded random weights.

Real weights are several hundred megabytes, so parity is checked on random ones: names, shapes, dtypes and container are
those of the published files, and the values are drawn so that no tensor is zero or one everywhere (default
initialisation leaves position tables at zero, which hides position bugs).

    make_checkpoints.py OUT [--seed N] [--dtype float16|bfloat16] [NAME ...]

NAME (default: sam_b mobile_sam):
    sam_b sam_l sam_h mobile_sam         flat state dict                         -> NAME.pt
    sam2_t|s|b|l  sam2.1_t|s|b|l         {"model": state dict}                   -> NAME.pt
    sam3                                 flat, with the detector and the tracker -> NAME.pt
    sam3.1_multiplex                     flat; the click head is that of sam3
                                         of the same seed                        -> NAME.pt
    hf_sam_b … hf_sam2.1_l hf_sam3       the weights of sam_b (…) of the same
                                         seed in Hugging Face's published file   -> NAME.safetensors
    hf_image_sam2_t … hf_image_sam3      without what only video and text need   -> NAME.safetensors
With --dtype the floating tensors are rounded and the file is called NAME.DTYPE.pt (.safetensors).
"""
import argparse
import math
import pathlib
import re

import torch

import hugging_face
from layouts import layout

OTHER_WEIGHTS = 1000  # added to the seed of tensors that nothing here may read
SINGLE_MASK = 4.0  # puts the stability of the single mask on both sides of the threshold, from prompt to prompt


def randomise(state, seed):
    """Redraw every floating tensor: deterministic in (seed, place in name order), scaled by fan-in, never degenerate.

    Projections keep their fan-in scale without exception. Where attention logits are so large that softmax picks one key,
    the network amplifies rounding errors a thousandfold, and even float32 and float64 disagree by more than the bounds.
    So scaled, the two differ in features and logits by at most 7e-7 (SAM 2) and 2e-6 (SAM 3).

    SAM 2 and 3 answer with the mask of single answers only where it is stable; its logits are enlarged, or it never were.
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
        if "sam_mask_decoder.output_hypernetworks_mlps.0.layers.2." in name:
            value = SINGLE_MASK * value
        out[name] = value.to(tensor.dtype).reshape(tensor.shape)
    return out


def hugging_face_state(name, video, seed, state):
    """`state` of the official checkpoint `name` under Hugging Face's names; what its files hold besides is drawn."""
    out = hugging_face.translate(state, name)
    if name.startswith("sam_"):
        return out
    if video and name.startswith("sam3"):
        out = {hugging_face.rename(key, hugging_face.SAM3_VIDEO): tensor for key, tensor in out.items()}
    with torch.device("meta"):
        published = hugging_face.model(name, video).state_dict()
    others = randomise({key: tensor for key, tensor in published.items() if key not in out}, seed + OTHER_WEIGHTS)
    return {key: out[key] if key in out else others[key] for key in published}


def multiplex_state(seed, sam3):
    """SAM 3.1: the detector and the click head of `sam3` under their names there; everything else is drawn anew."""
    state = layout("sam3.1_multiplex")
    shared = {key: sam3[old] for key in state if (old := rename_multiplex(key)) in sam3}
    others = randomise({key: tensor for key, tensor in state.items() if key not in shared}, seed + OTHER_WEIGHTS)
    return {key: shared[key] if key in shared else others[key] for key in state}


def rename_multiplex(name):
    """The name in sam3.pt of a tensor of sam3.1_multiplex.pt that makes masks from clicks; other names unchanged.

    `tracker.model.sam_mask_decoder`, the decoder of 16 objects at once, is not what `tracker.sam_mask_decoder` is.
    """
    name = re.sub(r"^tracker\.model\.interactiv(?:e|ity)_", "tracker.", name)
    return name.replace(".interactive_convs.", ".sam2_convs.")


def make(folder, name, seed, dtype=None):
    """Write one checkpoint unless it is there; return its path."""
    folder = pathlib.Path(folder)
    from_hugging_face, image_only, official = re.fullmatch(r"(hf_)?(image_)?(.+)", name).groups()
    suffix = "safetensors" if from_hugging_face else "pt"
    path = folder / (f"{name}.{dtype}.{suffix}" if dtype else f"{name}.{suffix}")
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    if official == "sam3.1_multiplex":
        state = multiplex_state(seed, torch.load(make(folder, "sam3", seed), mmap=True))
    else:
        state = randomise(layout(official), seed)
    if dtype:
        state = {key: t.to(getattr(torch, dtype)) if t.is_floating_point() else t for key, t in state.items()}
    unfinished = path.with_suffix(".unfinished")
    if from_hugging_face:
        from safetensors.torch import save_file

        save_file(hugging_face_state(official, not image_only, seed, state), unfinished, metadata={"format": "pt"})
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
