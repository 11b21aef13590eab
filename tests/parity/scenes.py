"""The rasters that both sides read, drawn from a seed, and the prompts asked of them.

Every raster is a small made-up landscape (a patchwork of fields, a lake, buildings, sensor noise), so that masks have
edges and bands differ; together they cover the element types, band counts, CRSs and shapes that take different paths.
"""
import dataclasses
import pathlib

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_points


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One query; coordinates are fractions of the raster's width and height, from the top-left corner."""

    name: str
    points: tuple = ()  # (x, y, label)
    box: tuple = ()  # (left, top, right, bottom)
    multimask: bool = False
    crs: str = ""  # asked in this CRS; empty: the raster's own


@dataclasses.dataclass(frozen=True)
class WorldPrompt:
    """A prompt on the map: points (x, y, label) and box (left, bottom, right, top) in `crs`."""

    name: str
    points: list
    box: list
    multimask: bool
    crs: str


@dataclasses.dataclass(frozen=True)
class PixelPrompt:
    """A prompt on a chip, in pixels from its top-left corner: points (x, y, label), box (left, top, right, bottom), and
    logits of an earlier answer."""

    name: str
    points: tuple = ()
    box: tuple = ()
    mask: np.ndarray | None = None
    multimask: bool = False


@dataclasses.dataclass(frozen=True)
class Scene:
    """A raster of shape (bands, height, width) with the prompts asked of it."""

    name: str
    dtype: str
    shape: tuple
    crs: str
    transform: Affine
    prompts: tuple
    nodata: float | None = None
    seed: int = 0

    def write(self, folder):
        """Write the GeoTIFF unless it is there; return its path."""
        path = pathlib.Path(folder) / f"{self.name}.tif"
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        bands, height, width = self.shape
        unfinished = path.with_suffix(".unfinished.tif")
        with rasterio.open(unfinished, "w", driver="GTiff", count=bands, height=height, width=width, dtype=self.dtype,
                           crs=self.crs, transform=self.transform, nodata=self.nodata, compress="deflate") as file:
            file.write(self.pixels())
        unfinished.rename(path)
        return path

    def pixels(self):
        bands, height, width = self.shape
        rng = np.random.default_rng([self.seed, *self.name.encode()])
        values = landscape(rng, bands, height, width)
        if self.dtype == "uint8":
            return np.clip(values * 255, 0, 255).astype(np.uint8)
        if self.dtype == "uint16":  # reflectance times 10 000, as satellites deliver it
            return np.clip(300 + values * 6000, 1, 65535).astype(np.uint16)
        values = (120 + 40 * values).astype(np.float32)
        if self.nodata is not None:  # a wedge in one corner
            y, x = np.mgrid[:height, :width]
            values[:, x + y < 0.2 * min(height, width)] = self.nodata
        return values

    def world(self, prompt):
        """`prompt` in map coordinates."""
        _, height, width = self.shape
        crs = prompt.crs or self.crs

        def place(x, y):
            x, y = self.transform * (x * width, y * height)
            if prompt.crs:
                (x,), (y,) = transform_points(CRS.from_user_input(self.crs), CRS.from_user_input(crs), [x], [y])
            return x, y

        points = [[*place(x, y), label] for x, y, label in prompt.points]
        box = []
        if prompt.box:
            left, top, right, bottom = prompt.box
            (x0, y1), (x1, y0) = place(left, top), place(right, bottom)
            box = [x0, y0, x1, y1]
        return WorldPrompt(prompt.name, points, box, prompt.multimask, crs)


def landscape(rng, bands, height, width):
    """Fields, a lake, buildings and noise, float (bands, height, width), about 0 to 1."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    sites = rng.random((40, 2)) * [height, width]
    field = np.argmin([(y - sy) ** 2 + (x - sx) ** 2 for sy, sx in sites], axis=0)
    image = rng.uniform(0.2, 0.8, (40, bands))[field]
    furrows = 0.04 * np.sin((x + 2 * y) / rng.uniform(3, 7))
    image += furrows[..., None]
    cy, cx = rng.uniform(0.35, 0.65, 2) * [height, width]
    angle = np.arctan2(y - cy, x - cx)
    shore = 0.17 * min(height, width) * (1 + 0.25 * np.sin(3 * angle) + 0.1 * np.cos(7 * angle))
    image[np.hypot(y - cy, x - cx) < shore] = np.linspace(0.05, 0.25, bands)
    for _ in range(30):
        side_y, side_x = rng.integers(8, 40, 2)
        top, left = rng.integers(0, max(height - side_y, 1)), rng.integers(0, max(width - side_x, 1))
        image[top : top + side_y, left : left + side_x] = rng.uniform(0.6, 1.0, bands)
    image += rng.normal(0, 0.02, image.shape)
    return np.moveaxis(image, -1, 0)


POINT = Prompt("point", points=((0.52, 0.47, 1),))
POINTS = Prompt("points", points=((0.30, 0.62, 1), (0.34, 0.66, 1), (0.40, 0.55, 0)))
BOX = Prompt("box", box=(0.40, 0.35, 0.62, 0.66))
BOTH = Prompt("box+points", box=(0.22, 0.30, 0.58, 0.71), points=((0.41, 0.50, 1), (0.25, 0.33, 0)))
THREE = Prompt("point, three masks", points=((0.61, 0.58, 1),), multimask=True)
LONLAT = Prompt("point in EPSG:4326", points=((0.44, 0.40, 1), (0.47, 0.42, 0)), crs="EPSG:4326")
LONLAT_BOX = Prompt("box in EPSG:4326", box=(0.35, 0.30, 0.55, 0.60), crs="EPSG:4326")
CORNER = Prompt("point in a corner", points=((0.985, 0.99, 1),))
EVERY = (POINT, POINTS, BOX, BOTH, THREE)

TOWN = Scene("town_rgb_utm", "uint8", (3, 1024, 1024), "EPSG:32650", from_origin(440_000, 4_450_000, 0.5, 0.5),
             (*EVERY, LONLAT, LONLAT_BOX))
CITY = Scene("city_rgb_utm", "uint8", (3, 1150, 1500), "EPSG:32650", from_origin(441_000, 4_451_000, 0.5, 0.5),
             (POINT, BOX, THREE, CORNER, LONLAT, LONLAT_BOX))
FIELDS = Scene("fields_u16_utm", "uint16", (4, 1024, 1024), "EPSG:32633", from_origin(512_340, 5_100_020, 10, 10),
               (*EVERY, LONLAT, LONLAT_BOX))
RELIEF = Scene("relief_f32_utm", "float32", (1, 600, 800), "EPSG:32719", from_origin(250_000, 7_400_000, 30, 30),
               (POINT, BOX, THREE), nodata=-9999.0)
COAST = Scene("coast_rgb_wgs84", "uint8", (3, 700, 900), "EPSG:4326", from_origin(116.30, 40.20, 9e-6, 9e-6),
              (POINT, POINTS, BOX, Prompt("point in EPSG:3857", points=((0.44, 0.40, 1),), crs="EPSG:3857")))
PATCH = Scene("patch_rgb_utm", "uint8", (3, 333, 500), "EPSG:32650", from_origin(440_500, 4_449_000, 0.5, 0.5),
              (*EVERY, LONLAT, LONLAT_BOX))  # smaller than a chip; 333 rows take the fractional path of the mask upsampling
BLOCK = Scene("block_rgb_utm", "uint8", (3, 1008, 1008), "EPSG:32650", from_origin(443_000, 4_450_000, 0.3, 0.3),
              EVERY)  # one chip of SAM 3, as it is
TALL = Scene("tall_u8_utm", "uint8", (2, 1300, 640), "EPSG:32650", from_origin(442_000, 4_449_000, 0.25, 0.25),
             (POINT, BOTH))

SCENES = {scene.name: scene for scene in (TOWN, CITY, FIELDS, RELIEF, COAST, PATCH, BLOCK, TALL)}
