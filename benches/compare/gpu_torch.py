#!/usr/bin/env python3
"""PyTorch's side of scripts/gpu-bench: the models of transformers on a device, and what the device itself can do.

    gpu_torch.py bounds [--device cuda:0]
    gpu_torch.py time --model sam_b [--device cuda:0] [--modes bf16,bf16-compiled,f32] [--batches 1,2,4,8] [--seconds 1]

Prints a line of JSON for every measure as soon as it is known, as geosam-models/benches/gpu.rs does, and one with `failed`,
the reason, for what does not work. `bounds` measures the two rates that no program can exceed: of matrix products and of
copies within the device's memory.

`time` does the work of our side: from bytes of chips in the host's memory to features there in f32, and from prompts to
masks of the chip's size, scores and logits there; `device_seconds` leaves the bytes and the features on the device. Both
copies go through pinned memory. bf16 is the whole model in bf16 with PyTorch's fused attention (SDPA), compiled or not;
f32 is as Python geosam runs: no TF32. Weights are random, distributed as ours are. `agreement` is that with the same
model in f32 on the same device.

Imports torch, transformers and numpy only. Works with torch 2.11 and transformers 5.17, and later ones.
"""
import argparse
import json
import sys
import time
import warnings

import numpy as np
import torch
import transformers
from torch.nn import functional

from hugging_face import HIERA  # of tests/parity, packed beside this file

FEWEST_SAMPLES, MOST_SAMPLES = 3, 50
IMAGENET = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
VIT = {
    "sam_b": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "global_attn_indexes": [2, 5, 8, 11]},
    "sam_l": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
              "global_attn_indexes": [5, 11, 17, 23]},
    "sam_h": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16,
              "global_attn_indexes": [7, 15, 23, 31]},
    "mobile_sam": {"hidden_size": 64, "num_hidden_layers": 0, "num_attention_heads": 1},  # the decoder is SAM's
}


def side(model):
    """Side of the model's input in pixels."""
    return 1008 if model.startswith("sam3") else 1024


def build(name):
    """The model of transformers with the sizes of `name`, as initialised."""
    if name in VIT:
        return transformers.SamModel(transformers.SamConfig(vision_config=VIT[name]))
    if name.startswith("sam3"):
        return transformers.Sam3TrackerModel(transformers.Sam3TrackerConfig())
    trunk = HIERA[name.rsplit("_", 1)[1]]
    widths = [trunk["hidden_size"] << stage for stage in range(4)]
    heads = [trunk["num_attention_heads"] << stage for stage in range(4)]
    backbone = {"model_type": "sam2_hiera_det_model", "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": heads, **trunk}
    options = {"vision_config": {"backbone_config": backbone, "backbone_channel_list": widths[::-1]}}
    return transformers.Sam2Model(transformers.Sam2Config(**options))


@torch.no_grad()
def randomise(model):
    """Random weights as `RandomWeights` of geosam-models distributes them; they decide on a GPU's clock, too."""
    for name, weight in [*model.named_parameters(), *model.named_buffers()]:
        if "positional_embedding" in name:
            weight.normal_()
        elif not isinstance(weight, torch.nn.Parameter):
            continue  # tables of positions
        elif weight.dim() <= 1:
            weight.normal_(1, 0.1) if name.endswith("weight") else weight.normal_(0, 0.05)
        elif any(part in name for part in ("pos_embed", "rel_pos", "position_embeddings")):
            weight.normal_(0, 0.2)
        elif "embed" in name and "patch_embed" not in name or name.endswith(("_token.weight", "_tokens.weight")):
            weight.normal_(0, 0.5)
        else:
            weight.normal_(0, weight[0].numel() ** -0.5)


def to_half(model, dtype):
    """The model in `dtype`, all but tables that rotary positions are computed from, of which half would miss pixels."""
    kept = {name: table for name, table in model.named_buffers() if name.endswith(("position_ids", "inv_freq"))}
    model = model.to(dtype)
    for name, table in kept.items():
        module, _, last = name.rpartition(".")
        setattr(model.get_submodule(module), last, table)
    return model


class Program:
    """A model, from chips to features and from prompts to masks."""

    def __init__(self, name, device, dtype, compiled, model):
        self.name, self.side, self.device, self.dtype, self.model = name, side(name), device, dtype, model
        self.encodes = name != "mobile_sam"
        mean, std = ([127.5] * 3, [127.5] * 3) if name.startswith("sam3") else IMAGENET
        self.mean, self.std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (mean, std))
        compile_ = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
        self.features, self.masks = compile_(self._features), compile_(self._masks)
        self.pinned = []

    def _features(self, rgb):
        """Feature maps, the embedding last. `rgb`: bytes, [n, side, side, 3]."""
        pixels = ((rgb.permute(0, 3, 1, 2).float() - self.mean) / self.std).to(self.dtype)
        maps = self.model.get_image_embeddings(pixels)
        return list(maps) if isinstance(maps, (list, tuple)) else [maps]

    def _masks(self, maps, points, labels, multimask=False):
        """Masks of the chip's size, scores and logits. `points`: [1, prompts, 1, 2]."""
        maps = maps[0] if len(maps) == 1 else maps
        out = self.model(image_embeddings=maps, input_points=points, input_labels=labels, multimask_output=multimask)
        logits = out.pred_masks[0].float()
        masks = functional.interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False) > 0
        return masks, out.iou_scores.float(), logits

    def encode(self, chips):
        """Features in the host's memory, of chips that are there."""
        maps = [m.float() for m in self.features(chips.to(self.device, non_blocking=True))]
        if self.device.type == "cpu":
            return maps
        if [m.shape for m in self.pinned] != [m.shape for m in maps]:
            self.pinned = [torch.empty(m.shape, pin_memory=True) for m in maps]
        for to, m in zip(self.pinned, maps):
            to.copy_(m, non_blocking=True)
        self.wait()
        return self.pinned

    def answer(self, maps, places, multimask=False):
        """Masks, scores and logits in the host's memory, of clicks [prompts, 2]."""
        points = torch.tensor(places, dtype=torch.float32)[None, :, None].to(self.device)
        labels = torch.ones(points.shape[:3], dtype=torch.int64, device=self.device)
        return [part.cpu() for part in self.masks(maps, points, labels, multimask)]

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def embedded(self):
        """Maps of one chip on the device; noise where transformers has no encoder."""
        if self.encodes:
            return [m[:1].clone() for m in self.features(chips(self.side, 1).to(self.device))]
        noise = np.random.default_rng(0).standard_normal((1, 256, self.side // 16, self.side // 16), np.float32)
        return [torch.from_numpy(noise).to(self.device, self.dtype)]


class Traffic(torch.overrides.TorchFunctionMode):
    """Counts what the linear maps, convolutions and attentions of a network have to move if each reads its operands and
    writes its result once, and everything between them costs nothing: numbers of values."""

    COUNTED = {functional.linear, functional.conv2d, functional.conv_transpose2d, functional.scaled_dot_product_attention,
               torch.conv2d, torch.conv_transpose2d}

    def __init__(self):
        super().__init__()
        self.activations = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in self.COUNTED:
            operands = args[:3] if function is functional.scaled_dot_product_attention else args[:1]
            tensors = [*operands, *((kwargs or {}).get(name) for name in ("query", "key", "value", "input")), result]
            self.activations += sum(tensor.numel() for tensor in tensors if isinstance(tensor, torch.Tensor))
        return result


def traffic(name):
    """Values of weights and activations that the image encoder moves for a chip; without computing any."""
    with torch.device("meta"), torch.no_grad():
        model = build(name)
        encoder = model.vision_encoder
        with Traffic() as counted:
            encoder(torch.empty(1, 3, side(name), side(name)))
    return {"weights": sum(p.numel() for p in encoder.parameters()), "activations": counted.activations}


def chips(size, count):
    """Bytes of chips, [count, size, size, 3]: patches of random colours."""
    patches = np.random.default_rng(0).integers(0, 256, (count, size // 16, size // 16, 3), np.uint8)
    out = torch.from_numpy(patches.repeat(16, 1).repeat(16, 2))
    return out.pin_memory() if torch.cuda.is_available() else out


def places(first, count):
    """Clicks, nowhere twice, as in gpu.rs."""
    return [[80.0 + i * 149 % 800, 80.0 + i * 211 % 800 + i // 800 / 16] for i in range(first, first + count)]


def samples(budget, run, wait, warm=False):
    """The first call, apart, then seconds of calls until they took `budget`; the second is no sample. One that is warm
    needs neither."""

    def timed():
        wait()
        start = time.perf_counter()
        run()
        wait()
        return time.perf_counter() - start

    first, seconds = None, []
    if not warm:
        first, _ = timed(), timed()
    while len(seconds) < FEWEST_SAMPLES or len(seconds) < MOST_SAMPLES and sum(seconds) < budget:
        seconds.append(timed())
    return {"first_s": first, "seconds": seconds}


def measure(program, args, show):
    """Times of the first batch size, of prompts, then of the other batch sizes."""
    if not program.encodes:
        show("encode", batch=args.batches[0], failed="transformers has no TinyViT; prompts are answered from noise")
    for turn, batch in enumerate(args.batches):
        images = chips(program.side, batch)
        try:
            if program.encodes:
                on_device = images.to(program.device)
                result = samples(args.seconds, lambda: program.encode(images), program.wait)
                alone = samples(args.seconds / 2, lambda: program.features(on_device), program.wait, warm=True)
                show("encode", batch=batch, device_seconds=alone["seconds"], **result)
        except torch.OutOfMemoryError as error:
            show("encode", batch=batch, failed=first_line(error))
            break
        if turn == 0:
            maps, asked = program.embedded(), iter(range(0, 1 << 30, 16))
            for count in (1, 16):
                ask = lambda: program.answer(maps, places(next(asked), count))
                show("prompts", prompts=count, **samples(args.seconds, ask, program.wait))


def compared(program):
    """Maps of a chip and masks of clicks on it, for the comparison of a mode with f32."""
    maps = program.embedded()
    masks = program.answer(maps, places(0, 8), multimask=True)[0]
    return [m.float().cpu() for m in maps] if program.encodes else [], masks


def agreement(ours, reference):
    """‖Δ‖ / ‖reference‖ of each map, the embedding first, and the IoU of the masks."""
    maps = [float((a - b).norm() / b.norm()) for a, b in zip(ours[0], reference[0])]
    if not np.isfinite(maps).all():
        raise ValueError("the features are not finite")
    both, either = ((ours[1] & reference[1]).sum((2, 3)), (ours[1] | reference[1]).sum((2, 3)))
    overlaps = torch.where(either > 0, both / either.clamp(min=1), 1.0).flatten().sort().values
    return {"features": maps[-1:] + maps[:-1], "iou_lowest": float(overlaps[0]), "iou_median": float(overlaps.median())}


def first_line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]


@torch.inference_mode()
def time_model(args, device):
    def show(what, mode=args.modes[0], **values):
        print(json.dumps({"measure": what, "model": args.model, "device": args.device, "mode": mode, **values}), flush=True)

    try:
        if args.model != "mobile_sam":
            show("traffic", **traffic(args.model))
    except Exception as error:  # the rest does not need it
        show("traffic", failed=first_line(error))
    torch.manual_seed(0)
    with torch.inference_mode(False), torch.device(device):
        model = build(args.model).eval().requires_grad_(False)
        randomise(model)
    reference = compared(Program(args.model, device, torch.float32, False, model))
    weights = {key: value.cpu() for key, value in model.state_dict().items()} if len(args.modes) > 1 else None
    for turn, mode in enumerate(args.modes):
        dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[mode.partition("-")[0]]
        try:
            start = time.perf_counter()
            if turn > 0:
                model = model.to(torch.float32)
                model.load_state_dict(weights)
            model = to_half(model, dtype)
            program = Program(args.model, device, dtype, mode.endswith("-compiled"), model)
            if device.type == "cuda":
                torch.cuda.empty_cache()
            show("load", mode, seconds=time.perf_counter() - start, torch=torch.__version__,
                 transformers=transformers.__version__)
            batches = args.batches[:1] if mode == "f32" else args.batches
            measure(program, argparse.Namespace(batches=batches, seconds=args.seconds),
                    lambda what, **values: show(what, mode, **values))
            if mode != "f32":
                show("agreement", mode, **agreement(compared(program), reference))
        except Exception as error:  # a row of its own, and the next mode still runs
            show("failed", mode, failed=first_line(error))


@torch.inference_mode()
def bounds(args, device):
    """Operations a second of square matrix products, and bytes a second of copies."""
    on_gpu = device.type == "cuda"
    wait = torch.cuda.synchronize if on_gpu else (lambda: None)
    size, values = (8192, 1 << 30) if on_gpu else (1024, 1 << 26)
    out = {"name": torch.cuda.get_device_name(device) if on_gpu else "CPU", "torch": torch.__version__}

    def fastest(run, calls=10):
        """Seconds of a call, several in a row, the fastest of three such rows."""

        def row():
            for _ in range(calls):
                run()

        return min(samples(0.0, row, wait)["seconds"]) / calls

    for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16), ("f32", torch.float32)):
        if name == "f16" and not on_gpu:
            continue  # PyTorch's CPU has no such products worth the name
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        out[f"{name}_flops"] = 2 * size**3 / fastest(lambda: torch.mm(a, b))
    source = torch.ones(values, dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    out["copy_bytes"] = 2 * values / fastest(lambda: copy.copy_(source))  # read and written
    if on_gpu:
        host = torch.ones(1 << 28, dtype=torch.uint8)
        for name, buffer in (("pageable", host), ("pinned", host.pin_memory())):
            part = source[: buffer.numel()]
            out[f"to_device_{name}_bytes"] = buffer.numel() / fastest(lambda: part.copy_(buffer), 2)
            out[f"to_host_{name}_bytes"] = buffer.numel() / fastest(lambda: buffer.copy_(part), 2)
    print(json.dumps({"measure": "bounds", "device": args.device, "size": size, **out}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["bounds", "time"])
    parser.add_argument("--model", default="sam_b", choices=[*VIT, *(f"sam2.1_{size}" for size in HIERA), "sam3"])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=["bf16", "f32"])
    parser.add_argument("--batches", type=lambda text: [int(batch) for batch in text.split(",")], default=[1])
    parser.add_argument("--seconds", type=float, default=1.0, help="of samples of each measure")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_float32_matmul_precision("highest")
    if hasattr(torch.backends.cudnn, "conv"):
        torch.backends.cudnn.conv.fp32_precision = "ieee"
    else:
        torch.backends.cudnn.allow_tf32 = False
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} sees no CUDA device")
    (bounds if args.verb == "bounds" else time_model)(args, device)


if __name__ == "__main__":
    main()
