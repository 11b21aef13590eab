#!/usr/bin/env python3
"""Compare the geosam command with live Python geosam, segment-anything and Hugging Face.

    parity.py [--quick] [--binary PATH] [--models sam_b,mobile_sam] [--seeds 0,1,2] [--only rasters,…] [--report FILE.md]

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

import compat_checks
import make_checkpoints
import output_checks
import raster_checks
import standard_checks
from binary import REPOSITORY, Binary
from checks import Report
from stored import Store

SECTIONS = ("rasters", "input", "compat", "live", "outputs", "standard", "checkpoints")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: [word.strip() for word in text.split(",") if word.strip()]  # noqa: E731
    parser.add_argument("--quick", action="store_true", help="one seed and a few rasters: minutes instead of an hour")
    parser.add_argument("--binary", default=REPOSITORY / "target/debug/geosam", type=pathlib.Path)
    parser.add_argument("--models", type=words, default=["mobile_sam", "sam_b"])
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

    first = args.seeds[0]
    if "rasters" in args.only:
        step(raster_checks.check_rasters)
    if "input" in args.only:
        checkpoint = make_checkpoints.make(folder(first), "mobile_sam", first)
        for case in compat_checks.plan("mobile_sam", 0, args.quick):
            step(compat_checks.check_network_input, store, case, checkpoint)
        step(compat_checks.check_network_input_shapes, checkpoint)
    for model in args.models:
        # The large encoders take minutes: two seeds are enough for them.
        for index, seed in enumerate(args.seeds if model == "mobile_sam" else args.seeds[:2]):
            checkpoint = make_checkpoints.make(folder(seed), model, seed)
            if "compat" in args.only:
                for case in compat_checks.plan(model, index, args.quick):
                    step(compat_checks.check_case, store, case, model, seed, checkpoint)
            if index > 0:
                continue
            if "live" in args.only:
                for case in compat_checks.plan(model, index, quick=True):
                    step(compat_checks.check_online, store, case.scene, model, seed, checkpoint)
            if "outputs" in args.only and model == "mobile_sam":
                step(output_checks.check_outputs, store, model, seed, checkpoint)
            if "standard" in args.only:
                step(standard_checks.check_official, store, model, seed, checkpoint, args.quick)
    if "checkpoints" in args.only:
        if "mobile_sam" in args.models:
            step(standard_checks.check_half_precision, store, first, folder(first))
        if "sam_b" in args.models and not args.quick:
            step(standard_checks.check_containers, first, folder(first))
            step(standard_checks.check_hugging_face, store, first, folder(first))


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
