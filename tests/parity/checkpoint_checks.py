"""The same weights from every layout, container and dtype, and what it takes to load the largest files."""
import torch

import make_checkpoints
import official_reference
from checks import EXACT
from scenes import PATCH
from standard_checks import asked, compare, kept, our_features, read

OTHER_LAYOUTS = {  # of the same weights; Hugging Face's published files hold the networks for video and text as well
    "sam_b": ("hf_sam_b",),
    "sam2.1_s": ("hf_sam2.1_s", "hf_image_sam2.1_s"),
    "sam3": ("hf_sam3", "hf_image_sam3", "sam3.1_multiplex"),
}
TENSORS = {"sam2_t": 468, "sam2.1_s": 519, "sam2_b": 612, "sam2.1_l": 903, "sam3": 1465, "sam3.1_multiplex": 1623,
           "hf_sam2.1_s": 517, "hf_sam3": 1797}  # in the published files
PEAK_MEMORY = 1.25  # of loading, as a multiple of the bytes of the tensors that answer clicks; measured 1.02


def check_layouts(report, binary, model, others, seed, folder):
    """Features, answers and fingerprint are the same to the bit, whatever file the weights come from.

    In sam3.1_multiplex.pt the click head is told apart from the decoder of 16 objects, whose weights are others here.
    """
    raster, prompts = PATCH.write(binary.work / "rasters"), asked(PATCH)
    try:
        official = outcome(binary, make_checkpoints.make(folder, model, seed), raster, prompts)
    except Exception as error:  # noqa: BLE001 a failed step is a failed check
        report.error("checkpoints", f"{model}/{seed}", error)
        return
    for other in others:
        name = f"{model}/{seed} as {other}"
        try:
            features, answers, fingerprint = outcome(binary, make_checkpoints.make(folder, other, seed), raster, prompts)
            for key, tensor in official[0].items():
                report.close("checkpoints", name, key, features[key], tensor, EXACT)
            for prompt, answer, expected in zip(prompts, answers, official[1]):
                for measure in ("low_res", "masks", "scores"):
                    report.same_bytes("checkpoints", f"{name}: {prompt.name}", measure, getattr(answer, measure),
                                      getattr(expected, measure))
            report.equal("checkpoints", name, "fingerprint", fingerprint, official[2])
        except Exception as error:  # noqa: BLE001
            report.error("checkpoints", name, error)


def outcome(binary, checkpoint, raster, prompts):
    """Features, answers and fingerprint of a checkpoint."""
    folder, features = our_features(binary, f"checkpoint {checkpoint.name}", raster, checkpoint)
    answers = [binary.query(folder, checkpoint, prompt, compat=False) for prompt in prompts]
    return features, answers, binary.json("info", folder)["fingerprint"]


def check_recognised(report, binary, model, seed, folder):
    """The file holds as many tensors as the published one, and is recognised by them."""
    checkpoint = make_checkpoints.make(folder, model, seed)
    try:
        told = binary.json("info", checkpoint)
        report.equal("checkpoints", f"{model}/{seed}", "model", told["model"], model.removeprefix("hf_"))
        counted = f"{TENSORS[model]} tensors" in told["recognised"]
        report.add("checkpoints", f"{model}/{seed}", "tensors told", float(not counted), EXACT, told["recognised"])
    except Exception as error:  # noqa: BLE001
        report.error("checkpoints", f"{model}/{seed}", error)


def check_loading(report, binary, model, seed, folder):
    """Loading reads what answers clicks and nothing else: peak resident memory against the bytes of those tensors."""
    checkpoint = make_checkpoints.make(folder, model, seed)
    try:
        told = binary.load_checkpoint(checkpoint)
        grown = told["peak_resident_bytes"] - told["baseline_resident_bytes"]
        report.add("loading", f"{model}/{seed}", "peak ÷ tensors", grown / told["needed_bytes"], PEAK_MEMORY, str(told))
    except Exception as error:  # noqa: BLE001
        report.error("loading", f"{model}/{seed}", error)


def check_half_precision(report, binary, store, model, seed, folder):
    """Files in half precision: the reference computes in float32 with the rounded weights, as we do."""
    raster, prompts = PATCH.write(binary.work / "rasters"), asked(PATCH)[:1]
    for dtype in ("float16", "bfloat16"):
        checkpoint = make_checkpoints.make(folder, model, seed, dtype)

        def compute(checkpoint=checkpoint):
            image, transform = read(raster)
            return official_reference.official_answers(torch.load(checkpoint), image, prompts, transform)

        expected = kept(store, "standard", compute, [raster, checkpoint], prompts)
        compare(report, binary, "checkpoints", model, f"{model}/{seed} {dtype}", raster, checkpoint, None, prompts,
                *expected)
