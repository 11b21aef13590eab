"""Names, shapes and dtypes of the tensors in the published checkpoints, as state dicts whose values mean nothing."""
import itertools
import math
import pathlib
import re

import torch

SAM3 = pathlib.Path(__file__).with_name("layouts") / "sam3.txt"
TRANSPOSED = re.compile(r"dconv_2x2|output_upscaling\.[03]\.")  # [in, out, side, side] instead of [out, in, side, side]


def layout(name):
    """The state dict of the published checkpoint `name` (`sam_b`, `mobile_sam`, `sam2.1_s`, `sam3.1_multiplex`, …)."""
    if name.startswith("sam3"):
        return sam3(name)
    if name.startswith("sam2"):
        return sam2(name)
    from ultralytics.models.sam import build

    builders = {"sam_b": build.build_sam_vit_b, "sam_l": build.build_sam_vit_l, "sam_h": build.build_sam_vit_h,
                "mobile_sam": build.build_mobile_sam}
    return builders[name](None).state_dict()


def sam2(name):
    """`sam2_t` … `sam2.1_l`: 2.1 adds three tensors that only its video path uses."""
    from ultralytics.models.sam import build

    state = getattr(build, f"build_sam2_{name.rsplit('_', 1)[1]}")(None).state_dict()
    if name.startswith("sam2.1"):
        state["no_obj_embed_spatial"] = torch.empty(1, 64)
        state["obj_ptr_tpos_proj.weight"] = torch.empty(64, 256)
        state["obj_ptr_tpos_proj.bias"] = torch.empty(64)
    return state


def sam3(name):
    """`sam3` or `sam3.1_multiplex`; the complex rotations that both files store are no weights, and hold their values."""
    state, section = {}, None
    for line in SAM3.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#") and section in ("both", name):
            state.update(expand(line))
    return state


def expand(line):
    """The tensors of one line of the table."""
    pattern, *columns = line.split()
    has_bias = columns[0] == "+b"
    shape = tuple(map(int, columns[has_bias].split("x")))
    numbers = [spread(column) for column in columns[has_bias + 1 :] if column != "x"]
    for choice in itertools.product(*numbers):
        name = pattern
        for number in choice:
            name = name.replace("#", str(number), 1)
        yield name, rotations(shape[0]) if name.endswith("freqs_cis") else torch.empty(shape, device="meta")
        if has_bias:
            bias = re.sub(r"weight$", "bias", name)
            yield bias, torch.empty(shape[1 if TRANSPOSED.search(name) else 0], device="meta")


def spread(ranges):
    """`0-2,5` as [0, 1, 2, 5]."""
    bounds = [part.split("-") for part in ranges.split(",")]
    return [number for part in bounds for number in range(int(part[0]), int(part[-1]) + 1)]


def rotations(tokens, head=64, window=24):
    """2-D rotary position embedding of a square of tokens, complex64 [tokens, head / 2]: column angles, then row angles.

    Positions are scaled so that every square spans what a window does.
    """
    side = math.isqrt(tokens)
    frequencies = 10000.0 ** (-torch.arange(0, head, 4) / head)
    places = torch.arange(tokens)
    column, row = (place * (window / side) for place in (places % side, places // side))
    angles = torch.cat([torch.outer(column, frequencies), torch.outer(row, frequencies)], 1)
    return torch.polar(torch.ones_like(angles), angles)
