"""Check that the Python systems read a feature folder of this SDK.

    python tests/parity/check_folder.py FOLDER

In the reference environment (`tests/parity/setup.sh`). Opens the folder with geopandas, Python geosam and torch as the
query engine and the QGIS plugin do, prints a line for each check, and fails at the first that does not hold.
"""

import json
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
import torch
from affine import Affine
from geosam import engines
from geosam.models import EncodedImageFeatures
from geosam.runtime import MODEL_DEFINITIONS, describe_feature_source
from pyproj import CRS
from rasterio.transform import array_bounds


def check(what, holds):
    print(("ok    " if holds else "FAILS ") + what)
    if not holds:
        sys.exit(1)


def main(folder):
    manifest_path = engines.FeatureQueryEngine.resolve_manifest_path(folder)
    frame = gpd.read_parquet(manifest_path)
    check(f"{len(frame)} rows", len(frame) > 0)
    check("required columns", engines.MANIFEST_REQUIRED_COLUMNS <= set(frame.columns))
    check("geometry has the CRS of the rows", frame.crs is not None and frame.crs == CRS(frame.iloc[0]["crs"]))
    check("chips in order", list(frame["chip_id"]) == sorted(frame["chip_id"]))

    summary = describe_feature_source(folder)
    print(f"      {summary}")
    check("summary counts the chips", summary.chip_count == len(frame))

    names = {definition.filename for definition in MODEL_DEFINITIONS} | {"sam_h.pt", "mobile_sam.pt"}
    for _, row in frame.iterrows():
        transform = Affine(*json.loads(row["transform"]))
        height, width = json.loads(row["shape"])
        bounds = array_bounds(height, width, transform)
        assert row["geometry"].wkb == shapely.box(*bounds).wkb, row["chip_id"]
        center = ((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2)
        assert (row["chip_center_x"], row["chip_center_y"]) == center, row["chip_id"]
        for column in ("transform", "shape", "dst_shape"):
            assert json.dumps(json.loads(row[column])) == row[column], (row["chip_id"], column)
        assert Path(row["checkpoint_path"]).name in names, row["checkpoint_path"]

        assert Path(row["feature_path"]).is_absolute() and Path(row["feature_path"]).is_file(), row["feature_path"]
        torch.load(row["feature_path"], weights_only=True)
        encoded = EncodedImageFeatures.load(row["feature_path"])
        assert encoded.model_type == row["model_type"]
        assert Path(encoded.checkpoint_path).name == Path(row["checkpoint_path"]).name
        assert list(encoded.src_shape) == [height, width]
        assert list(encoded.dst_shape) == json.loads(row["dst_shape"])
        tensors = (
            [encoded.features]
            if isinstance(encoded.features, torch.Tensor)
            else [encoded.features["image_embed"], *encoded.features["high_res_feats"]]
        )
        assert all(bool(np.isfinite(tensor.float().numpy()).all()) for tensor in tensors), row["chip_id"]
    print("ok    transforms, shapes, geometries, centres, checkpoint names and chip files of every row")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
