"""Our side: the `geosam` command and the small programs that show what lies between its steps."""
import json
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
from safetensors.numpy import load_file

from geosam_reference import Answer

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class Failed(Exception):
    """The command ended with an error."""


class Binary:
    """Runs `geosam`; every method raises `Failed` with the command's own message."""

    def __init__(self, path, work):
        self.path = pathlib.Path(path).absolute()
        self.work = pathlib.Path(work)
        self.examples = self.path.parent / "examples"

    def run(self, program, *arguments):
        command = [str(program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            message = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise Failed(f"{message}   [{' '.join(command)}]")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(self.path, *arguments, "--json"))

    def encode(self, raster, checkpoint, out, compat=True, **options):
        """A new feature folder; its JSON summary."""
        shutil.rmtree(out, ignore_errors=True)
        pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
        return self.json("encode", raster, "--checkpoint", checkpoint, "--out", out, *flags(options), *mode(compat))

    def query(self, source, checkpoint, prompt, compat=True, outputs=(), **options):
        """Answer a WorldPrompt from a feature folder or a raster; write it to `outputs` as well."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            logits = pathlib.Path(folder) / "logits.safetensors"
            arguments = [f"--point={x!r},{y!r},{label}" for x, y, label in prompt.points]
            if prompt.box:
                arguments.append("--box=" + ",".join(map(repr, prompt.box)))
            arguments += [f"--out={path}" for path in outputs]
            if prompt.multimask:
                arguments.append("--multimask")
            (told,) = self.json("query", source, "--checkpoint", checkpoint, *arguments, "--crs", prompt.crs, "--logits",
                                logits, *flags(options), *mode(compat))["results"]
            tensors = load_file(logits)
        return Answer(told.get("chip_id") or "", [float(v) for v in told["transform"]], tensors["masks"].astype(bool),
                      tensors["scores"].astype(np.float32), tensors["low_res"])

    def predict_chip(self, checkpoint, chip, prompt):
        """Answer a PixelPrompt from one chip file."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            out, mask = pathlib.Path(folder) / "answer.safetensors", pathlib.Path(folder) / "mask"
            arguments = [f"--point={x!r},{y!r},{label}" for x, y, label in prompt.points]
            if prompt.box:
                arguments.append("--box=" + ",".join(map(repr, prompt.box)))
            if prompt.mask is not None:
                prompt.mask.astype("<f4").tofile(mask)
                arguments.append(f"--mask={mask}")
            if prompt.multimask:
                arguments.append("--multimask")
            self.run(self.examples / "predict_chip", checkpoint, chip, out, *arguments)
            tensors = load_file(out)
        return Answer("", [], tensors["masks"].astype(bool), tensors["scores"], tensors["low_res"])

    def load_checkpoint(self, checkpoint):
        """Bytes of the tensors that a model is made of, and resident memory before and at the peak of loading it."""
        return json.loads(self.run(self.examples / "load_checkpoint", checkpoint))

    def network_input(self, family, raster, window, compat=True, **options):
        """What the network of a family receives for a window (column, row, width, height), f32 [3, side, side]."""
        pixels, told = self.read_window(raster, window, **options)
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            path, out = pathlib.Path(folder) / "pixels", pathlib.Path(folder) / "input"
            pixels.tofile(path)
            self.run(self.examples / "network_input", family.model_type, path, told["dtype"], *pixels.shape,
                     "geosam-0.1" if compat else "standard", out)
            return np.fromfile(out, np.float32).reshape(3, family.side, family.side)

    def read_window(self, raster, window, **options):
        """The pixels [bands, height, width] of a window, as our raster reader gives them, and the raster's grid."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            out = pathlib.Path(folder) / "pixels"
            told = json.loads(self.run(self.examples / "read_window", raster, *window, out, *flags(options)))
            return np.fromfile(out, told["dtype"]).reshape(told["shape"]), told


def mode(compat):
    return ["--compat", "geosam-0.1"] if compat else []


def flags(options):
    """`chip_size=512` as `--chip-size=512`."""
    for name, value in options.items():
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, (list, tuple, range)) else value
            yield f"--{name.replace('_', '-')}={text}"
