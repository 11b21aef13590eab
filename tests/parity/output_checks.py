"""Files of a result: each format against the others (check_outputs.py), and the polygons against Python geosam's."""
import pathlib
import subprocess
import sys

import geopandas
import numpy as np
import shapely
from affine import Affine

import compat_checks
from scenes import CITY, PATCH

FORMATS = ("gpkg", "geojson", "fgb", "shp", "tif")
OUTLINES = 1e-9  # area between the outlines, as a share of the polygons' area


def check_outputs(report, binary, store, model, seed, checkpoint):
    for scene in (PATCH, CITY):
        raster = scene.write(binary.work / "rasters")
        theirs, _ = compat_checks.reference_folder(store, compat_checks.Case(scene), raster, checkpoint)
        prompt = scene.world(next(p for p in scene.prompts if p.box and not p.crs))
        name = f"{model}/{seed} {scene.name}"
        folder = binary.work / "ours" / f"outputs-{scene.name}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            files = [folder / f"answer.{extension}" for extension in FORMATS]
            answer = binary.query(theirs, checkpoint, prompt, outputs=files)
            check_polygons(report, name, answer, scene.crs, files[0])
            script = pathlib.Path(__file__).with_name("check_outputs.py")
            done = subprocess.run([sys.executable, script, *files], capture_output=True, text=True, check=False)
            report.equal("outputs", name, "formats agree", done.stderr.strip(), "")
        except Exception as error:  # noqa: BLE001 a failed step is a failed check
            report.error("outputs", name, error)


def check_polygons(report, name, answer, crs, path):
    """Our file against what Python geosam's vectorizer makes of the same mask."""
    from geosam.vectorization import MaskVectorizer

    vectorizer = MaskVectorizer(answer.masks, transform=Affine(*answer.transform), crs=crs)
    theirs = np.array(vectorizer.to_geometries())
    ours = geopandas.read_file(path)
    polygons = ours.explode(index_parts=False).geometry.values
    report.equal("outputs", name, "polygons", len(polygons), sum(len(shapely.get_parts(g)) for g in theirs))
    between = shapely.union_all(polygons).symmetric_difference(shapely.union_all(theirs)).area
    report.add("outputs", name, "area between outlines", between / sum(g.area for g in theirs), OUTLINES)
    report.equal("outputs", name, "CRS", ours.crs, geopandas.GeoSeries(crs=crs).crs)
