#!/usr/bin/env python3
"""Outputs of the prompt encoder and mask decoder, for the parity tests of geosam-models.

    make_decoder_goldens.py [OUT_DIR]          (default: beside this script)

Made with torch 2.15 and segment-anything 1.0, at the published width, on an 8 × 8 feature grid. Weights and inputs are
not stored: both sides draw them from `draw` and `uniform`, which `src/golden.rs` repeats.
"""
import pathlib
import sys

import numpy
import torch
from make_encoder_goldens import draw, uniform
from safetensors.numpy import save_file
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer

WIDTH, GRID, SIZE = 256, 8, 128

# One object each: points (x, y, label) and a box in pixels of the network's square, and whether there is a mask prompt.
CASES = {
    "points": ([(40.25, 71.5, 1), (3.0, 120.75, 0)], None, False),
    "many_points": ([(8.0 * i + 1, 120.0 - 7 * i, i % 2) for i in range(14)], None, False),
    "box": ([], (12.5, 30.25, 90.0, 101.5), False),
    "both": ([(40.25, 71.5, 1)], (12.5, 30.25, 90.0, 101.5), False),
    "points_and_mask": ([(40.25, 71.5, 1)], None, True),
    "mask": ([], None, True),
}


def seeded(module, prefix):
    state = module.state_dict()
    module.load_state_dict({name: draw(prefix + name, tuple(value.shape)) for name, value in state.items()})
    return module.eval()


def inputs(name, shape, scale):
    values = uniform(name, int(numpy.prod(shape))) * scale
    return torch.from_numpy(values.reshape(shape).astype(numpy.float32))


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    prompt_encoder = seeded(PromptEncoder(WIDTH, (GRID, GRID), (SIZE, SIZE), 16), "prompt_encoder.")
    transformer = TwoWayTransformer(depth=2, embedding_dim=WIDTH, num_heads=8, mlp_dim=2048)
    mask_decoder = seeded(MaskDecoder(transformer_dim=WIDTH, transformer=transformer), "mask_decoder.")
    features = inputs("features", (1, WIDTH, GRID, GRID), 2.0)
    mask = inputs("mask", (1, 1, 4 * GRID, 4 * GRID), 8.0)
    found = {}
    with torch.no_grad():
        position = prompt_encoder.get_dense_pe()
        found["dense_pe"] = position.flatten(2).transpose(1, 2)
        for name, (points, box, with_mask) in CASES.items():
            sparse, dense = prompt_encoder(
                points=(torch.tensor([[p[:2] for p in points]]), torch.tensor([[p[2] for p in points]])) if points else None,
                boxes=torch.tensor([box]) if box else None,
                masks=mask if with_mask else None,
            )
            logits, scores = mask_decoder.predict_masks(features, position, sparse, dense)
            found |= {f"{name}.logits": logits, f"{name}.scores": scores}
            if sparse.numel():
                found[f"{name}.sparse"] = sparse
    save_file({name: value.contiguous().numpy() for name, value in found.items()}, out / "decoder.safetensors")


if __name__ == "__main__":
    main()
