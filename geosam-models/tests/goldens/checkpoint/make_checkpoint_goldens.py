#!/usr/bin/env python3
"""Write one small SAM in the containers that tests/checkpoint.rs reads, all with the same values.

    make_checkpoint_goldens.py       # needs torch, segment-anything, transformers, safetensors

Made with torch 2.15, segment-anything 1.0, transformers 5.23, safetensors 0.8. The Hugging Face file is made by our
renaming rules and checked by running both models: a wrong rule would give other masks.

    sam_small.pt                   flat state dict of segment-anything
    sam_small_wrapped_f16.pth      {"model": ..., "epoch": 3}, half precision, the form before PyTorch 1.6
    sam_small_hf.safetensors       Hugging Face SamModel
    sam_small_bf16.safetensors     official names, bfloat16
    sam_small_module.pt            the module itself, pickled
"""
import pathlib

import torch
from safetensors.torch import save_file
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

HERE = pathlib.Path(__file__).parent
IMAGE, PATCH, WIDTH, DEPTH, HEADS, WINDOW, FEATURES, MLP = 64, 16, 16, 2, 2, 3, 16, 16


def official():
    encoder = ImageEncoderViT(
        img_size=IMAGE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, out_chans=FEATURES,
        use_rel_pos=True, window_size=WINDOW, global_attn_indexes=(1,),
        norm_layer=lambda n: torch.nn.LayerNorm(n, eps=1e-6),
    )
    grid = IMAGE // PATCH
    prompt = PromptEncoder(FEATURES, (grid, grid), (IMAGE, IMAGE), 16)
    decoder = MaskDecoder(
        transformer_dim=FEATURES, num_multimask_outputs=3, iou_head_depth=3, iou_head_hidden_dim=FEATURES,
        transformer=TwoWayTransformer(depth=2, embedding_dim=FEATURES, mlp_dim=MLP, num_heads=HEADS),
    )
    return Sam(encoder, prompt, decoder).eval()


def hugging_face():
    vision = SamVisionConfig(
        hidden_size=WIDTH, output_channels=FEATURES, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
        image_size=IMAGE, patch_size=PATCH, window_size=WINDOW, global_attn_indexes=[1], mlp_dim=4 * WIDTH,
        num_pos_feats=FEATURES // 2,
    )
    prompt = SamPromptEncoderConfig(hidden_size=FEATURES, image_size=IMAGE, patch_size=PATCH, mask_input_channels=16)
    decoder = SamMaskDecoderConfig(
        hidden_size=FEATURES, mlp_dim=MLP, num_attention_heads=HEADS, iou_head_hidden_dim=FEATURES
    )
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    return SamModel(config).eval()


def hugging_face_name(name):
    """Official name -> name of SamModel."""
    if name.endswith("positional_encoding_gaussian_matrix"):
        return "prompt_encoder.shared_embedding.positional_embedding"
    part, _, rest = name.partition(".")
    rest = f".{rest}"
    if part == "image_encoder":
        neck = {".neck.0.": "conv1", ".neck.1.": "layer_norm1", ".neck.2.": "conv2", ".neck.3.": "layer_norm2"}
        for old, new in neck.items():
            rest = rest.replace(old, f".neck.{new}.")
        rest = rest.replace(".blocks.", ".layers.").replace(".patch_embed.proj.", ".patch_embed.projection.")
        rest = rest.replace(".norm1.", ".layer_norm1.").replace(".norm2.", ".layer_norm2.")
        return f"vision_encoder{rest}"
    if part == "prompt_encoder":
        steps = {0: "conv1", 1: "layer_norm1", 3: "conv2", 4: "layer_norm2", 6: "conv3"}
        for old, new in steps.items():
            rest = rest.replace(f".mask_downscaling.{old}.", f".mask_embed.{new}.")
        return part + rest.replace(".point_embeddings.", ".point_embed.")
    if rest.startswith(".transformer."):
        for index in range(1, 5):
            rest = rest.replace(f".norm{index}.", f".layer_norm{index}.")
        return part + rest.replace(".norm_final_attn.", ".layer_norm_final_attn.")
    for old, new in {0: "upscale_conv1", 1: "upscale_layer_norm", 3: "upscale_conv2"}.items():
        rest = rest.replace(f".output_upscaling.{old}.", f".{new}.")
    if "_mlps." in rest or "_head." in rest:
        for old, new in {0: "proj_in", 2: "proj_out", 1: "layers.0"}.items():
            rest = rest.replace(f".layers.{old}.", f".{new}.", 1) if f".layers.{old}." in rest else rest
    return part + rest


def main():
    torch.manual_seed(0)
    model = official()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            # Values that float16 and bfloat16 hold exactly, so that every file has the same fingerprint.
            tensor.copy_((torch.randint(-64, 65, tensor.shape) / 128).to(tensor.dtype))
    state = model.state_dict()

    theirs = hugging_face()
    renamed = {hugging_face_name(name): tensor.clone() for name, tensor in state.items()}
    missing, unexpected = theirs.load_state_dict(renamed, strict=False)
    assert not unexpected and set(missing) <= {"shared_image_embedding.positional_embedding"}, (missing, unexpected)
    theirs.tie_weights()
    theirs.shared_image_embedding.positional_embedding.data.copy_(state[
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"])

    image = torch.randn(1, 3, IMAGE, IMAGE)
    point = torch.tensor([[[20.0, 30.0]]])
    with torch.no_grad():
        features = model.image_encoder(image)
        sparse, dense = model.prompt_encoder((point, torch.ones(1, 1)), None, None)
        ours = model.mask_decoder(features, model.prompt_encoder.get_dense_pe(), sparse, dense, True)[0]
        other = theirs(pixel_values=image, input_points=point[None], input_labels=torch.ones(1, 1, 1).long())
    error = (ours - other.pred_masks[0]).norm() / ours.norm()
    print("Hugging Face against segment-anything:", error.item())
    assert error < 1e-4  # 2e-5 measured: the eps of the norms differ; a wrong rule gives about 1

    torch.save(state, HERE / "sam_small.pt")
    half = {name: tensor.half() for name, tensor in state.items()}
    torch.save({"model": half, "epoch": 3}, HERE / "sam_small_wrapped_f16.pth", _use_new_zipfile_serialization=False)
    save_file({n: t.contiguous() for n, t in renamed.items()}, HERE / "sam_small_hf.safetensors", {"format": "pt"})
    save_file({n: t.bfloat16().contiguous() for n, t in state.items()}, HERE / "sam_small_bf16.safetensors")
    torch.save({"model": torch.nn.Linear(2, 1), "epoch": 3}, HERE / "sam_small_module.pt")
    for path in sorted(HERE.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
