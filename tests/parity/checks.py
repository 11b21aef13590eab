"""Checks with their bounds, how they are measured, and the table and report they are shown in."""
import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess

import numpy as np

EXACT = 0.0


@dataclasses.dataclass(frozen=True)
class Bounds:
    """How far two sides may be apart; beside each bound the largest value of full runs on x86-64 with two cores."""

    features: float = 2e-5  # relative, Frobenius norm; measured 1.6e-6
    low_res: float = 2e-5  # relative, Frobenius norm; measured 2.9e-6
    masks: float = 1e-4  # share of pixels that differ; measured 1.8e-5
    scores: float = 1e-4  # absolute; measured 1.4e-6


SAM3 = Bounds(features=1e-4, low_res=1e-4)  # 32 blocks of width 1024; measured 1.7e-6 and 2.7e-6


def bounds(model):
    """The bounds of a model by its name."""
    return SAM3 if "sam3" in model else Bounds()


@dataclasses.dataclass
class Check:
    """One comparison: passed when `value` <= `bound`; a value of None is a comparison that could not be made."""

    group: str
    name: str
    measure: str
    value: float | None
    bound: float
    note: str = ""

    @property
    def passed(self):
        return self.value is not None and self.value <= self.bound


def relative(ours, theirs):
    """‖ours − theirs‖ / ‖theirs‖, or None with shapes that differ or values that are not finite."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape or not np.isfinite(ours).all():
        return None
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def where_they_differ(ours, theirs):
    """For the note of a failed check: the largest difference of two arrays, where it lies, and in what share."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        return f"shape {list(ours.shape)}, theirs {list(theirs.shape)}"
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    if not np.isfinite(difference).all():
        return f"{np.count_nonzero(~np.isfinite(difference))} values are not finite"
    index = np.unravel_index(difference.argmax(), difference.shape)
    return (f"largest |difference| {difference.max():.3g} at {[int(i) for i in index]} "
            f"(ours {ours[index]!s}, theirs {theirs[index]!s}); {np.count_nonzero(difference)} of {ours.size} differ")


class Report:
    """Collects checks, printing each as it is made."""

    def __init__(self):
        self.checks = []
        self.started = datetime.datetime.now(datetime.timezone.utc)

    def add(self, group, name, measure, value, bound, note=""):
        check = Check(group, name, measure, value, bound, note)
        self.checks.append(check)
        shown = "—" if value is None else f"{value:.3g}"
        print(f"{'pass' if check.passed else 'FAIL'}  {group:<28} {name:<42} {measure:<22} {shown:>9} ≤ {bound:.3g}"
              + (f"   {note}" if note and not check.passed else ""), flush=True)
        return check.passed

    def error(self, group, name, error):
        """A step that raised: a failed check, so that the steps after it still run."""
        self.add(group, name, "runs", None, EXACT, f"{type(error).__name__}: {error}".replace("\n", " "))

    def equal(self, group, name, measure, ours, theirs):
        """Both values, of any kind, are the same."""
        self.add(group, name, measure, 0.0 if ours == theirs else 1.0, EXACT, f"ours {ours!r}, theirs {theirs!r}")

    def same_bytes(self, group, name, measure, ours, theirs):
        """Number of elements that differ is none."""
        same_shape = np.shape(ours) == np.shape(theirs)
        value = float(np.count_nonzero(np.asarray(ours) != np.asarray(theirs))) if same_shape else None
        self.add(group, name, measure, value, EXACT, "" if value == 0 else where_they_differ(ours, theirs))

    def close(self, group, name, measure, ours, theirs, bound):
        """Relative difference of two arrays."""
        value = relative(ours, theirs)
        note = "" if value is not None and value <= bound else where_they_differ(ours, theirs)
        self.add(group, name, measure, value, bound, note)

    def answer(self, group, name, ours, theirs, allowed, chips=True):
        """Two answers to one prompt agree: chip, transform, low-res logits, masks and scores."""
        if chips:
            self.equal(group, name, "chip", ours.chip_id, theirs.chip_id)
        self.equal(group, name, "transform", list(ours.transform), list(theirs.transform))
        self.close(group, name, "low-res logits", ours.low_res, theirs.low_res, allowed.low_res)
        if ours.masks.shape == theirs.masks.shape:
            self.add(group, name, "mask pixels", float(np.mean(ours.masks != theirs.masks)), allowed.masks)
        else:
            self.add(group, name, "mask pixels", None, allowed.masks, where_they_differ(ours.masks, theirs.masks))
        if ours.scores.shape == theirs.scores.shape:
            self.add(group, name, "scores", float(np.abs(ours.scores - theirs.scores).max()), allowed.scores)
        else:
            self.add(group, name, "scores", None, allowed.scores, where_they_differ(ours.scores, theirs.scores))

    @property
    def failed(self):
        return [check for check in self.checks if not check.passed]

    def summary(self):
        """Rows (group, measure, number of checks, failed, largest value, bound), in the order they first came."""
        rows = {}
        for check in self.checks:
            rows.setdefault((check.group, check.measure, check.bound), []).append(check)
        for (group, measure, bound), checks in rows.items():
            values = [check.value for check in checks if check.value is not None]
            yield group, measure, len(checks), sum(not c.passed for c in checks), max(values, default=None), bound

    def markdown(self, command, binary):
        lines = ["# Parity report", "", f"`{command}`, {self.started:%Y-%m-%d}", ""]
        lines += [f"- {key}: {value}" for key, value in {**machine(), **versions(binary)}.items()]
        lines += ["", f"{len(self.checks)} checks, {len(self.failed)} failed.", "",
                  "| group | measure | checks | failed | largest | bound |", "|---|---|--:|--:|--:|--:|"]
        for group, measure, count, failed, largest, bound in self.summary():
            shown = "—" if largest is None else f"{largest:.3g}"
            lines.append(f"| {group} | {measure} | {count} | {failed} | {shown} | {bound:.3g} |")
        if self.failed:
            lines += ["", "## Failed", ""]
            lines += [f"- {c.group}, {c.name}, {c.measure}: {c.value} > {c.bound:.3g} {c.note}" for c in self.failed]
        return "\n".join(lines) + "\n"

    def write(self, path, command, binary):
        """`path` (.md) and beside it every check in .json."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown(command, binary))
        path.with_suffix(".json").write_text(json.dumps({
            "command": command, "started": self.started.isoformat(), "machine": machine(),
            "versions": versions(binary), "checks": [dataclasses.asdict(c) | {"passed": c.passed} for c in self.checks],
        }, indent=1, default=lambda value: value.item()))  # NumPy's scalars


def machine():
    """What this ran on."""
    model = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"machine": f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
            "load": " ".join(f"{value:.2f}" for value in os.getloadavg())}


def versions(binary=None):
    """The versions of both sides."""
    names = ["geosam", "ultralytics", "torch", "segment-anything", "transformers", "rasterio", "geopandas"]
    out = {f"Python {name}": importlib.metadata.version(name) for name in names}
    if binary:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
        out["this geosam"] = done.stdout.strip() or "unknown"
    return out
