"""Make `python_folder/` and `python_folder_sam3/` with Python geosam's own FeatureCacheBuilder, for the tests of this crate.

Run in the reference environment; versions that made the files: geosam 0.1.3, geopandas 1.2.0, pyarrow 26.0.1,
torch 2.15. The model is replaced, so that the files stay small: by one whose features are eight bytes of the chip, and by
one whose features are a single channel of SAM 3's embedding at 1036, as Python geosam makes it by default.
The folders are made in /tmp, which is what `feature_path` records, and copied beside this script.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import rasterio
import torch
from geosam import engines
from geosam.datasets import RasterDataset
from geosam.models import EncodedImageFeatures, ModelSpec

HERE = Path(__file__).parent
MADE = Path("/tmp/geosam-golden")


class TinyAdapter:
    """Features are the top left 2×2 pixels of the first two channels, less one half."""

    def encode_image(self, image):
        values = np.asarray(image)[:2, :2, :2].transpose(2, 0, 1).astype(np.float32) - 0.5
        return EncodedImageFeatures(
            model_type="sam",
            checkpoint_path="/models/sam_b.pt",
            src_shape=tuple(int(n) for n in image.shape[:2]),
            dst_shape=(16, 16),
            features=torch.from_numpy(np.ascontiguousarray(values))[None],
        )


class Sam3Adapter:
    """The image size that Python geosam asks for, 1024, and what becomes of it in the encoder: 74 patches of 14 pixels."""

    def __init__(self, spec):
        self.spec = spec

    def encode_image(self, image):
        return EncodedImageFeatures(
            model_type="sam3",
            checkpoint_path="/models/sam3.pt",
            src_shape=tuple(int(n) for n in image.shape[:2]),
            dst_shape=(self.spec.imgsz, self.spec.imgsz),
            features={"image_embed": torch.full((1, 1, 74, 74), 0.5), "high_res_feats": []},
        )


def build(adapter, spec, name, raster, **grid):
    engines.build_model_adapter = lambda spec: adapter
    engines.FeatureCacheBuilder(RasterDataset(raster), spec, MADE / name, **grid).build()
    shutil.rmtree(HERE / name, ignore_errors=True)
    shutil.copytree(MADE / name, HERE / name)


def main():
    shutil.rmtree(MADE, ignore_errors=True)
    MADE.mkdir()
    raster = MADE / "fields.tif"
    # Coordinates that binary fractions hold exactly: Python geosam finds a window again from its bounds, and elsewhere
    # that costs the last digits of the transform.
    height, width = 20, 28
    pixels = np.broadcast_to(np.arange(width, dtype=np.uint8), (3, height, width)).copy()
    transform = rasterio.transform.from_origin(399960.25, 4200000.5, 0.5, 0.5)
    with rasterio.open(
        raster, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8", crs="EPSG:32650",
        transform=transform,
    ) as file:
        file.write(pixels)

    spec = ModelSpec(model_type="sam", checkpoint_path="/models/sam_b.pt")
    build(TinyAdapter(), spec, "python_folder", raster, chip_size=16, stride=8)
    spec = ModelSpec(model_type="sam3", checkpoint_path="/models/sam3.pt")
    build(Sam3Adapter(spec), spec, "python_folder_sam3", raster)


if __name__ == "__main__":
    sys.exit(main())
