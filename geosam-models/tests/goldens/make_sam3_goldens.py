#!/usr/bin/env python3
"""Intermediate and final outputs of a small SAM 3, of its image encoder and of the head that answers clicks, for the
parity tests of geosam-models.

    make_sam3_goldens.py [OUT_DIR]             (default: beside this script)

Made with torch 2.15 and sam3 0.1.4, in the environment of `tests/parity` and

    pip install --no-deps sam3==0.1.4 iopath==0.1.10 portalocker==4.4.2 ftfy==6.3.1 wcwidth==0.2.14 einops==0.8.2 \
        pycocotools==2.0.11

Weights and inputs are not stored: both sides draw them from `draw` and `uniform`, which `src/golden.rs` repeats.
"""
import pathlib
import sys

import torch
from make_encoder_goldens import draw, uniform
from safetensors.numpy import save_file
from sam3.model.necks import Sam3DualViTDetNeck
from sam3.model.position_encoding import PositionEmbeddingSine
from sam3.model.vitdet import ViT
from sam3.sam.mask_decoder import MaskDecoder
from sam3.sam.prompt_encoder import PromptEncoder
from sam3.sam.transformer import TwoWayTransformer

SIZE, FEATURES = 168, 32


def seeded(module, prefix):
    """Rotation factors are computed, not drawn."""
    state = module.state_dict()
    drawn = {k: draw(prefix + k, tuple(v.shape)) for k, v in state.items() if v.is_floating_point()}
    if (name := "trunk.pos_embed") in state:  # its first row is that of a class token that there is not
        _, rows, width = state[name].shape
        drawn[name] = torch.cat([draw("class row", (1, 1, width)), draw(prefix + name, (1, rows - 1, width))], 1)
    module.load_state_dict(state | drawn)
    return module.eval()


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    # Faint, for the norms' epsilon to be seen.
    values = uniform("images", 3 * SIZE * SIZE).reshape(1, 3, SIZE, SIZE) * 0.2
    images = torch.from_numpy(values.astype("float32"))

    # A grid of 12 tokens: three windows and three repetitions of the position table in each direction.
    trunk = ViT(
        img_size=SIZE, pretrain_img_size=56, patch_size=14, embed_dim=32, depth=3, num_heads=2, mlp_ratio=4.625,
        tile_abs_pos=True, global_att_blocks=(2,), rel_pos_blocks=(), use_rope=True, use_interp_rope=True,
        window_size=4, retain_cls_token=False, ln_pre=True, bias_patch_embed=False)
    position_encoding = PositionEmbeddingSine(FEATURES, normalize=True)
    neck = Sam3DualViTDetNeck(trunk, position_encoding, d_model=FEATURES, add_sam2_neck=True)
    neck = seeded(neck, "detector.backbone.vision_backbone.")
    transformer = TwoWayTransformer(depth=2, embedding_dim=FEATURES, mlp_dim=2048, num_heads=8)
    decoder = seeded(MaskDecoder(
        transformer_dim=FEATURES, transformer=transformer, iou_head_hidden_dim=FEATURES, use_high_res_features=True,
        iou_prediction_use_sigmoid=True, pred_obj_scores=True, pred_obj_scores_mlp=True,
        dynamic_multimask_via_stability=True), "tracker.sam_mask_decoder.")
    prompt_encoder = seeded(PromptEncoder(FEATURES, (12, 12), (SIZE, SIZE), 16), "tracker.sam_prompt_encoder.")

    found = {}
    for name, module in {"ln_pre": trunk.ln_pre, **{f"blocks.{i}": b for i, b in enumerate(trunk.blocks)}}.items():
        module.register_forward_hook(lambda _m, _i, out, name=name: found.__setitem__(name, out.clone()))
    with torch.no_grad():
        _, _, (high0, high1, low, _), _ = neck(images)
        found["image_embed"] = low + draw("tracker.no_mem_embed", (1, 1, FEATURES)).reshape(1, FEATURES, 1, 1)
        found |= {"high_res_feats.0": decoder.conv_s0(high0), "high_res_feats.1": decoder.conv_s1(high1)}

        click = torch.tensor([[[40.25, 71.5]]]), torch.tensor([[1]])
        sparse, dense = prompt_encoder(points=click, boxes=None, masks=None)
        found["logits"], found["scores"], _, _ = decoder(
            found["image_embed"], prompt_encoder.get_dense_pe(), sparse, dense, True, False,
            [found["high_res_feats.0"], found["high_res_feats.1"]])
    found = {name: value.contiguous().numpy() for name, value in found.items()}
    save_file(found, out / "sam3.safetensors")


if __name__ == "__main__":
    main()
