#!/usr/bin/env python3
"""Outputs of a small SAM 2 image encoder, and of SAM 2's prompt encoder and mask decoder, for the parity tests of
geosam-models.

    make_sam2_goldens.py [OUT_DIR]             (default: beside this script)

Made with torch 2.15 and sam2 1.1.0, in the environment of `tests/parity` and

    SAM2_BUILD_CUDA=0 pip install --no-deps --no-build-isolation sam2==1.1.0 hydra-core==1.3.8 iopath==0.1.10 \
        omegaconf==2.4.0 antlr4-python3-runtime==4.9.3 portalocker==4.4.2

Weights and inputs are not stored: both sides draw them from `draw` and `uniform`, which `src/golden.rs` repeats.
"""
import pathlib
import sys

import numpy
import torch
from make_encoder_goldens import draw, uniform
from safetensors.numpy import save_file
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from torch.nn import functional

# Every map of the encoder is stored in part: each value whose index, counted through the whole map, is a multiple of
# this. No dimension of a map has it as a divisor.
SAMPLING = 5

WIDTH, GRID, SIZE = 256, 8, 128

# One object each: points (x, y, label) in pixels of the network's square, the corners of a box being points of label 2
# and 3 in front of the others, and whether there is a mask prompt.
CORNERS = [(12.5, 30.25, 2), (90.0, 101.5, 3)]
CASES = {
    "points": ([(40.25, 71.5, 1), (3.0, 120.75, 0), (64.0, 8.0, 1)], False),
    "many_points": ([(8.0 * i + 1, 120.0 - 7 * i, i % 2) for i in range(14)], False),
    "box": (CORNERS, False),
    "both": (CORNERS + [(40.25, 71.5, 1)], False),
    "points_and_mask": ([(40.25, 71.5, 1)], True),
    "mask": ([], True),
}


def seeded(module, prefix):
    state = module.state_dict()
    module.load_state_dict({name: draw(prefix + name, tuple(value.shape)) for name, value in state.items()})
    return module.eval()


def inputs(name, shape, scale):
    values = uniform(name, int(numpy.prod(shape))) * scale
    return torch.from_numpy(values.reshape(shape).astype(numpy.float32))


def image_encoder():
    """Grids of 64, 32, 16 and 8 tokens: windows of 6 and 3 reach over the edge of the third and the fourth."""
    trunk = Hiera(embed_dim=16, num_heads=1, stages=(1, 2, 3, 2), global_att_blocks=(4,), window_spec=(8, 4, 6, 3),
                  window_pos_embed_bkg_spatial_size=(7, 7))
    neck = FpnNeck(position_encoding=PositionEmbeddingSine(32), d_model=32, backbone_channel_list=trunk.channel_list,
                   fpn_top_down_levels=[2, 3], fpn_interp_model="nearest")
    return seeded(ImageEncoder(trunk, neck, scalp=1), "image_encoder.")


def mask_decoder(width):
    return seeded(MaskDecoder(
        transformer_dim=width,
        transformer=TwoWayTransformer(depth=2, embedding_dim=width, num_heads=8, mlp_dim=2048),
        use_high_res_features=True, iou_prediction_use_sigmoid=True, pred_obj_scores=True, pred_obj_scores_mlp=True,
        dynamic_multimask_via_stability=True), "sam_mask_decoder.")


def encoder_goldens():
    encoder, decoder = image_encoder(), mask_decoder(32)
    found = {"position": encoder.trunk._get_pos_embed((64, 64))}
    for index in encoder.trunk.stage_ends:
        encoder.trunk.blocks[index].register_forward_hook(
            lambda _m, _i, out, name=f"blocks.{index}": found.__setitem__(name, out.clone()))
    # Faint, for the norms' epsilon to be seen.
    high0, high1, low = encoder(inputs("images", (1, 3, 256, 256), 0.2))["backbone_fpn"]
    found["image_embed"] = low + draw("no_mem_embed", (1, 1, 32)).reshape(1, 32, 1, 1)
    found |= {"high_res_feats.0": decoder.conv_s0(high0), "high_res_feats.1": decoder.conv_s1(high1)}
    for side in (7, 14):
        table = inputs(f"table {side}", (1, 2, side, side), 1.0)
        found[f"bicubic {side}"] = functional.interpolate(table, size=(64, 64), mode="bicubic")
    return {name: value.contiguous().flatten()[::SAMPLING].contiguous() for name, value in found.items()}


def decoder_goldens():
    prompt_encoder = seeded(PromptEncoder(WIDTH, (GRID, GRID), (SIZE, SIZE), 16), "sam_prompt_encoder.")
    decoder = mask_decoder(WIDTH)
    # Scales at which some answers are stable and some are not.
    features = inputs("features", (1, WIDTH, GRID, GRID), 8.0)
    mask = inputs("mask", (1, 1, 4 * GRID, 4 * GRID), 8.0)
    high_res = [inputs("high_res_feats.0", (1, WIDTH // 8, 4 * GRID, 4 * GRID), 4.0),
                inputs("high_res_feats.1", (1, WIDTH // 4, 2 * GRID, 2 * GRID), 4.0)]
    position = prompt_encoder.get_dense_pe()
    found, picks = {}, set()
    for name, (points, with_mask) in CASES.items():
        sparse, dense = prompt_encoder(
            points=(torch.tensor([[p[:2] for p in points]]), torch.tensor([[p[2] for p in points]])) if points else None,
            boxes=None,
            masks=mask if with_mask else None,
        )
        logits, scores, _, _ = decoder.predict_masks(features, position, sparse, dense, False, high_res)
        single, triple = (decoder(features, position, sparse, dense, multimask, False, high_res)[:2]
                          for multimask in (False, True))
        picked = [index for index in range(4) if torch.equal(single[0][:, 0], logits[:, index])]
        assert len(picked) == 1 and torch.equal(single[1][:, 0], scores[:, picked[0]])
        picks.update(picked)
        found[f"{name}.picked"] = torch.tensor(picked, dtype=torch.uint8)
        found |= {f"{name}.logits": single[0], f"{name}.scores": single[1]}
        found |= {f"{name}.multimask.logits": triple[0], f"{name}.multimask.scores": triple[1]}
        if sparse.numel():
            found[f"{name}.sparse"] = sparse
    assert picks == {0, 1, 2, 3}, "both sides of the choice, and every candidate, must be seen"
    return found


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    with torch.no_grad():
        files = {"hiera_encoder": encoder_goldens(), "sam2_decoder": decoder_goldens()}
    for file, found in files.items():
        save_file({name: value.contiguous().numpy() for name, value in found.items()}, out / f"{file}.safetensors")


if __name__ == "__main__":
    main()
