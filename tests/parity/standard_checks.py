"""Standard preprocessing against segment-anything, and for SAM 2 and 3 against Hugging Face."""
import dataclasses

import numpy as np
import rasterio
import torch

import make_checkpoints
import official_reference
from checks import bounds
from geosam_reference import SAM, Answer, family, tensors
from scenes import BLOCK, CITY, PATCH, TOWN

# DIFFERENCE: segment-anything brings masks to the chip in two bilinear steps, 256 → 1024 → crop → chip, we in one,
# 256 → chip. Where the chip is not 1024 × 1024, pixels at mask edges differ.
MASK_PIXELS_TWO_STEPS = 0.05  # measured: 0.018 with random weights, whose masks are nearly all edge

SCENES = {  # of a model, with the size of its chips: enlarged, as they are, reduced
    "mobile_sam": ((PATCH, None), (TOWN, None), (CITY, 1500)),
    "sam2_t": ((PATCH, None), (TOWN, None), (CITY, 1500)),
    "sam3": ((PATCH, None), (BLOCK, None)),
}
OTHER_SCENES = ((PATCH, None), (TOWN, None))


def kept(store, kind, compute, files, prompts):
    """Features and answers of `compute()`, computed at most once."""

    def make(folder):
        features, answers = compute()
        np.savez(folder / "features.npz", *features)
        for index, answer in enumerate(answers):
            answer.save(folder / f"{index}.npz")

    folder = store.folder(kind, make, files, prompts=[dataclasses.astuple(p) for p in prompts])
    with np.load(folder / "features.npz") as features:
        return list(features.values()), [Answer.load(folder / f"{index}.npz") for index in range(len(prompts))]


def asked(scene):
    """Prompts in the scene's own CRS; reprojection is checked elsewhere."""
    return [scene.world(prompt) for prompt in scene.prompts if not prompt.crs]


def read(raster):
    with rasterio.open(raster) as dataset:
        return official_reference.chip_image(dataset), dataset.transform


def our_features(binary, name, raster, checkpoint, chip=None):
    """Encode with standard preprocessing; the folder and the arrays of its one chip by name."""
    ours = binary.work / "ours" / name.replace("/", "-").replace(" ", "_")
    binary.encode(raster, checkpoint, ours, compat=False, chip_size=chip)
    return ours, tensors(torch.load(ours / "features/chip_000000.pt")["features"])


def check_official(report, binary, store, model, seed, checkpoint, quick):
    """Features, logits, masks and scores of single-chip rasters."""
    later_family = family(checkpoint) is not SAM
    for scene, chip in SCENES.get(model, OTHER_SCENES)[: 1 if quick else None]:
        raster, prompts = scene.write(binary.work / "rasters"), asked(scene)

        def compute(raster=raster, prompts=prompts):
            image, transform = read(raster)
            if later_family:
                return official_reference.later_family_answers(checkpoint, image, prompts, transform)
            return official_reference.official_answers(torch.load(checkpoint), image, prompts, transform)

        expected = kept(store, "standard", compute, [raster, checkpoint], prompts)
        group = "Hugging Face" if later_family else "segment-anything"
        compare(report, binary, group, model, f"standard {model}/{seed} {scene.name}", raster, checkpoint, chip, prompts,
                *expected)


def compare(report, binary, group, model, name, raster, checkpoint, chip, prompts, features, answers):
    """Our features and answers against those of a reference."""
    try:
        allowed = bounds(model)
        folder, ours = our_features(binary, name, raster, checkpoint, chip)
        report.equal(group, name, "tensors", len(ours), len(features))
        for (key, tensor), theirs in zip(ours.items(), features):
            report.close(group, name, key, tensor, theirs, allowed.features)
        for prompt, theirs in zip(prompts, answers):
            answer = binary.query(folder, checkpoint, prompt, compat=False)
            two_steps = family(checkpoint) is SAM and answer.masks.shape[1:] != (1024, 1024)
            masks = MASK_PIXELS_TWO_STEPS if two_steps else allowed.masks
            report.answer(group, f"{name}: {prompt.name}", answer, theirs, dataclasses.replace(allowed, masks=masks),
                          chips=False)
    except Exception as error:  # noqa: BLE001 a failed step is a failed check
        report.error(group, name, error)


def check_hugging_face(report, binary, store, seed, folder):
    """SamModel on the square chip, where its own resizing does nothing; our side loads Hugging Face's file."""
    raster, prompts = TOWN.write(binary.work / "rasters"), asked(TOWN)
    checkpoint = make_checkpoints.make(folder, "hf_sam_b", seed)

    def compute():
        image, transform = read(raster)
        return official_reference.hugging_face_answers(checkpoint, image, prompts, transform)

    expected = kept(store, "standard-hugging-face", compute, [raster, checkpoint], prompts)
    compare(report, binary, "Hugging Face", "sam_b", f"standard hf_sam_b/{seed} {TOWN.name}", raster, checkpoint, None,
            prompts, *expected)
