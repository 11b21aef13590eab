#!/usr/bin/env python3
"""Resized chips and masks brought to chip resolution, for the parity tests of geosam-models.

    make_image_goldens.py [OUT_DIR]            (default: beside this script)

Made with Pillow 13.0, OpenCV 5.0.0, ultralytics 8.4.190 (its letterbox, called as it is installed) and torch 2.15.
Images and logits are drawn from `uniform`, which `src/golden.rs` repeats.
"""
import pathlib
import sys

import numpy
import torch
from make_encoder_goldens import uniform
from PIL import Image
from safetensors.numpy import save_file
from torch.nn import functional
from ultralytics.data.augment import LetterBox

SIZE, SIDE = 40, 10
CHIPS = [(40, 40), (25, 33), (80, 80), (61, 90), (97, 31), (3, 77), (13, 13), (120, 41)]
MASKS = [(10, 10), (40, 40), (30, 40), (33, 50), (100, 37), (7, 90), (2, 200), (64, 64)]


def content(shape):
    """Shape of the resized chip in the network's square."""
    ratio = min(SIZE / shape[0], SIZE / shape[1])
    return [max(round(side * ratio), 1) for side in shape]


def image(shape):
    values = (uniform(f"image {shape[0]}x{shape[1]}", shape[0] * shape[1] * 3) + 1) * 128
    return values.astype(numpy.uint8).reshape(*shape, 3)


def masks(logits, shape):
    """The published recipe, with torch's own interpolation."""
    if shape == (SIDE, SIDE):
        return logits > 0
    height, width = (side * SIDE / SIZE for side in content(shape))
    rows, columns = max(round(height), 1), max(round(width), 1)
    if abs(height - rows) + abs(width - columns) < 1e-3:
        cropped = logits[None, :, :rows, :columns]
        return functional.interpolate(cropped, shape, mode="bilinear", align_corners=False)[0] > 0
    # grid_sample counts from -1 to 1 across the whole map.
    y = (torch.arange(shape[0], dtype=torch.float64) + 0.5) * height / shape[0] / SIDE * 2 - 1
    x = (torch.arange(shape[1], dtype=torch.float64) + 0.5) * width / shape[1] / SIDE * 2 - 1
    grid = torch.stack([x.expand(shape[0], -1), y[:, None].expand(-1, shape[1])], dim=-1)[None]
    sampled = functional.grid_sample(
        logits[None].double(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[0] > 0


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    found = {}
    for shape in CHIPS:
        name, chip = f"{shape[0]}x{shape[1]}", image(shape)
        height, width = content(shape)
        found[f"pillow {name}"] = numpy.asarray(Image.fromarray(chip).resize((width, height), Image.BILINEAR))
        letterboxed = LetterBox((SIZE, SIZE), auto=False, center=False)(image=chip)
        found[f"geosam-0.1 {name}"] = letterboxed[..., ::-1]
    logits = torch.from_numpy((uniform("logits", 2 * SIDE * SIDE) * 5).reshape(2, SIDE, SIDE).astype(numpy.float32))
    for shape in MASKS:
        found[f"masks {shape[0]}x{shape[1]}"] = masks(logits, shape).numpy().astype(numpy.uint8)
    save_file({name: numpy.ascontiguousarray(value) for name, value in found.items()}, out / "images.safetensors")


if __name__ == "__main__":
    main()
