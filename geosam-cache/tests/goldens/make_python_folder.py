"""Make `python_folder/` with Python geosam's own FeatureCacheBuilder, for the tests of this crate.

Run in the reference environment; versions that made the files: geosam 0.1.3, geopandas 1.2.0, pyarrow 26.0.1,
torch 2.15. The model is replaced by one whose features are eight bytes of the chip, so that the files stay small.
The folder is made in /tmp, which is what `feature_path` records, and copied beside this script.
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

    engines.build_model_adapter = lambda spec: TinyAdapter()
    spec = ModelSpec(model_type="sam", checkpoint_path="/models/sam_b.pt")
    builder = engines.FeatureCacheBuilder(
        RasterDataset(raster), spec, MADE / "python_folder", chip_size=16, stride=8
    )
    builder.build()
    shutil.rmtree(HERE / "python_folder", ignore_errors=True)
    shutil.copytree(MADE / "python_folder", HERE / "python_folder")


if __name__ == "__main__":
    sys.exit(main())
