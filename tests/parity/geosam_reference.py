#!/usr/bin/env python3
"""Run Python geosam 0.1.3 the way its users do, and write down what it computed.

    geosam_reference.py cache RASTER CHECKPOINT OUT [--bands 1,2,3] [--chip N] [--stride N] [--crs C] [--res R]
        build a feature cache: OUT/manifest.parquet and OUT/features/chip_*.pt
    geosam_reference.py query OUT CHECKPOINT RESULT.npz [--point X,Y,LABEL ...] [--box L,B,R,T] --crs C [--multimask]
        answer one query from that cache; RESULT.npz: masks, scores, transform, low_res (raw decoder logits), chip_id
    geosam_reference.py online RASTER CHECKPOINT RESULT.npz [the same prompt options]
    geosam_reference.py time CHECKPOINT CHIP.u8 [--features OUT.f32] [--encodes N] [--decodes N] [--autocast bf16]
        encode and decode one square chip (raw RGB bytes) and print every sample in seconds as one line of JSON;
        OUT.f32 receives the features, tensor after tensor; with --autocast, PyTorch's automatic mixed precision encodes

The checkpoint's file name must be one of ultralytics' (sam_b.pt, mobile_sam.pt, sam2.1_t.pt, sam3.pt, ...): that is how
it picks the model. parity.py imports the functions.
"""
import argparse
import contextlib
import dataclasses
import json
import math
import os
import pathlib
import time
import warnings

os.environ.setdefault("YOLO_VERBOSE", "False")
warnings.filterwarnings("ignore")
import numpy as np



@dataclasses.dataclass(frozen=True)
class Family:
    """What geosam calls a family of models, the side of its network's input, and how that is normalised."""

    model_type: str
    side: int
    mean: tuple
    std: tuple


IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
SAM = Family("sam", 1024, *IMAGENET)
SAM2 = Family("sam2", 1024, *IMAGENET)
SAM3 = Family("sam3", 1008, (127.5,) * 3, (127.5,) * 3)  # geosam's 1024 would become 1036, and its prompts would be off


def family(checkpoint):
    """The family of a checkpoint, by its file name as Python geosam has it."""
    name = pathlib.Path(checkpoint).name.removeprefix("hf_").removeprefix("image_")
    return SAM3 if name.startswith("sam3") else SAM2 if name.startswith("sam2") else SAM


@dataclasses.dataclass
class Answer:
    """What a query returned: masks [n, h, w], scores [n], low_res [n, 256, 256] (SAM 3: 288), and where the masks lie."""

    chip_id: str
    transform: list
    masks: np.ndarray
    scores: np.ndarray
    low_res: np.ndarray

    def save(self, path):
        np.savez_compressed(path, **dataclasses.asdict(self))

    @classmethod
    def load(cls, path):
        with np.load(path) as file:
            return cls(str(file["chip_id"]), file["transform"].tolist(), file["masks"], file["scores"], file["low_res"])


def model_spec(checkpoint, side=None):
    from geosam.models import ModelSpec

    kind = family(checkpoint)
    return ModelSpec(kind.model_type, str(checkpoint), device="cpu", imgsz=side or kind.side)


def levels(features):
    """The tensors of an encoded chip by name: SAM has one, SAM 2 and 3 have three."""
    if not isinstance(features, dict):
        return {"features": features}
    high_res = {f"high_res_feats.{index}": level for index, level in enumerate(features["high_res_feats"])}
    return {"image_embed": features["image_embed"], **high_res}


def tensors(features):
    """The same as arrays."""
    return {name: level.numpy() for name, level in levels(features).items()}


def open_raster(path, bands=None, crs=None, res=None, resampling=None):
    from geosam.datasets import RasterDataset
    from rasterio.enums import Resampling

    options = {"resampling": Resampling[resampling]} if resampling else {}
    return RasterDataset(str(path), indexes=bands, crs=crs, res=res, **options)


def input_bytes(values, kind):
    """The bytes behind the input [3, side, side] of a network of family `kind`: the normalisation undone."""
    mean, std = (np.array(of, np.float64).reshape(3, 1, 1) for of in (kind.mean, kind.std))
    levels = values.astype(np.float64) * std + mean
    rounded = np.rint(levels)
    if np.abs(levels - rounded).max() > 1e-3:
        raise ValueError("the network's input is not made of normalised bytes")
    return rounded.astype(np.uint8)


def image_network(adapter):
    """The module that an image enters: the image encoder, of SAM 3 its trunk."""
    encoder = adapter.model.model.image_encoder
    return encoder.vision_backbone.trunk if hasattr(encoder, "vision_backbone") else encoder


def build_folder(raster, checkpoint, out, chip=None, stride=None, side=None, **reading):
    """Build a feature folder; return the bytes the network received for each chip, u8 [chips, 3, side, side].

    `side` is geosam's image size, by default that of the family.
    """
    from geosam.engines import FeatureCacheBuilder

    builder = FeatureCacheBuilder(open_raster(raster, **reading), model_spec(checkpoint, side), str(out), chip_size=chip,
                                  stride=stride)
    inputs = []

    def record(module, arguments):
        inputs.append(input_bytes(arguments[0][0].numpy(), family(checkpoint)))

    hook = image_network(builder.adapter).register_forward_pre_hook(record)
    builder.build()
    hook.remove()
    return np.stack(inputs)


def network_bytes(checkpoint, images):
    """The bytes the network would receive for u8 images [h, w, 3], u8 [3, side, side] each; nothing is encoded."""
    from geosam.models import build_model_adapter

    class Caught(Exception):
        pass

    def catch(module, arguments):
        raise Caught(input_bytes(arguments[0][0].numpy(), family(checkpoint)))

    adapter = build_model_adapter(model_spec(checkpoint))
    image_network(adapter).register_forward_pre_hook(catch)
    for image in images:
        try:
            adapter.encode_image(image)
        except Caught as caught:
            yield caught.args[0]


def geo_query(prompt, crs):
    """A WorldPrompt as geosam's query object for a raster in `crs`.

    DIFFERENCE: geosam keeps points in float32 unless told otherwise, and in any case once it has reprojected them, which
    moves them by up to half a metre in a UTM zone. They are therefore reprojected here, in float64.
    """
    from geosam.query import BoundingBox, Points, PromptSet
    from pyproj import Transformer

    points = box = None
    if prompt.points:
        transform = Transformer.from_crs(prompt.crs, crs, always_xy=True).transform
        points = Points([transform(x, y) for x, y, _ in prompt.points], labels=[label for *_, label in prompt.points],
                        crs=crs, dtype=np.float64)
    if prompt.box:
        box = BoundingBox(*prompt.box, crs=prompt.crs)
    if points is not None and box is not None:
        return PromptSet(points=points, bbox=box)
    return points if points is not None else box


@contextlib.contextmanager
def low_res_kept(adapter):
    """A dict that holds, after a prediction, the mask decoder's raw output, which geosam thresholds and drops."""
    network = adapter.model.model
    decoder = getattr(network, "mask_decoder", None) or network.sam_mask_decoder
    kept = {}

    def keep(module, inputs, output):
        maps = output[0].float().numpy()
        kept["low_res"] = maps.reshape(-1, *maps.shape[-2:])

    hook = decoder.register_forward_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()


def ask(engine, crs, prompt, **options):
    """One query of a raster in `crs`, with the logits behind the masks."""
    with low_res_kept(engine.adapter) as kept:
        result = engine.query(geo_query(prompt, crs), multimask_output=prompt.multimask, **options)
    return Answer(result.chip_id or "", [float(v) for v in list(result.mask_transform)[:6]],
                  np.asarray(result.mask_array, bool), np.asarray(result.scores, np.float32), kept["low_res"])


def answers_from_chip(chip, checkpoint, prompts):
    """Answers to PixelPrompts from one chip file."""
    from geosam.models import EncodedImageFeatures, build_model_adapter

    adapter, encoded, answers = build_model_adapter(model_spec(checkpoint)), EncodedImageFeatures.load(chip), []
    for prompt in prompts:
        points = [[[x, y] for x, y, _ in prompt.points]] if prompt.points else None
        labels = [[label for *_, label in prompt.points]] if prompt.points else None
        with low_res_kept(adapter) as kept:
            found = adapter.predict_features(encoded, points=points, labels=labels, bboxes=prompt.box or None,
                                             masks=prompt.mask, multimask_output=prompt.multimask)
        answers.append(Answer("", [], found.masks.numpy(), found.scores.numpy(), kept["low_res"]))
    return answers


def answers_from_folder(folder, checkpoint, prompts):
    from geosam.engines import FeatureQueryEngine

    engine = FeatureQueryEngine(str(folder), model_spec(checkpoint))
    return [ask(engine, engine.manifest["crs"].iloc[0], prompt) for prompt in prompts]


def answers_online(raster, checkpoint, prompts, **reading):
    """Answers with one cache for all prompts, as the plugin keeps it."""
    from geosam.engines import OnlineQueryCache, OnlineQueryEngine

    dataset, cache = open_raster(raster, **reading), OnlineQueryCache()
    engine = OnlineQueryEngine(dataset, model_spec(checkpoint))
    return [ask(engine, dataset.crs, prompt, cache=cache) for prompt in prompts]


def time_model(checkpoint, chip, encodes, decodes, autocast):
    """Samples in seconds of encoding `chip` (u8 [side, side, 3]), with PyTorch's bf16 autocast or without, and of
    answering one point in single precision; and the features."""
    import torch
    from geosam.models import build_model_adapter

    adapter = build_model_adapter(model_spec(checkpoint))

    def encode(_):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            return adapter.encode_image(chip)

    encoded = encode(0)  # warm-up

    def sample(work, count):
        samples = []
        for index in range(count):
            start = time.perf_counter()
            work(index)
            samples.append(time.perf_counter() - start)
        return samples

    def decode(index):
        adapter.predict_features(encoded, points=[[500.0 + index, 500.0]], labels=[1])

    encode_s = sample(encode, encodes)
    sample(decode, min(decodes, 2))  # warm-up
    return {"encode_s": encode_s, "decode_s": sample(decode, decodes)}, encoded.features


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, positional in {"cache": ["raster", "checkpoint", "out"], "query": ["folder", "checkpoint", "result"],
                             "online": ["raster", "checkpoint", "result"], "time": ["checkpoint", "chip"]}.items():
        sub = commands.add_parser(name)
        for argument in positional:
            sub.add_argument(argument)
        if name in ("cache", "online"):
            sub.add_argument("--bands", type=lambda text: [int(band) for band in text.split(",")])
            sub.add_argument("--res", type=float)
        if name == "cache":
            sub.add_argument("--chip", type=int)
            sub.add_argument("--stride", type=int)
        if name in ("cache", "query", "online"):
            sub.add_argument("--crs", required=name != "cache")
        if name in ("query", "online"):
            sub.add_argument("--point", action="append", default=[])
            sub.add_argument("--box")
            sub.add_argument("--multimask", action="store_true")
        if name == "time":
            sub.add_argument("--features")
            sub.add_argument("--encodes", type=int, default=1)
            sub.add_argument("--decodes", type=int, default=12, help="0 with --autocast: the features are not all f32")
            sub.add_argument("--autocast", choices=["bf16"])
    args = parser.parse_args()

    if args.command == "cache":
        start = time.perf_counter()
        build_folder(args.raster, args.checkpoint, args.out, args.chip, args.stride, bands=args.bands, crs=args.crs,
                     res=args.res)
        print(json.dumps({"manifest": f"{args.out}/manifest.parquet", "seconds": time.perf_counter() - start}))
    elif args.command == "time":
        chip = np.fromfile(args.chip, np.uint8)
        side = math.isqrt(chip.size // 3)
        samples, features = time_model(args.checkpoint, chip.reshape(side, side, 3), args.encodes, args.decodes,
                                       args.autocast == "bf16")
        if args.features:
            values = [level.float().numpy().ravel() for level in levels(features).values()]
            np.concatenate(values).astype("<f4").tofile(args.features)
        print(json.dumps(samples))
    else:
        from scenes import WorldPrompt

        points = [[float(v) for v in (point + ",1").split(",")[:3]] for point in args.point]
        box = [float(v) for v in args.box.split(",")] if args.box else []
        prompt = WorldPrompt("", [[x, y, int(label)] for x, y, label in points], box, args.multimask, args.crs)
        if args.command == "query":
            (answer,) = answers_from_folder(args.folder, args.checkpoint, [prompt])
        else:
            (answer,) = answers_online(args.raster, args.checkpoint, [prompt], bands=args.bands, res=args.res)
        answer.save(args.result)
        print(json.dumps({"chip_id": answer.chip_id, "scores": answer.scores.tolist(),
                          "mask_pixels": answer.masks.sum((1, 2)).tolist(), "shape": list(answer.masks.shape)}))


if __name__ == "__main__":
    main()
