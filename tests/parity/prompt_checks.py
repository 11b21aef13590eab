"""Prompts that only some models have an answer of their own to: which mask SAM 2 and 3 choose, and masks as prompts."""
import dataclasses

import geosam_reference as reference
from checks import bounds, relative
from compat_checks import reference_answers, reference_folder
from scenes import PixelPrompt

SAME_MASK = 1e-3  # relative difference of the logits of one mask, decoded twice; different masks differ by about 1


def check_choice(report, binary, store, case, model, seed, checkpoint, outcomes):
    """SAM 2 and 3 choose which of four masks answers a prompt when only one is asked for: both sides the same one.

    Adds to `outcomes` whether it was the mask meant for single answers, for each prompt.
    """
    name = f"{model}/{seed} {case}"
    raster = case.scene.write(binary.work / "rasters")
    theirs, _ = reference_folder(store, case, raster, checkpoint)
    asked, answers = single_and_three(store, case, raster, checkpoint, theirs)
    for (prompt, again), (single, three) in zip(asked, answers):
        try:
            ours = [binary.query(theirs, checkpoint, p) for p in (prompt, again)]
            report.equal("dynamic multimask", f"{name}: {prompt.name}", "mask picked", chosen(*ours), chosen(single, three))
            report.answer("dynamic multimask", f"{name}: {prompt.name}, three masks", ours[1], three, bounds(model))
            outcomes.add(chosen(single, three) == 0)
        except Exception as error:  # noqa: BLE001 a failed step is a failed check
            report.error("dynamic multimask", f"{name}: {prompt.name}", error)


def single_and_three(store, case, raster, checkpoint, folder):
    """The prompts of a case, each as one that asks for a single mask and one that asks for three; Python geosam's answers
    to both from its feature folder. Two lists of pairs."""
    singles = [prompt for prompt in case.asked() if not prompt.multimask]
    threes = [dataclasses.replace(prompt, multimask=True) for prompt in singles]
    answers = reference_answers(store, "choice", lambda ask: reference.answers_from_folder(folder, checkpoint, ask),
                                [raster, checkpoint], singles + threes, chip=case.chip, stride=case.stride, bands=case.bands)
    return list(zip(singles, threes)), list(zip(answers, answers[len(singles) :]))


def chosen(single, three):
    """Which mask a single answer is: 0, the one for single answers, or the one of these three that it equals."""
    same = (relative(single.low_res[0], logits) < SAME_MASK for logits in three.low_res)
    return next((1 + index for index, equal in enumerate(same) if equal), 0)


def check_mask_prompts(report, binary, store, case, model, seed, checkpoint):
    """Logits of an earlier answer as a prompt, alone and with points and a box, from Python geosam's chip file."""
    name = f"{model}/{seed} {case}"
    raster = case.scene.write(binary.work / "rasters")
    folder, _ = reference_folder(store, case, raster, checkpoint)
    chip = folder / "features/chip_000000.pt"
    _, height, width = case.scene.shape
    first = PixelPrompt("point", points=((0.52 * width, 0.47 * height, 1),))
    second = PixelPrompt("", points=((0.33 * width, 0.61 * height, 1), (0.7 * width, 0.2 * height, 0)),
                         box=(0.2 * width, 0.3 * height, 0.8 * width, 0.75 * height))

    prompts = [dataclasses.replace(first, name="mask", points=()), dataclasses.replace(first, name="mask+point"),
               dataclasses.replace(second, name="mask+box+points"),
               dataclasses.replace(first, name="mask+point, three masks", multimask=True)]

    def make(folder):
        (earlier,) = reference.answers_from_chip(chip, checkpoint, [first])
        masked = [dataclasses.replace(prompt, mask=earlier.low_res[0]) for prompt in prompts]
        for index, answer in enumerate([earlier, *reference.answers_from_chip(chip, checkpoint, masked)]):
            answer.save(folder / f"{index}.npz")

    kept = store.folder("mask-prompts", make, [raster, checkpoint], prompts=[dataclasses.astuple(p) for p in prompts])
    earlier, *expected = (reference.Answer.load(kept / f"{index}.npz") for index in range(1 + len(prompts)))
    for prompt, theirs in zip(prompts, expected):
        try:
            ours = binary.predict_chip(checkpoint, chip, dataclasses.replace(prompt, mask=earlier.low_res[0]))
            report.answer("mask prompts", f"{name}: {prompt.name}", ours, theirs, bounds(model), chips=False)
        except Exception as error:  # noqa: BLE001
            report.error("mask prompts", f"{name}: {prompt.name}", error)
