"""`--compat geosam-0.1` against live Python geosam: features, manifest, answers, and folders that cross over."""
import dataclasses
import json
import pathlib

import geopandas
import numpy as np
import pandas as pd

import geosam_reference as reference
from binary import Failed
from checks import bounds
from geosam_reference import Answer
from scenes import BLOCK, CITY, COAST, FIELDS, LONLAT, PATCH, POINT, RELIEF, TALL, THREE, TOWN, Scene

REQUIRED_COLUMNS = ["feature_path", "chip_id", "source_path", "checkpoint_path", "model_type", "transform", "shape",
                    "crs", "dst_shape", "chip_center_x", "chip_center_y", "geometry"]
JSON_COLUMNS = {"transform", "shape", "dst_shape"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A scene cut into chips; None stands for both sides' defaults (the model's size, half a chip)."""

    scene: Scene
    chip: int | None = None
    stride: int | None = None
    bands: tuple | None = None
    prompts: tuple | None = None  # instead of the scene's, some of which small chips do not cover

    def asked(self):
        return [self.scene.world(prompt) for prompt in self.prompts or self.scene.prompts]

    def __str__(self):
        grid = f" chip {self.chip}" if self.chip else ""
        bands = f" bands {','.join(map(str, self.bands))}" if self.bands else ""
        return self.scene.name + grid + bands


CASES = (Case(PATCH), Case(FIELDS), Case(CITY), Case(TOWN), Case(RELIEF), Case(COAST), Case(TALL, 512, 512, prompts=(POINT, THREE)),
         Case(CITY, 1500), Case(FIELDS, 640, 384, (4, 3, 2), (POINT, THREE, LONLAT)))
FEW = (Case(PATCH), Case(FIELDS), Case(TOWN))
# The cases of a model for each seed: the faster its encoder, the more.
PLANS = {
    "mobile_sam": (CASES, FEW, FEW),
    "sam_b": (FEW, FEW[:1]),
    "sam2_t": ((*FEW, Case(CITY), Case(RELIEF)), FEW),
    "sam2.1_s": (FEW,),
    "sam2_b": (FEW,),
    "sam2.1_l": ((Case(PATCH), Case(TOWN)),),
    "sam3": ((Case(PATCH), Case(BLOCK)),),
}
QUICK = {"mobile_sam": CASES[:3]}

AWKWARD_WINDOWS = [(3, 5, width, height) for width, height in (
    (1, 1), (2, 3), (1, 900), (37, 911), (777, 1023), (1023, 1024), (1025, 1024), (1337, 1000), (1490, 1140), (1024, 3))]


def plan(model, quick):
    """The cases of a model, a tuple for each seed that it is checked with."""
    plans = PLANS.get(model, (FEW[:1],))
    return (QUICK.get(model, plans[0][:1]),) if quick else plans


def reference_folder(store, case, raster, checkpoint):
    """Python geosam's feature folder and the bytes its network received for each chip."""

    def make(folder):
        bands = list(case.bands) if case.bands else None
        np.save(folder / "network_input.npy",
                reference.build_folder(raster, checkpoint, folder / "cache", case.chip, case.stride, bands=bands))

    folder = store.folder("cache", make, [raster, checkpoint], chip=case.chip, stride=case.stride, bands=case.bands,
                          raster=str(raster), checkpoint=str(checkpoint))
    return folder / "cache", np.load(folder / "network_input.npy", mmap_mode="r")


def reference_answers(store, kind, ask, files, prompts, **parameters):
    """Python geosam's answers to `prompts`; `ask(prompts)` computes them."""

    def make(folder):
        for index, answer in enumerate(ask(prompts)):
            answer.save(folder / f"{index}.npz")

    folder = store.folder(kind, make, files, prompts=[dataclasses.astuple(p) for p in prompts], **parameters)
    return [Answer.load(folder / f"{index}.npz") for index in range(len(prompts))]


def check_case(report, binary, store, case, model, seed, checkpoint):
    """Everything about one checkpoint on one raster."""
    name = f"{model}/{seed} {case}"
    raster = case.scene.write(binary.work / "rasters")
    prompts = case.asked()
    theirs, inputs = reference_folder(store, case, raster, checkpoint)
    their_answers = reference_answers(store, "answers", lambda ask: reference.answers_from_folder(theirs, checkpoint, ask),
                                      [raster, checkpoint], prompts, chip=case.chip, stride=case.stride, bands=case.bands)

    for prompt, expected in zip(prompts, their_answers):
        try:
            answer = binary.query(theirs, checkpoint, prompt)
            report.answer("ours, their folder", f"{name}: {prompt.name}", answer, expected, bounds(model))
        except Exception as error:  # noqa: BLE001 a failed step is a failed check
            report.error("ours, their folder", f"{name}: {prompt.name}", error)

    ours = binary.work / "ours" / name.replace("/", "-").replace(" ", "_")
    try:
        told = binary.encode(raster, checkpoint, ours, chip_size=case.chip, stride=case.stride, bands=case.bands)
        report.equal("encode", name, "chips told", told["chips"], len(inputs))
    except Exception as error:  # noqa: BLE001
        report.error("encode", name, error)
        return
    check_manifest(report, name, ours, theirs)
    check_summary(report, binary, name, ours, theirs)
    check_features(report, name, ours, theirs, bounds(model))

    try:
        crossed = reference.answers_from_folder(ours, checkpoint, prompts)
        for prompt, answer, expected in zip(prompts, crossed, their_answers):
            report.answer("theirs, our folder", f"{name}: {prompt.name}", answer, expected, bounds(model))
    except Exception as error:  # noqa: BLE001
        report.error("theirs, our folder", name, error)

    for prompt, expected in zip(prompts, their_answers):
        try:
            answer = binary.query(ours, checkpoint, prompt)
            report.answer("ours, our folder", f"{name}: {prompt.name}", answer, expected, bounds(model))
        except Exception as error:  # noqa: BLE001
            report.error("ours, our folder", f"{name}: {prompt.name}", error)


def check_manifest(report, name, ours_folder, theirs_folder):
    """Row by row, every required column equal; the folders' own paths apart."""
    try:
        ours, theirs = (geopandas.read_parquet(folder / "manifest.parquet") for folder in (ours_folder, theirs_folder))
    except Exception as error:  # noqa: BLE001
        report.error("manifest", name, error)
        return
    report.equal("manifest", name, "required columns first", list(ours.columns[: len(REQUIRED_COLUMNS)]),
                 REQUIRED_COLUMNS)
    report.equal("manifest", name, "GeoParquet CRS", ours.crs, theirs.crs)
    for column in REQUIRED_COLUMNS:
        if column not in ours:
            report.error("manifest", name, KeyError(column))
        elif column == "feature_path":
            within = [[pathlib.Path(p).relative_to(folder.resolve()).as_posix() for p in frame[column]]
                      for frame, folder in ((ours, ours_folder), (theirs, theirs_folder))]
            report.equal("manifest", name, column, *within)
        elif column in JSON_COLUMNS:
            report.equal("manifest", name, column, *([json.loads(v) for v in frame[column]] for frame in (ours, theirs)))
        elif column == "geometry":
            report.equal("manifest", name, column, *([g.wkb_hex for g in frame.geometry] for frame in (ours, theirs)))
        else:
            report.equal("manifest", name, column, *(frame[column].tolist() for frame in (ours, theirs)))
    plain = pd.read_parquet(ours_folder / "manifest.parquet")  # what a reader without GeoParquet sees
    report.equal("manifest", name, "WKB for plain readers", [type(v) for v in plain.geometry], [bytes] * len(plain))


def check_summary(report, binary, name, ours_folder, theirs_folder):
    """What a folder holds, as each side tells it of the other's."""
    from geosam.runtime import describe_feature_source

    try:
        expected = facts(describe_feature_source(theirs_folder))
        report.equal("summary", name, "theirs, our folder", facts(describe_feature_source(ours_folder)), expected)
        told = binary.json("info", theirs_folder)
        ours = (told["crs"], tuple(told["extent"]), told["chips"], told["pixel_area"])
        report.equal("summary", name, "ours, their folder", ours, expected)
    except Exception as error:  # noqa: BLE001
        report.error("summary", name, error)


def facts(summary):
    return summary.crs_text, tuple(summary.extent), summary.chip_count, summary.pixel_area


def check_features(report, name, ours_folder, theirs_folder, allowed, group="encode"):
    """Python geosam loads every chip file of ours and finds the same features in it."""
    from geosam.models import EncodedImageFeatures

    chips = sorted(path.name for path in (theirs_folder / "features").glob("*.pt"))
    report.equal(group, name, "chip files", sorted(p.name for p in (ours_folder / "features").iterdir()), chips)
    for chip in chips:
        try:
            ours, theirs = (EncodedImageFeatures.load(folder / "features" / chip) for folder in (ours_folder, theirs_folder))
        except Exception as error:  # noqa: BLE001
            report.error(group, f"{name}: {chip}", error)
            continue
        described, tensors = zip(*((
            (e.model_type, e.checkpoint_path, tuple(e.src_shape), tuple(e.dst_shape), e.feature_kind),
            reference.tensors(e.features)) for e in (ours, theirs)))
        report.equal(group, f"{name}: {chip}", "fields", *described)
        report.equal(group, f"{name}: {chip}", "tensors", *([(key, v.dtype) for key, v in t.items()] for t in tensors))
        for key, theirs in tensors[1].items():
            report.close(group, f"{name}: {chip}", key, tensors[0].get(key, 0), theirs, allowed.features)


def check_online(report, binary, store, scene, model, seed, checkpoint):
    """A raster asked directly, without a folder."""
    name = f"{model}/{seed} {scene.name}"
    raster = scene.write(binary.work / "rasters")
    prompts = [scene.world(prompt) for prompt in scene.prompts[:1]]
    expected = reference_answers(store, "online", lambda ask: reference.answers_online(raster, checkpoint, ask),
                                 [raster, checkpoint], prompts)
    for prompt, theirs in zip(prompts, expected):
        try:
            ours = binary.query(raster, checkpoint, prompt)
            report.answer("live query", f"{name}: {prompt.name}", ours, theirs, bounds(model), chips=False)
        except Exception as error:  # noqa: BLE001
            report.error("live query", f"{name}: {prompt.name}", error)


def check_other_size(report, binary, store, model, seed, checkpoint):
    """Python geosam's own image size for SAM 3 makes features that are refused: the error says that 1008 is needed."""
    raster = PATCH.write(binary.work / "rasters")

    def make(folder):
        reference.build_folder(raster, checkpoint, folder / "cache", side=1024)

    folder = store.folder("other-size", make, [raster, checkpoint])
    try:
        binary.query(folder / "cache", checkpoint, PATCH.world(POINT))
        told = "no error"
    except Failed as error:
        told = str(error)
    report.equal("other size", f"{model}/{seed} {PATCH.name}", "refused", [size in told for size in ("1036", "1008")],
                 [True, True])


def check_network_input(report, binary, store, case, checkpoint):
    """The bytes that enter the network, chip by chip: all equal."""
    raster = case.scene.write(binary.work / "rasters")
    folder, inputs = reference_folder(store, case, raster, checkpoint)
    manifest, family = pd.read_parquet(folder / "manifest.parquet"), reference.family(checkpoint)
    for chip_id, transform, shape, expected in zip(manifest.chip_id, manifest["transform"], manifest["shape"], inputs):
        name = f"{family.model_type} {case}: {chip_id}"
        try:
            ours = binary.network_input(family, raster, window(case.scene, json.loads(transform), json.loads(shape)),
                                        bands=case.bands)
            report.same_bytes("network input", name, "bytes that differ", reference.input_bytes(ours, family), expected)
        except Exception as error:  # noqa: BLE001
            report.error("network input", name, error)


def check_network_input_shapes(report, binary, checkpoint):
    """Chips of awkward shapes, enlarged and reduced, whose sides round to whole pixels in every way."""
    import rasterio
    from rasterio.windows import Window

    raster, family = CITY.write(binary.work / "rasters"), reference.family(checkpoint)
    with rasterio.open(raster) as dataset:
        images = [np.ascontiguousarray(np.moveaxis(dataset.read(window=Window(*at)), 0, -1)) for at in AWKWARD_WINDOWS]
    for at, expected in zip(AWKWARD_WINDOWS, reference.network_bytes(checkpoint, images)):
        name = f"{family.model_type} {CITY.name} window of {at[2]} × {at[3]}"
        try:
            ours = binary.network_input(family, raster, at)
            report.same_bytes("network input", name, "bytes that differ", reference.input_bytes(ours, family), expected)
        except Exception as error:  # noqa: BLE001
            report.error("network input", name, error)


def window(scene, transform, shape):
    """Column, row, width and height of a chip on the scene."""
    column, row = ~scene.transform * (transform[2], transform[5])
    return round(column), round(row), shape[1], shape[0]
