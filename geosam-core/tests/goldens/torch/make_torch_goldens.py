#!/usr/bin/env python3
"""Write the PyTorch files that tests/torch_file.rs reads, and check that torch reads what the crate writes.

    make_torch_goldens.py            # needs torch, numpy and geosam

Made with torch 2.15, numpy 2, geosam 0.1.3. Values are ranges, so that the test can state them.
`written.pt` and `written_chip.pt` are made by the crate (`cargo test -p geosam-core --test torch_file -- --ignored`);
this script checks them.
"""
import argparse
import collections
import io
import os
import pathlib
import pickle
import zipfile

import numpy as np
import torch
from geosam.models import EncodedImageFeatures

HERE = pathlib.Path(__file__).parent
DTYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
    "complex128",
]
YOUNG_DTYPES = ["uint64", "uint32", "uint16", "float8_e4m3fn", "float8_e5m2"]


def tensors():
    base = torch.arange(12, dtype=torch.float32)
    state = collections.OrderedDict()
    for name in DTYPES:
        state[f"dtype.{name}"] = torch.arange(6).to(getattr(torch, name)).reshape(2, 3)
    state["transposed"] = base.reshape(3, 4).t()
    state["slice"] = base[2:11:3]
    state["expanded"] = torch.tensor([[1.0], [2.0]]).expand(2, 3)
    state["shared.a"] = base
    state["shared.b"] = base[4:8].reshape(2, 2)
    state["scalar"] = torch.tensor(7.0)
    state["empty"] = torch.zeros(0, 3)
    state["parameter"] = torch.nn.Parameter(torch.tensor([1.5, -2.5]))
    return state


class Tagged:
    def __init__(self):
        self.rate = 0.1


class Command:
    """Unpickled naively, runs a command."""

    def __reduce__(self):
        return os.system, ("touch geosam-pickle-was-executed",)


def main():
    state = tensors()
    young = {name: torch.arange(6).to(torch.float32).to(getattr(torch, name)) for name in YOUNG_DTYPES}
    plain = {
        "none": None, "true": True, "int": -3, "big": 1 << 40, "huge": 1 << 80, "float": 2.5, "text": "héllo",
        "bytes": b"\x00\xff", "list": [1, [2]], "tuple": (1, 2, 3, 4), "size": torch.Size([2, 3]),
        "dtype": torch.bfloat16, "device": torch.device("cpu"), "numpy": np.float64(0.5), "array": np.arange(3),
        "set": {5}, 3: "integer key", "args": argparse.Namespace(lr=0.1), "tagged": Tagged(),
    }
    nested = {"model": state, "young": young, "plain": plain}
    torch.save(nested, HERE / "zip.pt")
    legacy = {"model": state, "young": young, "plain": plain}
    torch.save(legacy, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(nested, HERE / "protocol4.pt", pickle_protocol=4)

    torch.save({"weight": torch.ones(2), "payload": Command()}, HERE / "command.pt")
    torch.save({"weight": torch.ones(2), "payload": Command()}, HERE / "command_legacy.pt",
               _use_new_zipfile_serialization=False)
    torch.jit.script(torch.nn.Linear(2, 1)).save(HERE / "torchscript.pt")
    (HERE / "plain_pickle.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    rewrite("zip.pt", "big_endian.pt", lambda name, data: b"big" if name.endswith("byteorder") else data)
    rewrite("zip.pt", "compressed.pt", lambda name, data: data, zipfile.ZIP_DEFLATED)
    rewrite("zip.pt", "short_storage.pt", lambda name, data: data[:-1] if "/data/" in name else data)

    sam = torch.arange(16, dtype=torch.float32).reshape(1, 4, 2, 2) / 3
    levels = [torch.arange(8, dtype=torch.float32).reshape(1, 2, 2, 2), torch.arange(2.0).reshape(1, 2, 1, 1)]
    EncodedImageFeatures("sam", "/models/sam_b.pt", (100, 200), (1024, 1024), sam).save(HERE / "chip_sam.pt")
    EncodedImageFeatures("sam2", "/models/sam2.1_t.pt", (100, 200), (1024, 1024),
                         {"image_embed": sam, "high_res_feats": levels}).save(HERE / "chip_sam2.pt")
    half = {"model_type": "sam", "checkpoint_path": "/models/sam_b.pt", "src_shape": [100, 200],
            "dst_shape": (1024, 1024), "features": sam.bfloat16()}
    torch.save(half, HERE / "chip_bf16_list.pt")

    check_written(HERE / "written.pt")
    ours, theirs = (EncodedImageFeatures.load(HERE / name) for name in ("written_chip.pt", "chip_sam2.pt"))
    assert ours.describe() == theirs.describe(), ours.describe()
    assert torch.equal(ours.features["image_embed"], theirs.features["image_embed"])
    for level, expected in zip(ours.features["high_res_feats"], theirs.features["high_res_feats"], strict=True):
        assert torch.equal(level, expected)
    for path in sorted(HERE.iterdir()):
        print(path.name, path.stat().st_size)


def rewrite(source, target, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(HERE / source) as old, zipfile.ZipFile(HERE / target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), change(name, old.read(name)), compression)


def check_written(path):
    """torch reads every value the crate wrote, with weights_only, mapped and from memory."""
    for options in ({"mmap": True}, {"mmap": False}):
        root = torch.load(path, weights_only=True, **options)
        assert list(root) == ["f32", "f16", "scalar", "empty", "nested"], root
        assert torch.equal(root["f32"], torch.arange(6.0).reshape(2, 3)) and root["f32"].dtype == torch.float32
        assert torch.equal(root["f16"], torch.tensor([0.5, -1.0]).half())
        assert root["scalar"].shape == () and root["scalar"].item() == 7.0
        assert root["empty"].shape == (0, 3)
        nested = root["nested"]
        assert nested["list"] == [1, "two", None, True] and nested["tuple"] == (300, -70000, 1 << 40)
        assert nested["float"] == 2.5 and nested["bytes"] == b"\x00\xff" and nested["u16"].dtype == torch.uint16
        assert nested["u16"].tolist() == [1, 65535]
    torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
    print("torch", torch.__version__, "reads", path.name)


if __name__ == "__main__":
    main()
