"""segment-anything and Hugging Face's SAM, SAM 2 and SAM 3, on the chips and weights that our standard mode gets.

DIFFERENCE: all scale prompts by the ratio of the rounded sides, each axis by its own; we scale by the one exact ratio of
the letterbox, as Python geosam does. They are therefore given coordinates that are already in the model's frame.

DIFFERENCE: SAM 2 and 3 squash an image to the square, we letterbox it, as SAM does and Python geosam. Hugging Face's models
of them are therefore given the letterboxed image.
"""
import numpy as np
import torch
from PIL import Image

import hugging_face
from geosam_reference import SAM, SAM3, Answer, family


def chip_image(dataset, window=None):
    """The u8 image [height, width, 3] that both sides feed the model: three bands, the last repeated if there are fewer."""
    image = dataset.read(window=window)[:3]
    image = image[[0, min(1, len(image) - 1), min(2, len(image) - 1)]]
    assert image.dtype == np.uint8
    return np.ascontiguousarray(np.moveaxis(image, 0, -1))


def pixel_prompt(prompt, transform, shape, side=SAM.side):
    """Points [1, n, 2], labels [1, n] and box [1, 4] of a WorldPrompt (in the raster's CRS) in the model's frame.

    Rounded to float32 in source pixels, then scaled in float32, as Python geosam does.
    """
    ratio = np.float32(min(side / shape[0], side / shape[1]))

    def place(x, y):
        return np.float32(~transform * (x, y)) * ratio

    points = labels = box = None
    if prompt.points:
        points = torch.tensor(np.array([[place(x, y) for x, y, _ in prompt.points]]))
        labels = torch.tensor([[label for *_, label in prompt.points]])
    if prompt.box:
        left, bottom, right, top = prompt.box
        box = torch.tensor(np.array([[*place(left, top), *place(right, bottom)]]))
    return points, labels, box


def official_model(state):
    """segment-anything's model around `state`, a SAM ViT-B or MobileSAM state dict.

    segment-anything has no TinyViT, so MobileSAM's encoder is ultralytics', which keeps the official names.
    """
    from segment_anything import sam_model_registry

    state = {name: t.float() if t.is_floating_point() else t for name, t in state.items()}
    model = sam_model_registry["vit_b"]()
    if "image_encoder.layers.0.blocks.0.conv1.c.weight" in state:
        from ultralytics.models.sam import build

        model.image_encoder = build.build_mobile_sam(None).image_encoder
    model.load_state_dict(state, strict=True)
    return model.eval()


def official_answers(state, image, prompts, transform):
    """Features [[1, 256, 64, 64]] and one Answer for each prompt, from SamPredictor."""
    from segment_anything import SamPredictor

    predictor = SamPredictor(official_model(state))
    with torch.inference_mode():
        predictor.set_image(image)
        answers = []
        for prompt in prompts:
            points, labels, box = pixel_prompt(prompt, transform, image.shape[:2])
            masks, scores, low_res = predictor.predict_torch(points, labels, box, multimask_output=prompt.multimask)
            answers.append(Answer("", list(transform)[:6], masks[0].numpy(), scores[0].numpy(), low_res[0].numpy()))
    return [predictor.features.numpy()], answers


def letterboxed(image, kind):
    """The input [1, 3, side, side] of a network of family `kind` as SAM's authors prepare it: resized with antialiasing,
    normalised, and filled with zeros to the square."""
    height, width = (round(length * min(kind.side / side for side in image.shape[:2])) for length in image.shape[:2])
    resized = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), np.float32)
    out = np.zeros((kind.side, kind.side, 3), np.float32)
    out[:height, :width] = (resized - np.float32(kind.mean)) / np.float32(kind.std)
    return torch.from_numpy(out).permute(2, 0, 1)[None].contiguous()


def masks_of(low_res, shape, side):
    """Masks [n, height, width] of logits [n, m, m]: their letterboxed part brought to the chip's shape, bilinear."""
    ratio, scale = min(side / length for length in shape), low_res.shape[-1] / side
    place = [(torch.arange(length) + 0.5) * (round(length * ratio) * scale / length) for length in shape]
    row, column = torch.meshgrid(*(2 * at / low_res.shape[-1] - 1 for at in place), indexing="ij")
    grid = torch.stack([column, row], -1).expand(len(low_res), -1, -1, -1)
    sampled = torch.nn.functional.grid_sample(low_res[:, None], grid, padding_mode="border", align_corners=False)
    return sampled[:, 0] > 0


def later_family_answers(checkpoint, image, prompts, transform):
    """As `official_answers`, from Hugging Face's model of SAM 2 or SAM 3 with the weights of an official file; the features
    are [image_embed, high_res_feats…].

    DIFFERENCE: transformers adds SAM 3's `no_memory_embedding` to the lowest of four levels, which it drops thereafter; the
    official code, Python geosam and we add it to the one that the decoder sees.
    """
    name, kind = checkpoint.stem, family(checkpoint)
    state = torch.load(checkpoint, mmap=True)
    model = hugging_face.model(name)
    wanted = model.state_dict().keys()
    official = hugging_face.translate({k: t for k, t in state.get("model", state).items() if not t.is_complex()}, name)
    model.load_state_dict({key: official[key] for key in wanted}, strict=True, assign=True)
    with torch.inference_mode():
        features = model.get_image_embeddings(letterboxed(image, kind))
        if kind is SAM3:
            features[-1] += model.no_memory_embedding.reshape(1, -1, 1, 1)
        answers = []
        for prompt in prompts:
            points, labels, box = pixel_prompt(prompt, transform, image.shape[:2], kind.side)
            out = model(image_embeddings=features, multimask_output=prompt.multimask,
                        **{name: value[None] for name, value in
                           (("input_points", points), ("input_labels", labels), ("input_boxes", box)) if value is not None})
            low_res = out.pred_masks[0, 0]
            answers.append(Answer("", list(transform)[:6], masks_of(low_res, image.shape[:2], kind.side).numpy(),
                                  out.iou_scores[0, 0].numpy(), low_res.numpy()))
    *levels, embedding = (level.numpy() for level in features)
    return [embedding, *levels], answers


def hugging_face_answers(checkpoint, image, prompts, transform):
    """As `official_answers`, from SamModel and SamImageProcessor; masks are those of its own post-processing.

    DIFFERENCE: transformers norms the tokens of the two-way transformer with an epsilon of 1e-6, the official code and
    ours with 1e-5. That alone moves the logits by 1e-4, so its norms are given the official value.
    """
    import transformers
    from safetensors.torch import load_file

    model = transformers.SamModel(transformers.SamConfig()).eval()
    model.load_state_dict(load_file(checkpoint), strict=True)
    for module in model.mask_decoder.transformer.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5
    processor = transformers.SamImageProcessor()
    with torch.inference_mode():
        inputs = processor(image, return_tensors="pt")
        features = model.get_image_embeddings(inputs["pixel_values"])
        answers = []
        for prompt in prompts:
            points, labels, box = pixel_prompt(prompt, transform, image.shape[:2])
            out = model(image_embeddings=features, multimask_output=prompt.multimask,
                        **{name: value[None] for name, value in
                           (("input_points", points), ("input_labels", labels), ("input_boxes", box)) if value is not None})
            masks = processor.post_process_masks(out.pred_masks, inputs["original_sizes"],
                                                 inputs["reshaped_input_sizes"])[0]
            answers.append(Answer("", list(transform)[:6], masks[0].numpy(), out.iou_scores[0, 0].numpy(),
                                  out.pred_masks[0, 0].numpy()))
    return [features.numpy()], answers
