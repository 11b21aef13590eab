#!/usr/bin/env python3
"""Measure speed and memory beside Python geosam: same chip, same weights, same machine, taking turns.

    bench.py [--models sam_b,sam2_t,…] [--rounds N] [--encodes N] [--decodes N] [--out FOLDER] [--program PATH]
             [--binary PATH]

Each round starts one process of ours and one of theirs for every model, in turn, so that whatever else the machine does
falls on both. A process loads the model, encodes the chip once to warm up, then takes its samples. A second comparison
times the two commands that make a feature folder from a raster of one chip, start to end.

Written to benches/runs/<date>-<machine>/: README.md (the table) and samples.json (every sample). Run it in the environment
of tests/parity/setup.sh; it only imports the standard library itself, and starts Python geosam as a process.

Our side is the `speed` bench of the facade, which this starts as

    speed --checkpoint FILE --chip FILE --features FILE --encodes N --decodes N

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

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PARITY = REPOSITORY / "tests/parity"


def side(model):
    """Side of the model's input in pixels."""
    return 1008 if model.startswith("sam3") else 1024


def feature_bound(model):
    """As in tests/parity/checks.py."""
    return 1e-4 if model.startswith("sam3") else 2e-5


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
            sys.exit(f"{' '.join(map(str, command))}\n{errors.read().decode()}")
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
    ours, theirs = (array.array("f", path.read_bytes()) for path in (ours, theirs))
    if len(ours) != len(theirs):
        return math.nan
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(ours, theirs)) / sum(b * b for b in theirs))


def compare_models(args, work):
    """Samples by model and side."""
    samples = {}
    for model in args.models:
        chip = work / f"bench-chip-{side(model)}.u8"
        chip.write_bytes(random.Random(0).randbytes(side(model) ** 2 * 3))
        checkpoint = make_checkpoint(work, model)
        counts = ["--encodes", args.encodes, "--decodes", args.decodes]
        features = {name: work / f"bench-{model}-{name}.f32" for name in ("ours", "theirs")}
        commands = {
            "ours": [args.program, "--checkpoint", checkpoint, "--chip", chip, "--features", features["ours"], *counts],
            "theirs": [sys.executable, PARITY / "geosam_reference.py", "time", checkpoint, chip, "--features",
                       features["theirs"], *counts],
        }
        sides = {name: {} for name in commands}
        for turn in range(args.rounds):
            for name, command in commands.items():
                text, _, peak = measured(command)
                for measure, values in {**last_json(text), "peak_mb": [peak]}.items():
                    if isinstance(values, list):
                        sides[name].setdefault(measure, []).extend(values)
                print(f"{model} {name} {turn + 1}/{args.rounds}: encode "
                      f"{statistics.median(sides[name]['encode_s']):.2f} s, peak {peak:.0f} MB", flush=True)
        samples[model] = {**sides, "feature_difference": relative_difference(features["ours"], features["theirs"])}
    return samples


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


def row(label, unit, ours, theirs, scale=1.0, digits=2):
    """One line of the table: medians, smallest and largest sample, and ours as a share of theirs."""

    def shown(values):
        values = [scale * v for v in values]
        return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"

    ratio = statistics.median(ours) / statistics.median(theirs)
    return f"| {label} | {unit} | {shown(ours)} | {shown(theirs)} | {ratio:.2f} |"


def table(models, commands):
    lines = ["| | unit | this geosam | Python geosam | ratio |", "|---|---|--:|--:|--:|"]
    for model, sides in models.items():
        ours, theirs = sides["ours"], sides["theirs"]
        lines.append(row(f"{model}: encode one chip of {side(model)} × {side(model)}", "s", ours["encode_s"], theirs["encode_s"]))
        lines.append(row(f"{model}: answer one point", "ms", ours["decode_s"], theirs["decode_s"], 1e3, 1))
        if "decode_s_of_16" in ours:
            lines.append(row(f"{model}: answer one of 16 points asked together (Python: alone)", "ms",
                             ours["decode_s_of_16"], theirs["decode_s"], 1e3, 1))
            each = [[1 / seconds for seconds in samples] for samples in (ours["decode_s_of_16"], theirs["decode_s"])]
            label = f"{model}: hover preview, 16 points a call (Python: alone), more is better"
            lines.append(row(label, "prompts/s", *each, digits=0))
        lines.append(row(f"{model}: peak resident memory", "MB", ours["peak_mb"], theirs["peak_mb"], digits=0))
    for model, sides in commands.items():
        lines.append(row(f"{model}: the command that encodes a raster of one chip", "s", sides["ours"]["wall_s"],
                         sides["theirs"]["wall_s"]))
        lines.append(row(f"{model}: its peak resident memory", "MB", sides["ours"]["peak_mb"], sides["theirs"]["peak_mb"],
                         digits=0))
    return lines


def readme(args, models, commands, facts):
    lines = [f"# {facts['date']}", "", "`make bench`: medians, with the smallest and largest sample; ratio = ours / theirs.", ""]
    lines += table(models, commands)
    lines += ["", "Correct: ‖ours − theirs‖ / ‖theirs‖ of the chip's features, to be at most 2e-5 (SAM 3: 1e-4):", ""]
    lines += [f"- {model}: {sides['feature_difference']:.2g}" for model, sides in models.items()]
    lines += ["", "Measured with:", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items() if key != "date"]
    lines += [f"- {args.rounds} rounds, each {args.encodes} encodes and {args.decodes} decodes of a fresh process of each side",
              "- single precision on both sides; Python with its default number of threads"]
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
    wrong = [model for model, sides in models.items() if not sides["feature_difference"] <= feature_bound(model)]
    if wrong:
        sys.exit(f"the features of {', '.join(wrong)} are not those of Python geosam: the times above mean nothing")


if __name__ == "__main__":
    main()
