#!/usr/bin/env python3
"""Measure geosam on a GPU beside PyTorch on the same GPU; `scripts/gpu-bench run` starts this.

    gpu.py [--device cuda:0] [--models sam_b,sam_h,…] [--minutes 10] [--out FOLDER] [--binary PATH] [--python PATH]
           [--precisions f16,bf16,f32] [--modes bf16,f32,bf16-compiled] [--batches 1,2,4,8,16] [--seconds 0.5]
           [--patience 1]

Prints one table and writes it to FOLDER/README.md, every sample to FOLDER/samples.json. Both sides do the same work:
chips in the host's memory to features there, clicks to masks there. Needs a Python with torch and transformers for
PyTorch's side, and NVIDIA's driver and NVRTC with its headers for ours; what is missing is said, and the rest runs.

Each measurement is a process with a time limit, the most important first; those that do not fit into the minutes are
listed as not run. `--device cpu` puts the CPU in the GPU's place, to try the bench where there is no GPU.
"""
import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import gpu_environment
import gpu_memory
import gpu_table

HERE = pathlib.Path(__file__).resolve().parent
MODELS = ["sam_b", "sam_h", "sam2.1_t", "sam2.1_l", "sam3"]
LEAST = 5  # seconds that a process is worth starting for


@dataclasses.dataclass
class Step:
    """A process: what it measures, for people, whose side it is, its command, the seconds it may take, and in which turn it
    comes."""

    what: str
    side: str
    command: list
    limit: float
    turn: int = 0

    def __str__(self):
        return f"{self.what}, {self.side}"


def listed(values):
    return ",".join(map(str, values))


def plan(args, work):
    """The steps, the most important first: every model's fastest precision, beside PyTorch's without compilation."""
    theirs = [args.python, HERE / "gpu_torch.py"]
    same = "cpu" if args.device == "cpu" else f"cuda:{gpu_memory.index(args.device)}"  # as PyTorch calls it
    eager = [mode for mode in args.modes if not mode.endswith("-compiled")]
    compiled = [mode for mode in args.modes if mode.endswith("-compiled")]
    few = sorted({args.batches[0], args.batches[-2:][0]}, reverse=True)  # the larger first: it decides on the rate

    def ours(model, precision, batches, limit, turn=0):
        command = [args.binary, "time", "--model", model, "--folder", work, "--device", args.device,
                   "--precision", precision, "--batches", listed(batches), "--seconds", args.seconds]
        return Step(f"{model} {precision}", "geosam", command, limit, turn)

    def pytorch(model, modes, batches, limit, turn=0):
        command = [*theirs, "time", "--model", model, "--device", same, "--modes", listed(modes),
                   "--batches", listed(batches), "--seconds", args.seconds]
        return Step(f"{model} {listed(modes)}", "PyTorch", command, limit, turn)

    yield Step("bounds", "PyTorch", [*theirs, "bounds", "--device", same], 45)
    for model in args.models:
        reference = [args.binary, "reference", "--model", model, "--folder", work]
        yield Step(f"{model} reference", "geosam", reference, 60)
        yield ours(model, args.precisions[0], args.batches, 80)
        if eager:
            yield pytorch(model, eager, args.batches, 80)
    for mode in compiled:
        yield from (pytorch(model, [mode], few, 90, 1) for model in args.models)
    for precision in args.precisions[1:]:
        batches = args.batches[:1] if precision == "f32" else few[::-1]
        yield from (ours(model, precision, batches, 40, 2) for model in args.models)


def run(step, limit, environment, memory):
    """The lines that a step's process printed until it ended or its time was up, with the peak of memory since it was
    loaded, and why it ended early."""
    lines = []
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(list(map(str, step.command)), stdout=subprocess.PIPE, stderr=errors, text=True,
                                   env=environment, start_new_session=True)
        memory.started(process.pid)

        def read():
            for line in process.stdout:
                if not line.startswith("{"):
                    continue
                lines.append({**json.loads(line), "peak_mb": memory.peak()})
                if lines[-1]["measure"] == "load":
                    memory.loaded()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            process.wait(limit)
            reason = None
        except subprocess.TimeoutExpired:
            reason = f"stopped after {limit:.0f} s"
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # PyTorch's compiler has processes of its own
            except ProcessLookupError:
                pass
            process.wait()
        reader.join(5)
        if reason is None and process.returncode != 0:
            errors.seek(0)
            said = [line for line in errors.read().decode(errors="replace").splitlines()
                    if line.strip() and not line.startswith("note:")]
            reason = f"ended with {process.returncode}: {said[-1][:300] if said else 'nothing said'}"
    return lines, reason


def measure(args, work, environment):
    """What every step printed, and what failed or was not run."""
    memory = gpu_memory.of(args.device)
    end = time.monotonic() + 60 * args.minutes
    lines, problems = [], []
    steps = list(plan(args, work))
    for index, step in enumerate(steps):
        left = end - time.monotonic()
        # No model takes the time of those after it: what is left is shared by the steps of the turn.
        share = left * step.limit / sum(other.limit for other in steps[index:] if other.turn == step.turn)
        if left < LEAST:
            problems.append({"step": str(step), "reason": f"not run: the {args.minutes:g} minutes were over"})
            continue
        start = time.monotonic()
        found, reason = run(step, min(args.patience * step.limit, share), environment, memory)
        lines += [{**line, "side": step.side} for line in found]
        for line in found:
            if "failed" in line:
                batch = f" of {line['batch']}" if "batch" in line else ""
                how = line.get("mode") or line.get("precision")
                problems.append({"step": f"{line['model']} {how}, {step.side}",
                                 "reason": f"{line['measure']}{batch}: {line['failed']}"})
        if reason:
            problems.append({"step": str(step), "reason": reason})
        print(f"{step}: {time.monotonic() - start:.0f} s, {len(found)} measures{', ' + reason if reason else ''}",
              file=sys.stderr, flush=True)
    memory.close()
    return lines, problems


def facts(args, lines, load):
    """Machine, versions, and how this was called."""
    known = {"date": f"{datetime.date.today()}", "device": gpu_memory.name(args.device) or args.device}
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.M) if cpuinfo.exists() else []
    known["machine"] = f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    known["load before the run"] = " ".join(f"{average:.2f}" for average in load)
    built = args.binary.parent / "built.json"
    known |= json.loads(built.read_text()) if built.exists() else {"binary": str(args.binary)}
    versions = [line for line in lines if "transformers" in line]
    known |= {key: versions[0][key] for key in ("torch", "transformers")} if versions else {}
    return known | {"command": " ".join(["gpu-bench run", *sys.argv[1:]])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: text.split(",")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--models", type=words, default=MODELS)
    parser.add_argument("--precisions", type=words, help="ours (default: f16,bf16,f32; on the CPU f32,bf16)")
    parser.add_argument("--modes", type=words, help="PyTorch's (default: bf16,f32,bf16-compiled; on the CPU f32,bf16)")
    parser.add_argument("--batches", type=lambda text: [int(b) for b in text.split(",")], default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=0.5, help="of samples of each measure")
    parser.add_argument("--minutes", type=float, default=10, help="after which nothing more is started, and what runs is stopped")
    parser.add_argument("--patience", type=float, help="factor of the time limits of single steps (default: 1; on the CPU 20)")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path, default=HERE / "gpu", help="the built gpu bench")
    parser.add_argument("--python", default=sys.executable, help="of PyTorch's side")
    args = parser.parse_args()
    load = os.getloadavg()
    on_cpu = args.device == "cpu"
    args.precisions = args.precisions or (["f32", "bf16"] if on_cpu else ["f16", "bf16", "f32"])
    args.modes = args.modes or (["f32", "bf16"] if on_cpu else ["bf16", "f32", "bf16-compiled"])
    args.patience = args.patience or (20 if on_cpu else 1)
    args.binary = args.binary.resolve()
    if not args.binary.exists():
        parser.error(f"there is no {args.binary}; scripts/gpu-bench build makes it")

    with tempfile.TemporaryDirectory(prefix="gpu-bench-") as work:
        work = pathlib.Path(work)
        environment, missing = gpu_environment.of(args.device, args.python, work)
        for what in missing:
            print(f"gpu-bench: {what}", file=sys.stderr)
        lines, problems = measure(args, work, environment)
    problems = [{"step": "machine", "reason": what} for what in missing] + problems
    known = facts(args, lines, load)
    name = re.sub(r"[^a-z0-9]+", "-", known["device"].split(",")[0].lower()).strip("-")
    out = args.out or pathlib.Path(f"{known['date']}-{name}")
    out.mkdir(parents=True, exist_ok=True)
    text = gpu_table.readme(args, lines, problems, known)
    (out / "README.md").write_text(text)
    (out / "samples.json").write_text(json.dumps({"facts": known, "lines": lines, "problems": problems}, indent=1) + "\n")
    print(f"{text}\nwritten to {out}")


if __name__ == "__main__":
    main()
