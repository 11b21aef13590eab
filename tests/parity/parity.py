#!/usr/bin/env python3
"""Compare the geosam command with live Python geosam, segment-anything and Hugging Face.

    parity.py [--quick] [--binary PATH] [--models sam2_t,sam3] [--seeds 0,1,2] [--only rasters,…] [--report FILE.md]

Makes its own rasters and checkpoints (tests/parity/scenes.py, make_checkpoints.py), runs both sides on them, prints every
check with its bound, and ends with exit code 1 if one failed. Run it in the environment that setup.sh makes. What the
Python side computed is kept in $GEOSAM_PARITY_DIR (~/.cache/geosam-parity) and made again when an input or a version
changes, or with --fresh.
"""
import argparse
import os
import pathlib
import sys
import time
import traceback

import checkpoint_checks
import compat_checks
import make_checkpoints
import output_checks
import precision_checks
import prompt_checks
import raster_checks
import standard_checks
from binary import REPOSITORY, Binary
from checks import Report
from geosam_reference import SAM, family
from stored import Store

SECTIONS = ("rasters", "input", "compat", "prompts", "live", "bf16", "outputs", "standard", "checkpoints")
MODELS = ("mobile_sam", "sam_b", "sam2_t", "sam2.1_s", "sam2_b", "sam2.1_l", "sam3")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: [word.strip() for word in text.split(",") if word.strip()]  # noqa: E731
    parser.add_argument("--quick", action="store_true", help="one seed and a few rasters: minutes instead of hours")
    parser.add_argument("--binary", default=REPOSITORY / "target/debug/geosam", type=pathlib.Path)
    parser.add_argument("--models", type=words, default=MODELS)
    parser.add_argument("--seeds", type=words, default=None, help="default 0,1,2; with --quick 0")
    parser.add_argument("--only", type=words, default=SECTIONS, help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--report", type=pathlib.Path, help="write FILE.md, and FILE.json with every check")
    parser.add_argument("--work", type=pathlib.Path,
                        default=os.environ.get("GEOSAM_PARITY_DIR", pathlib.Path.home() / ".cache/geosam-parity"))
    parser.add_argument("--fresh", action="store_true", help="run the Python side again")
    args = parser.parse_args()
    if not args.binary.exists():
        parser.error(f"there is no {args.binary}; build it with cargo build --package geosam-cli, or give --binary")
    unknown = set(args.only) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown sections {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    args.seeds = [int(seed) for seed in args.seeds or (["0"] if args.quick else ["0", "1", "2"])]
    return args


def run(args, report, binary, store):
    def step(check, *arguments):
        try:
            check(report, binary, *arguments)
        except Exception as error:  # noqa: BLE001 one step that fails must not hide the others
            traceback.print_exc()
            report.error("harness", check.__name__, error)

    def folder(seed):
        return args.work / f"checkpoints/seed{seed}"

    first, outcomes = args.seeds[0], set()
    if "rasters" in args.only:
        step(raster_checks.check_rasters)
    for model in args.models:
        for seed, cases in zip(args.seeds, compat_checks.plan(model, args.quick)):
            checkpoint = make_checkpoints.make(folder(seed), model, seed)
            if "compat" in args.only:
                for case in cases:
                    step(compat_checks.check_case, store, case, model, seed, checkpoint)
            if seed != first:
                continue
            if "compat" in args.only and model == "sam3" and not args.quick:
                step(compat_checks.check_other_size, store, model, seed, checkpoint)
            if "input" in args.only and model in ("mobile_sam", "sam2_t", "sam3"):  # one of each family
                for case in cases:
                    step(compat_checks.check_network_input, store, case, checkpoint)
                step(compat_checks.check_network_input_shapes, checkpoint)
            if "prompts" in args.only:
                step(prompt_checks.check_mask_prompts, store, cases[0], model, seed, checkpoint)
                if family(checkpoint) is not SAM:
                    step(prompt_checks.check_choice, store, cases[0], model, seed, checkpoint, outcomes)
            if "live" in args.only:
                for case in compat_checks.plan(model, quick=True)[0]:
                    step(compat_checks.check_online, store, case.scene, model, seed, checkpoint)
            if "bf16" in args.only and model != "mobile_sam":
                step(precision_checks.check_bf16, store, cases[0], model, seed, checkpoint)
            if "outputs" in args.only and model == "mobile_sam":
                step(output_checks.check_outputs, store, model, seed, checkpoint)
            if "standard" in args.only:
                step(standard_checks.check_official, store, model, seed, checkpoint, args.quick)
    if "prompts" in args.only and "sam2_t" in args.models:
        report.equal("dynamic multimask", "all models", "single mask picked and not", outcomes, {True, False})
    if "checkpoints" in args.only:
        check_checkpoints(args, step, store, first, folder(first))


def check_checkpoints(args, step, store, seed, folder):
    """Checks of checkpoint files, for the models that are asked for; with --quick only what takes seconds."""
    if "mobile_sam" in args.models:
        step(checkpoint_checks.check_half_precision, store, "mobile_sam", seed, folder)
    for model in args.models:
        others = () if args.quick else checkpoint_checks.OTHER_LAYOUTS.get(model, ())
        for name in (model, *others):
            if name in checkpoint_checks.TENSORS:
                step(checkpoint_checks.check_recognised, name, seed, folder)
            if model == "sam3":
                step(checkpoint_checks.check_loading, name, seed, folder)
        if others:
            step(checkpoint_checks.check_layouts, model, others, seed, folder)
    if args.quick:
        return
    if "sam_b" in args.models:
        step(standard_checks.check_hugging_face, store, seed, folder)


def main():
    args = arguments()
    start, report = time.monotonic(), Report()
    run(args, report, Binary(args.binary, args.work), Store(args.work / "reference", args.fresh))
    print(f"\n{'group':<20} {'measure':<24} {'checks':>6} {'failed':>6} {'largest':>10} {'bound':>8}")
    for group, measure, count, failed, largest, bound in report.summary():
        shown = "—" if largest is None else f"{largest:.3g}"
        print(f"{group:<20} {measure:<24} {count:>6} {failed:>6} {shown:>10} {bound:>8.3g}")
    print(f"\n{len(report.checks)} checks, {len(report.failed)} failed, {time.monotonic() - start:.0f} s")
    if args.report:
        report.write(args.report, " ".join(["parity.py", *sys.argv[1:]]), args.binary)
    return 1 if report.failed or not report.checks else 0


if __name__ == "__main__":
    sys.exit(main())
