#!/usr/bin/env python3
"""Intermediate and final outputs of small image encoders, for the parity tests of geosam-models.

    make_encoder_goldens.py [OUT_DIR]          (default: beside this script)

Made with torch 2.15, segment-anything 1.0 (ViT-Det) and ultralytics 8.4.190 (TinyViT, called as it is installed).
Weights and inputs are not stored: both sides draw them from `draw`, which `src/golden.rs` repeats.
"""
import math
import pathlib
import sys

import numpy
import torch
from safetensors.numpy import save_file
from segment_anything.modeling import ImageEncoderViT
from ultralytics.models.sam.modules.tiny_encoder import TinyViT


def uniform(name, count):
    """Numbers in [-1, 1): splitmix64 of position, seeded with the FNV-1a hash of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float64) / 2**23 - 1.0


def draw(name, shape):
    """Values of a tensor: no table is zero and no scale is one, which would hide mistakes."""
    u = uniform(name, math.prod(shape))
    if name.endswith("running_var"):
        values = 1.0 + 0.2 * numpy.abs(u)
    elif len(shape) == 1:
        values = 1.0 + 0.1 * u if name.endswith("weight") else 0.1 * u
    elif any(table in name for table in ("pos_embed", "rel_pos", "attention_biases")):
        values = 0.5 * u
    else:
        values = u * math.sqrt(3.0 / math.prod(shape[1:]))
    return torch.from_numpy(values.reshape(shape).astype(numpy.float32))


def seeded(encoder):
    state = encoder.state_dict()
    drawn = {k: draw("image_encoder." + k, tuple(v.shape)) if v.is_floating_point() else v for k, v in state.items()}
    encoder.load_state_dict(drawn)
    return encoder.eval()


def record(encoder, images, modules):
    """Outputs of the named modules, and of the whole."""
    found = {}
    for name, module in modules.items():
        module.register_forward_hook(lambda _m, _i, out, name=name: found.__setitem__(name, out.clone()))
    with torch.no_grad():
        found["features"] = encoder(images)
    return {name: out.contiguous().numpy() for name, out in found.items()}


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    images = torch.from_numpy(uniform("images", 3 * 128 * 128).reshape(1, 3, 128, 128).astype(numpy.float32)) * 2

    # Windows of 3 on a grid of 8 reach over the edge.
    vit = seeded(ImageEncoderViT(
        img_size=128, patch_size=16, embed_dim=64, depth=3, num_heads=2, mlp_ratio=4, out_chans=32, qkv_bias=True,
        norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6), use_rel_pos=True, window_size=3,
        global_attn_indexes=(1,)))
    names = {"patch_embed": vit.patch_embed, **{f"blocks.{i}": b for i, b in enumerate(vit.blocks)}}
    save_file(record(vit, images, names), out / "vit_encoder.safetensors")

    # Grids 32, 16, 8, 8; windows of 3 and 5 reach over the edge.
    tiny = TinyViT(img_size=128, num_classes=1, embed_dims=(16, 32, 40, 64), depths=(1, 1, 2, 1),
                   num_heads=(1, 2, 5, 4), window_sizes=(3, 3, 5, 3))
    tiny.layers[2].downsample.conv2.c.stride = (1, 1)  # as it is at MobileSAM's width
    tiny = seeded(tiny)
    names = {"patch_embed": tiny.patch_embed, **{f"layers.{i}": layer for i, layer in enumerate(tiny.layers)}}
    save_file(record(tiny, images, names), out / "tiny_vit_encoder.safetensors")


if __name__ == "__main__":
    main()
