"""Rasters of a few pixels, and what Python geosam 0.1.3 and rasterio 1.4.4 (GDAL 3.10.3) make of them.

    python make_raster_goldens.py

writes beside itself `raster/*.tif` (the rasters), `raster.json` (grids, coordinates and where each array lies) and
`raster.bin` (the arrays, one after the other, little-endian).
"""

import json
import os
from pathlib import Path

import numpy as np
import rasterio
from geosam.datasets.raster import RasterDataset
from geosam.query import BoundingBox
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, transform, transform_bounds

HERE = Path(__file__).parent
RASTERS = HERE / "raster"
ROWS, COLUMNS = 26, 34
arrays = bytearray()


def store(array):
    """Append an array to raster.bin and return where it is."""
    array = np.ascontiguousarray(array)
    entry = {"dtype": str(array.dtype), "shape": list(array.shape), "offset": len(arrays)}
    arrays.extend(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return entry


def waves(bands, low, high, seed):
    """Smooth values with a little noise, so that every kernel gives another answer."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    layers = [
        0.5 + 0.3 * np.sin(x / (3 + b) + b) + 0.2 * np.cos(y / (4 + b)) + 0.05 * rng.standard_normal((ROWS, COLUMNS))
        for b in range(bands)
    ]
    return low + (high - low) * np.clip(np.stack(layers), 0, 1)


def write(name, array, crs, origin, pixel, nodata=None, alpha=None, mask=None, **profile):
    path = RASTERS / name
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        path, "w", driver="GTiff", width=COLUMNS, height=ROWS, count=len(array), dtype=array.dtype, crs=crs,
        transform=from_origin(*origin, pixel, pixel), nodata=nodata, compress="deflate", **profile,
    ) as dataset:
        dataset.write(array)
        if alpha:
            dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        if mask is not None:
            dataset.write_mask(mask)
    return name


def make_rasters():
    RASTERS.mkdir(exist_ok=True)
    utm, degrees = (500_000.0, 4_500_000.0), (-75.2, 40.3)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    disc = (x - 16) ** 2 + (y - 12) ** 2 < 90

    write("rgb.tif", waves(3, 1, 255, 1).astype("uint8"), "EPSG:32618", utm, 30.0)
    holes = waves(4, 1, 255, 2).astype("uint8")
    holes[:, ~disc] = 0
    holes[0, 10:14, 14:18] = 0  # one band without data
    write("nodata.tif", holes, "EPSG:4326", degrees, 0.0003, nodata=0, photometric="MINISBLACK")
    dem = waves(1, -50, 900, 3).astype("float32")
    dem[:, 3:7, 5:9] = -9999
    write("dem.tif", dem, "EPSG:4326", degrees, 0.0003, nodata=-9999)
    nan = waves(2, 0, 1, 4).astype("float32")
    nan[:, :4] = np.nan
    nan[0, 8, 8] = np.nan
    write("nan.tif", nan, "EPSG:32618", utm, 30.0, nodata=float("nan"))
    rgba = np.concatenate([waves(3, 1, 255, 5).astype("uint8"), 255 * disc[None].astype("uint8")])
    write("rgba.tif", rgba, "EPSG:32618", utm, 30.0, alpha=True, photometric="RGB", ALPHA="YES")
    write("masked.tif", waves(3, 0, 10_000, 6).astype("uint16"), "EPSG:32618", utm, 30.0, mask=disc)
    feet = waves(1, 0, 255, 7).astype("uint8")
    write("feet.tif", feet, "EPSG:2263", (980_000.0, 200_000.0), 10.0)


# raster, bands, target CRS, resolution in metres, kernel
OPENED = [
    ("rgb.tif", [1, 2, 3], None, None, "average"),
    ("rgb.tif", [3, 1], "EPSG:4326", None, "bilinear"),
    ("rgb.tif", [1, 2, 3], "EPSG:3857", None, "nearest"),
    ("rgb.tif", [1, 2, 3], "EPSG:3857", None, "average"),
    ("rgb.tif", [1, 2, 3], "EPSG:32617", 43.0, "cubic"),
    ("rgb.tif", [1, 2, 3], None, 55.0, "average"),
    ("rgb.tif", [2], None, 17.5, "bilinear"),
    ("nodata.tif", [1, 2, 3], None, None, "average"),
    ("nodata.tif", [4, 1], "EPSG:32618", None, "bilinear"),
    ("nodata.tif", [1, 2, 3], "EPSG:32618", None, "average"),
    ("nodata.tif", [1, 2, 3], "EPSG:32618", 40.0, "cubic"),
    ("dem.tif", [1], "EPSG:32618", None, "bilinear"),
    ("dem.tif", [1], "EPSG:32618", 25.0, "nearest"),
    ("nan.tif", [1, 2], "EPSG:3857", None, "bilinear"),
    ("rgba.tif", [1, 2, 3], None, None, "average"),
    ("rgba.tif", [1, 2, 3], "EPSG:3857", None, "bilinear"),
    ("masked.tif", [1, 2, 3], None, None, "average"),
    ("masked.tif", [1, 2, 3], "EPSG:4326", None, "bilinear"),
    ("feet.tif", [1], None, 6.0, "average"),
]


def valid_pixels(path, bands, raster):
    """Where at least one of the bands holds data."""
    if raster._vrt_options is None:
        with rasterio.open(path) as dataset:
            return dataset.read_masks(bands).any(axis=0)
    with rasterio.open(path) as dataset:
        options = dict(raster._vrt_options)
        if dataset.nodata is None and ColorInterp.alpha not in dataset.colorinterp:
            options["add_alpha"] = True
        with WarpedVRT(dataset, **options) as vrt:
            return vrt.read_masks(bands).any(axis=0)


def opened(name, bands, crs, metres, kernel):
    path = RASTERS / name
    res = None
    if metres is not None:
        with rasterio.open(path) as dataset:
            res = metres / (CRS.from_user_input(crs) if crs else dataset.crs).linear_units_factor[1]
    raster = RasterDataset(path, indexes=bands, crs=crs, res=res, resampling=getattr(Resampling, kernel))
    sample = raster.read_window(row_off=0, col_off=0, height=raster.shape[0], width=raster.shape[1])
    chip = raster.read_window(row_off=5, col_off=7, height=9, width=11)
    return {
        "raster": name, "bands": bands, "crs": crs, "resolution": metres, "resampling": kernel,
        "shape": list(raster.shape), "transform": list(raster.transform)[:6], "bounds": list(raster.bounds.to_tuple()),
        "pixels": store(sample.image),
        "valid": store(valid_pixels(path, bands, raster).astype("uint8")),
        "chip_transform": list(chip.transform)[:6],
    }


# raster, target CRS, (left, bottom, right, top) as shares of the bounds, CRS of the box, output shape, kernel
PARTS = [
    ("rgb.tif", None, (0.113, 0.207, 0.731, 0.842), None, None, "average"),
    ("rgb.tif", None, (0.113, 0.207, 0.731, 0.842), None, None, "bilinear"),
    ("rgb.tif", None, (0.113, 0.207, 0.731, 0.842), None, (40, 50), "bilinear"),
    ("rgb.tif", None, (0.113, 0.207, 0.731, 0.842), None, (7, 9), "average"),
    ("rgb.tif", None, (-0.4, 0.51, 0.36, 1.7), None, None, "average"),
    ("rgb.tif", None, (0.2, 0.3, 0.8, 0.7), "EPSG:4326", None, "average"),
    ("rgb.tif", "EPSG:3857", (0.21, 0.33, 0.84, 0.71), None, None, "bilinear"),
    ("dem.tif", None, (0.1, 0.1, 0.9, 0.95), None, (8, 8), "average"),
    ("dem.tif", None, (0.1, 0.1, 0.9, 0.95), None, (31, 43), "cubic"),
]


def part(name, crs, shares, box_crs, out_shape, kernel):
    raster = RasterDataset(RASTERS / name, crs=crs, resampling=getattr(Resampling, kernel))
    b = raster.bounds
    west, south, east, north = shares
    box = BoundingBox(
        b.left + west * (b.right - b.left), b.bottom + south * (b.top - b.bottom),
        b.left + east * (b.right - b.left), b.bottom + north * (b.top - b.bottom), crs=raster.crs,
    )
    if box_crs is not None:
        box = box.to_crs(box_crs)
    sample = raster.read(box, out_shape=out_shape)
    return {
        "raster": name, "crs": crs, "resampling": kernel, "out_shape": out_shape,
        "box": list(box.to_tuple()), "box_crs": CRS.from_user_input(box.crs).to_string(),
        "origin": [sample.transform.c, sample.transform.f], "pixels": store(sample.image),
    }


def coordinates():
    points = [
        ("EPSG:4326", "EPSG:32650", 116.3, 40.2), ("EPSG:32618", "EPSG:3857", 500_000.0, 4_500_000.0),
        ("EPSG:4326", "EPSG:3413", 15.0, 78.2), ("EPSG:2263", "EPSG:4326", 980_000.0, 200_000.0),
        ("EPSG:27700", "EPSG:4326", 530_000.0, 180_000.0), ("EPSG:4326", "EPSG:2193", 174.8, -41.3),
    ]
    boxes = [
        ("EPSG:4326", "EPSG:32618", -76.0, 39.0, -74.0, 41.0), ("EPSG:32618", "EPSG:4326", 4e5, 4.4e6, 6e5, 4.6e6),
        ("EPSG:4326", "EPSG:3413", -60.0, 60.0, 10.0, 80.0), ("EPSG:4326", "EPSG:3857", -180.0, -85.0, 180.0, 85.0),
        ("EPSG:3413", "EPSG:4326", -1e6, -1e6, 1e6, 1e6),
    ]
    grids = [
        ("EPSG:4326", "EPSG:32618", 697, 377, (-75.6, 40.1, -75.0, 40.4), None),
        ("EPSG:32618", "EPSG:4326", 791, 718, (101_985.0, 2_611_485.0, 339_315.0, 2_826_915.0), None),
        ("EPSG:32618", "EPSG:3857", 400, 300, (4e5, 4.4e6, 5.2e5, 4.49e6), (100.0, 250.0)),
        ("EPSG:4326", "EPSG:3031", 360, 60, (-180.0, -90.0, 180.0, -60.0), None),
        ("EPSG:32618", "EPSG:32618", 400, 300, (4e5, 4.4e6, 5.2e5, 4.49e6), (700.0, 700.0)),
    ]
    as_xy = lambda a, b, x, y: [c[0] for c in transform(a, b, [x], [y])]
    suggested = []
    for a, b, width, height, bounds, res in grids:
        t, w, h = calculate_default_transform(a, b, width, height, *bounds, resolution=res)
        suggested.append({
            "from": a, "to": b, "shape": [height, width], "bounds": bounds, "resolution": res,
            "transform": list(t)[:6], "suggested": [h, w],
        })
    return {
        "points": [{"from": a, "to": b, "at": [x, y], "image": as_xy(a, b, x, y)} for a, b, x, y in points],
        "boxes": [{"from": a, "to": b, "box": box, "image": transform_bounds(a, b, *box)} for a, b, *box in boxes],
        "grids": suggested,
    }


def main():
    os.environ.pop("GDAL_DATA", None)
    make_rasters()
    goldens = {
        "versions": {"rasterio": rasterio.__version__, "gdal": rasterio.__gdal_version__},
        "opened": [opened(*case) for case in OPENED],
        "parts": [part(*case) for case in PARTS],
        "coordinates": coordinates(),
    }
    (HERE / "raster.json").write_text(json.dumps(goldens, indent=1) + "\n")
    (HERE / "raster.bin").write_bytes(arrays)


if __name__ == "__main__":
    main()
