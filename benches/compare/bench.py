#!/usr/bin/env python3
"""Measure speed and memory beside Python geosam: same chip, same weights, same machine, taking turns.

    bench.py [--models sam_b,sam2_t,…] [--rounds N] [--encodes N] [--decodes N] [--out FOLDER] [--program PATH]
             [--binary PATH]

Each round starts one process of every side of a model, in turn, so that whatever else the machine does falls on all:
ours and theirs in single precision, and of all models but MobileSAM ours with `--precision bf16` and theirs under
PyTorch's bf16 autocast. A process loads the model, encodes the chip once to warm up, then takes its samples. A second
comparison times the two commands that make a feature folder from a raster of one chip, start to end.

Written to benches/runs/<date>-<machine>/: README.md (the tables, and which goals are met) and samples.json (every
sample). Run it in the environment of tests/parity/setup.sh; it only imports the standard library itself, and starts
Python geosam as a process.

Our side is the `speed` bench of the facade, which this starts as

    speed --checkpoint FILE --chip FILE --features FILE --encodes N --decodes N [--precision bf16]

and which prints one line of JSON: encode_s and decode_s, and decode_s_of_16, samples in seconds (the last: a call with 16
prompts, divided by 16). `--chip` holds RGB bytes of a chip of the model's size; `--features` receives the last features, f32 little-endian.
"""
import argparse
import array
import datetime
import json
import math
import os
import pathlib
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

# What is to be reached beside Python in single precision: times its speed encoding in f32 and in bf16, at least; and
# peak memory in f32 as a share of its, at most.
ENCODE = {"sam_b": 2.8, "mobile_sam": 2.5, "sam2_t": 2.0, "sam2_b": 2.0, "sam2_l": 1.8, "sam3": 1.6}
ENCODE_BF16 = {"sam_b": 4.5, "sam2_t": 3.0, "sam2_b": 3.0, "sam2_l": 3.0, "sam3": 2.6}
PEAK_MEMORY = {"sam_b": 0.40, "mobile_sam": 0.50, "sam2_t": 0.50, "sam2_b": 0.50, "sam2_l": 0.55, "sam3": 0.60}
# Of every model, times Python's speed, at least: encoding in bf16 beside its autocast, answering a point alone, and
# answering one of 16 asked together.
AUTOCAST, DECODE, DECODE_OF_16 = 1.6, 5.0, 6.0

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PARITY = REPOSITORY / "tests/parity"


def side(model):
    """Side of the model's input in pixels."""
    return 1008 if model.startswith("sam3") else 1024


def feature_bounds(model):
    """Of our sides, as in tests/parity: checks.py and precision_checks.py."""
    return {"ours": 1e-4 if model.startswith("sam3") else 2e-5, "ours-bf16": 1e-2}


class Failed(Exception):
    """A command ended with an error; the message ends with its own."""


def measured(command, **options):
    """Run a command; its standard output, wall seconds and peak resident MB.

    The peak is the kernel's for that process. A child inherits the peak of the process that forks it, so this one must
    stay smaller than what it measures; it does, by hundreds of MB.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=errors, **options)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), errors.seek(0)
        if process.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}\n{errors.read().decode().strip()}")
        return out.read().decode(), seconds, usage.ru_maxrss / (1e3 if platform.system() == "Linux" else 1e6)


def last_json(text):
    return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])


def bench_program():
    """Build the `speed` bench and return its executable."""
    done = subprocess.run(["cargo", "bench", "--quiet", "--locked", "--workspace", "--bench", "speed", "--no-run",
                           "--message-format", "json"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    programs = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "speed"]
    return pathlib.Path(programs[-1])


def relative_difference(ours, theirs):
    """‖ours − theirs‖ / ‖theirs‖ of two files of f32."""
    ours, theirs = (array.array("f", path.read_bytes()) for path in (ours, theirs))
    if len(ours) != len(theirs):
        return math.nan
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(ours, theirs)) / sum(b * b for b in theirs))


def contestants(args, model, work, checkpoint):
    """The sides of a comparison: name, command, and the file that receives its features."""
    chip = work / f"bench-chip-{side(model)}.u8"
    chip.write_bytes(random.Random(0).randbytes(side(model) ** 2 * 3))

    def one(name, *command):
        features = work / f"bench-{model}-{name}.f32"
        return name, [*command, "--features", features, "--encodes", args.encodes], features

    ours = [args.program, "--checkpoint", checkpoint, "--chip", chip]
    theirs = [sys.executable, PARITY / "geosam_reference.py", "time", checkpoint, chip]
    yield one("ours", *ours, "--decodes", args.decodes)
    yield one("theirs", *theirs, "--decodes", args.decodes)
    if model != "mobile_sam":  # so fast that there is no need
        yield one("ours-bf16", *ours, "--decodes", 0, "--precision", "bf16")
        yield one("theirs-bf16", *theirs, "--decodes", 0, "--autocast", "bf16")


def compare_models(args, work):
    """By model: the samples of each side, and how far its features are from Python's in f32.

    Of Python's autocast, where it fails, the reason: {"failed": "…"}. Any other side has to work.
    """
    models = {}
    for model in args.models:
        contest = list(contestants(args, model, work, make_checkpoint(work, model)))
        samples = {name: {} for name, *_ in contest}
        for turn in range(args.rounds):
            for name, command, _ in contest:
                taken = samples[name]
                if "failed" in taken:
                    continue
                try:
                    text, _, peak = measured(command)
                except Failed as error:
                    if name != "theirs-bf16":
                        raise
                    taken["failed"] = str(error).splitlines()[-1]
                    print(f"{model} {name} fails: {taken['failed']}", flush=True)
                    continue
                for measure, values in {**last_json(text), "peak_mb": [peak]}.items():
                    if isinstance(values, list):
                        taken.setdefault(measure, []).extend(values)
                print(f"{model} {name} {turn + 1}/{args.rounds}: encode {statistics.median(taken['encode_s']):.2f} s, "
                      f"peak {peak:.0f} MB", flush=True)
        features = {name: path for name, _, path in contest if "failed" not in samples[name]}
        exact = features.pop("theirs")
        models[model] = {"samples": samples, "feature_difference":
                         {name: relative_difference(path, exact) for name, path in features.items()}}
    return models


def compare_commands(args, work):
    """Of the models whose chip is the raster: samples of making a feature folder from a raster of one chip, from start to end."""
    write = "import scenes, sys; print(scenes.TOWN.write(sys.argv[1]))"
    raster = subprocess.run([sys.executable, "-c", write, str(work / "rasters")], cwd=PARITY, stdout=subprocess.PIPE,
                            text=True, check=True).stdout.strip()
    samples = {}
    for model in (model for model in args.models if side(model) == 1024):
        checkpoint = make_checkpoint(work, model)
        sides = {name: {"wall_s": [], "peak_mb": []} for name in ("ours", "theirs")}
        for _ in range(args.rounds):
            for name in sides:
                with tempfile.TemporaryDirectory(dir=work) as folder:
                    command = {
                        "ours": [args.binary, "encode", raster, "--checkpoint", checkpoint, "--out", f"{folder}/out",
                                 "--compat", "geosam-0.1", "--json"],
                        "theirs": [sys.executable, PARITY / "geosam_reference.py", "cache", raster, checkpoint,
                                   f"{folder}/out"],
                    }[name]
                    _, seconds, peak = measured(command)
                sides[name]["wall_s"].append(seconds)
                sides[name]["peak_mb"].append(peak)
        samples[model] = sides
        print(f"{model} command: ours {statistics.median(sides['ours']['wall_s']):.2f} s, "
              f"theirs {statistics.median(sides['theirs']['wall_s']):.2f} s", flush=True)
    return samples


def make_checkpoint(work, model):
    done = subprocess.run([sys.executable, PARITY / "make_checkpoints.py", work / "checkpoints/seed0", model],
                          stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(done.stdout.strip())


def shown(values, scale, digits):
    """Median, smallest and largest sample."""
    values = [scale * v for v in values]
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def ratio(ours, theirs):
    return statistics.median(ours) / statistics.median(theirs)


def speed(ours, theirs):
    """Ours, times theirs, of samples in seconds."""
    return statistics.median(theirs) / statistics.median(ours)


def row(label, unit, ours, theirs):
    """One line of the table: both sides, ours as a share of theirs, and except for memory ours in times their speed.

    `theirs` may be the text that says why there are no samples.
    """
    scale, digits = {"s": (1, 2), "ms": (1e3, 1), "MB": (1, 0), "prompts/s": (1, 0)}[unit]
    line = f"| {label} | {unit} | {shown(ours, scale, digits)} |"
    if isinstance(theirs, str):
        return f"{line} {theirs} | – | – |"
    share = ratio(ours, theirs)
    times = {"MB": "–", "prompts/s": f"{share:.2f}"}.get(unit, f"{speed(ours, theirs):.2f}")
    return f"{line} {shown(theirs, scale, digits)} | {share:.2f} | {times} |"


def table(models, commands):
    lines = ["| | unit | this geosam | Python geosam | ratio | times Python's speed |", "|---|---|--:|--:|--:|--:|"]
    for model, result in models.items():
        ours, theirs = (result["samples"][name] for name in ("ours", "theirs"))
        label = f"{model}: encode one chip of {side(model)} × {side(model)}"
        lines.append(row(label, "s", ours["encode_s"], theirs["encode_s"]))
        lines.append(row(f"{model}: answer one point", "ms", ours["decode_s"], theirs["decode_s"]))
        label = f"{model}: answer one of 16 points asked together (Python: alone)"
        lines.append(row(label, "ms", ours["decode_s_of_16"], theirs["decode_s"]))
        each = [[1 / seconds for seconds in samples] for samples in (ours["decode_s_of_16"], theirs["decode_s"])]
        label = f"{model}: hover preview, 16 points a call (Python: alone), more is better"
        lines.append(row(label, "prompts/s", *each))
        lines.append(row(f"{model}: peak resident memory", "MB", ours["peak_mb"], theirs["peak_mb"]))
        if "ours-bf16" in result["samples"]:
            lines += reduced_rows(model, result["samples"])
    for model, samples in commands.items():
        ours, theirs = samples["ours"], samples["theirs"]
        label = f"{model}: the command that encodes a raster of one chip"
        lines.append(row(label, "s", ours["wall_s"], theirs["wall_s"]))
        lines.append(row(f"{model}: its peak resident memory", "MB", ours["peak_mb"], theirs["peak_mb"]))
    return lines


def reduced_rows(model, samples):
    """Encoding in bf16 beside Python in single precision and beside its autocast."""
    ours, theirs, autocast = (samples[name] for name in ("ours-bf16", "theirs", "theirs-bf16"))
    measures = ("encode_s", "s", "encode in bf16"), ("peak_mb", "MB", "peak resident memory in bf16")
    for measure, unit, label in measures:
        yield row(f"{model}: {label} (Python: f32)", unit, ours[measure], theirs[measure])
        against = f"fails: {autocast['failed']}" if "failed" in autocast else autocast[measure]
        yield row(f"{model}: {label} (Python: bf16 autocast)", unit, ours[measure], against)


def differences(models):
    """A table of how far the features are from Python's in single precision."""
    names = ("ours", "ours-bf16", "theirs-bf16")
    lines = ["| | this geosam | this geosam, bf16 | Python geosam, bf16 autocast |", "|---|--:|--:|--:|"]
    for model, result in models.items():
        values = (result["feature_difference"].get(name) for name in names)
        lines.append(f"| {model} | " + " | ".join("–" if value is None else f"{value:.2g}" for value in values) + " |")
    return lines


def goals(models):
    """A table of the goals at the top of this file beside what was measured."""
    lines = ["| | goal | measured | met |", "|---|--:|--:|---|"]

    def add(label, sign, goal, value):
        if goal is not None:  # a model without one
            met = value <= goal if sign == "≤" else value >= goal
            lines.append(f"| {label} | {sign} {goal:.2f} | {value:.2f} | {'met' if met else '**not met**'} |")

    for model, result in models.items():
        ours, theirs = (result["samples"][name] for name in ("ours", "theirs"))
        faster = f"{model}: {{}}, times Python's speed".format
        add(faster("encode"), "≥", ENCODE.get(model), speed(ours["encode_s"], theirs["encode_s"]))
        if "ours-bf16" in result["samples"]:
            reduced, autocast = (result["samples"][name] for name in ("ours-bf16", "theirs-bf16"))
            label = faster("encode in bf16") + " in f32"
            add(label, "≥", ENCODE_BF16.get(model), speed(reduced["encode_s"], theirs["encode_s"]))
            label = faster("encode in bf16") + " with bf16 autocast"
            if "failed" in autocast:
                lines.append(f"| {label} | ≥ {AUTOCAST:.2f} | Python fails | – |")
            else:
                add(label, "≥", AUTOCAST, speed(reduced["encode_s"], autocast["encode_s"]))
        label = f"{model}: peak memory, of Python's"
        add(label, "≤", PEAK_MEMORY.get(model), ratio(ours["peak_mb"], theirs["peak_mb"]))
        add(faster("answer one point"), "≥", DECODE, speed(ours["decode_s"], theirs["decode_s"]))
        add(faster("answer one of 16 points"), "≥", DECODE_OF_16, speed(ours["decode_s_of_16"], theirs["decode_s"]))
    return lines


def readme(args, models, commands, facts):
    lines = [f"# {facts['date']}", ""]
    lines += ["`make bench`: medians, with the smallest and largest sample; ratio = ours / theirs.", ""]
    lines += table(models, commands)
    lines += ["", "Correct: ‖Δ‖ / ‖theirs‖ of the chip's features, theirs being those of Python geosam in f32; of ours in f32",
              "at most 2e-5 (SAM 3: 1e-4), in bf16 1e-2. `tests/parity` compares masks, too.", ""]
    lines += differences(models)
    lines += ["", "## Goals", ""]
    lines += goals(models)
    lines += ["", "## Measured with", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items() if key != "date"]
    lines += [f"- command: bench.py {' '.join(sys.argv[1:])}".rstrip()]
    lines += [f"- {args.rounds} rounds, each a fresh process of each side: {args.encodes} encodes and {args.decodes} decodes "
              "(in bf16 none)",
              "- single precision where nothing else is said; Python with its default number of threads"]
    return "\n".join(lines) + "\n"


def facts(binary):
    """Machine and versions."""
    ask = "import checks, json, sys; print(json.dumps({**checks.machine(), **checks.versions(sys.argv[1])}))"
    done = subprocess.run([sys.executable, "-c", ask, str(binary)], cwd=PARITY, stdout=subprocess.PIPE, text=True, check=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    rustc = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True, check=True)
    return {"date": f"{datetime.date.today()}", **last_json(done.stdout), "commit": commit.stdout.strip(),
            "rustc": rustc.stdout.strip()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=lambda text: text.split(","), default=["sam_b", "mobile_sam", "sam2_t", "sam2_b", "sam2_l", "sam3"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encodes", type=int, default=2)
    parser.add_argument("--decodes", type=int, default=20)
    parser.add_argument("--program", type=pathlib.Path, help="the built speed bench (default: build it)")
    parser.add_argument("--binary", type=pathlib.Path, default=REPOSITORY / "target/release/geosam")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    args.program = args.program or bench_program()
    if not args.binary.exists():
        parser.error(f"there is no {args.binary}; build it with cargo build --release --package geosam-cli")
    work = pathlib.Path(os.environ.get("GEOSAM_PARITY_DIR", pathlib.Path.home() / ".cache/geosam-parity")).resolve()
    work.mkdir(parents=True, exist_ok=True)

    known = facts(args.binary)
    models, commands = compare_models(args, work), compare_commands(args, work)
    name = re.sub(r"[^a-z0-9]+", "-", known["machine"].split(",")[0].lower()).strip("-")
    out = args.out or REPOSITORY / f"benches/runs/{known['date']}-{name}-{os.cpu_count()}-cores"
    out.mkdir(parents=True, exist_ok=True)
    text = readme(args, models, commands, known)
    (out / "README.md").write_text(text)
    (out / "samples.json").write_text(json.dumps({"facts": known, "models": models, "commands": commands}, indent=1) + "\n")
    print(f"\n{text}\nwritten to {out}")
    wrong = [f"{model} {name}" for model, result in models.items() for name, bound in feature_bounds(model).items()
             if not result["feature_difference"].get(name, 0.0) <= bound]
    if wrong:
        sys.exit(f"the features of {', '.join(wrong)} are not those of Python geosam: the times above mean nothing")


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
