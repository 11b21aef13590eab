"""segment-anything and Hugging Face's SAM, run on the chips and weights that our standard preprocessing gets.

DIFFERENCE: both scale prompts by the ratio of the rounded sides, each axis by its own; we scale by the one exact ratio
of the letterbox, as Python geosam does. They are therefore given coordinates that are already in the model's frame.
"""
import numpy as np
import torch

from geosam_reference import Answer

SIDE = 1024


def chip_image(dataset, window=None):
    """The u8 image [height, width, 3] that both sides feed the model: three bands, the last repeated if there are fewer."""
    image = dataset.read(window=window)[:3]
    image = image[[0, min(1, len(image) - 1), min(2, len(image) - 1)]]
    assert image.dtype == np.uint8
    return np.ascontiguousarray(np.moveaxis(image, 0, -1))


def pixel_prompt(prompt, transform, shape):
    """Points [1, n, 2], labels [1, n] and box [1, 4] of a WorldPrompt (in the raster's CRS) in the model's frame.

    Rounded to float32 in source pixels, then scaled in float32, as Python geosam does.
    """
    ratio = np.float32(min(SIDE / shape[0], SIDE / shape[1]))

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
    """Features [1, 256, 64, 64] and one Answer for each prompt, from SamPredictor."""
    from segment_anything import SamPredictor

    predictor = SamPredictor(official_model(state))
    with torch.inference_mode():
        predictor.set_image(image)
        answers = []
        for prompt in prompts:
            points, labels, box = pixel_prompt(prompt, transform, image.shape[:2])
            masks, scores, low_res = predictor.predict_torch(points, labels, box, multimask_output=prompt.multimask)
            answers.append(Answer("", list(transform)[:6], masks[0].numpy(), scores[0].numpy(), low_res[0].numpy()))
    return predictor.features.numpy(), answers


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
    return features.numpy(), answers
