"""`--precision bf16` against Python geosam in single precision: how far off features, masks and choices are."""
import numpy as np

from checks import Bounds
from compat_checks import check_features, reference_folder
from prompt_checks import chosen, single_and_three

# Beside each bound the largest value of the models below.
FEATURES = Bounds(features=1e-2)  # of each tensor
MEAN_MASK = 1e-2  # 1 − IoU: with random weights masks have long, ragged edges, so this is one on their mean
EVERY_MASK = 5e-2  # 1 − IoU: the same mask, however ragged
CHOICES = 0.25  # share of prompts: random weights hold some masks for equally good


def check_bf16(report, binary, store, case, model, seed, checkpoint):
    """Encoded in bf16 and answered: each feature tensor; the three masks of each prompt at the chip's size; and which of
    them is given when one is asked for."""
    name = f"{model}/{seed} {case}"
    raster = case.scene.write(binary.work / "rasters")
    theirs, _ = reference_folder(store, case, raster, checkpoint)
    asked, expected = single_and_three(store, case, raster, checkpoint, theirs)

    ours = binary.work / "ours" / f"bf16-{name}".replace("/", "-").replace(" ", "_")
    binary.encode(raster, checkpoint, ours, chip_size=case.chip, stride=case.stride, bands=case.bands, precision="bf16")
    check_features(report, name, ours, theirs, FEATURES, group="bf16")

    answers = [[binary.query(ours, checkpoint, prompt) for prompt in prompts] for prompts in asked]
    masks = [1 - iou(*pair) for (_, our), (_, their) in zip(answers, expected)
             for pair in zip(our.masks, their.masks, strict=True)]
    of = f"{name}: {len(masks)} masks"
    report.add("bf16", of, "mask 1 − IoU, mean", float(np.mean(masks)), MEAN_MASK)
    report.add("bf16", of, "mask 1 − IoU, median", float(np.median(masks)), MEAN_MASK)
    report.add("bf16", of, "mask 1 − IoU, largest", float(np.max(masks)), EVERY_MASK)
    others = [chosen(*our) != chosen(*their) for our, their in zip(answers, expected)]
    report.add("bf16", f"{name}: {len(others)} prompts", "another mask chosen", float(np.mean(others)), CHOICES)


def iou(ours, theirs):
    """Intersection over union of two masks; 1 if both are empty."""
    union = np.count_nonzero(ours | theirs)
    return np.count_nonzero(ours & theirs) / union if union else 1.0
