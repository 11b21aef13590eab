"""Rasters as rasterio and Python geosam read them: what they are, how they warp, which chips they make, which pixels."""
import numpy as np
import rasterio
from rasterio.crs import CRS

import geosam_reference as reference
from binary import flags
from checks import EXACT
from scenes import CITY, COAST, FIELDS, RELIEF, SCENES, TALL

# Coordinates of warped grids may differ in the last digits: two builds of PROJ. In pixels.
WARPED_PLACE = 1e-6
# Warped pixels: each build of GDAL approximates the transform (by up to 1/8 pixel) from other points, so values move by a
# fraction of a pixel. Share of pixels outside the range of the other side's 3 × 3 neighbourhood, and of pixels that hold
# data on one side only, as a share of the raster's outline.
BEYOND_NEIGHBOURS = 3e-3
OUTLINE = 1.0

WARPS = (  # scene, options of both sides
    (COAST, {"crs": "EPSG:32650"}),
    (COAST, {"crs": "EPSG:32650", "res": 1.0}),
    (COAST, {"crs": "EPSG:3857"}),
    (CITY, {"crs": "EPSG:4326"}),
    (CITY, {"res": 0.8}),
    (FIELDS, {"crs": "EPSG:32634", "res": 12.5}),
    (RELIEF, {"crs": "EPSG:3857"}),
)
RESAMPLINGS = ("nearest", "bilinear", "average")


def check_rasters(report, binary):
    for scene in SCENES.values():
        raster = scene.write(binary.work / "rasters")
        check_info(report, binary, scene, raster)
        check_pixels(report, binary, scene, raster)
        check_chips(report, binary, scene.name, raster, {"chip_size": 512, "stride": 384})
    extent = tuple(round(v, 1) for v in rasterio.open(CITY.write(binary.work / "rasters")).bounds)
    extent = (extent[0] + 100.2, extent[1] + 30.7, extent[2] - 55.1, extent[3] - 140.9)
    check_chips(report, binary, f"{CITY.name} extent", CITY.write(binary.work / "rasters"),
                {"chip_size": 512, "stride": 256}, extent=extent)
    for model, size in (("sam2.1_l", 1024), ("sam3", 1008)):
        check_chips(report, binary, f"{CITY.name} for {model}", CITY.write(binary.work / "rasters"),
                    {"chip_size": size, "stride": size // 2}, ours={"model": model})
    for scene, options in WARPS:
        raster = scene.write(binary.work / "rasters")
        name = f"{scene.name} {' '.join(map(str, options.values()))}"
        check_chips(report, binary, name, raster, {"chip_size": 400, "stride": 300, **options}, place=WARPED_PLACE)
        check_warp(report, binary, name, scene, raster, options)


def check_info(report, binary, scene, raster):
    """`geosam info` against rasterio."""
    try:
        told = binary.json("info", raster)
        with rasterio.open(raster) as dataset:
            report.equal("rasters", scene.name, "shape", told["shape"], list(dataset.shape))
            report.equal("rasters", scene.name, "transform", told["transform"], list(dataset.transform)[:6])
            report.equal("rasters", scene.name, "bounds", told["bounds"], list(dataset.bounds))
            report.equal("rasters", scene.name, "CRS", CRS.from_user_input(told["crs"]), dataset.crs)
            report.equal("rasters", scene.name, "bands", [(b["band"], b["type"], b["nodata"]) for b in told["bands"]],
                         list(zip(dataset.indexes, dataset.dtypes, dataset.nodatavals)))
    except Exception as error:  # noqa: BLE001 a failed step is a failed check
        report.error("rasters", scene.name, error)


def check_chips(report, binary, name, raster, options, place=0.0, extent=None, ours=None):
    """`geosam chips` against chip_extent_rectangles_for_source, in pixels. `ours`: what we call `options`."""
    from geosam.runtime import chip_extent_rectangles_for_source

    try:
        theirs = chip_extent_rectangles_for_source(raster, extent=extent, **options)
        told = binary.json("chips", raster, *flags(ours or options),
                           *([f"--extent={','.join(map(repr, extent))}"] if extent else []))
        ours = told["rectangles"]
        if len(ours) != len(theirs):
            report.equal("rasters", name, "number of chips", len(ours), len(theirs))
            return
        grid = reference.open_raster(raster, crs=options.get("crs"), res=options.get("res")).grid
        difference = np.abs(np.array(ours) - np.array(theirs)) / abs(grid.transform.a)
        report.add("rasters", name, "chip rectangles (px)", float(difference.max()), place)
    except Exception as error:  # noqa: BLE001
        report.error("rasters", name, error)


def check_pixels(report, binary, scene, raster):
    """A window somewhere inside, and one row and column of the far corner."""
    bands, height, width = scene.shape
    dataset = reference.open_raster(raster)
    for column, row, w, h in ((width // 3, height // 4, width // 2, height // 3), (width - 1, height - 1, 1, 1)):
        name = f"{scene.name} window {column},{row} {w}×{h}"
        try:
            theirs = dataset.read_window(row_off=row, col_off=column, height=h, width=w).image
            ours, told = binary.read_window(raster, (column, row, w, h), bands=range(1, bands + 1))
            report.equal("rasters", name, "dtype", told["dtype"], str(theirs.dtype))
            report.same_bytes("rasters", name, "pixels that differ", ours, theirs)
        except Exception as error:  # noqa: BLE001
            report.error("rasters", name, error)


def check_warp(report, binary, name, scene, raster, options):
    """The whole warped raster under several resamplings: same size and place, pixels as two builds of GDAL agree."""
    for resampling in RESAMPLINGS:
        label = f"{name} {resampling}"
        try:
            dataset = reference.open_raster(raster, resampling=resampling, **options)
            height, width = dataset.shape
            theirs = dataset.read_window(row_off=0, col_off=0, height=height, width=width).image
            ours, told = binary.read_window(raster, (0, 0, width, height), resampling=resampling,
                                            bands=range(1, scene.shape[0] + 1), **options)
            report.equal("warped rasters", label, "shape", told["grid_shape"], [height, width])
            place = np.abs(np.array(told["transform"]) - np.array(list(dataset.transform)[:6])) / abs(dataset.transform.a)
            report.add("warped rasters", label, "transform (px)", float(place.max()), WARPED_PLACE)
            check_warped_pixels(report, label, ours, theirs)
        except Exception as error:  # noqa: BLE001
            report.error("warped rasters", label, error)


def check_warped_pixels(report, label, ours, theirs):
    """Where both sides hold data (not the fill value 0), ours lies within what theirs has next to it."""
    if ours.shape != theirs.shape:
        report.equal("warped rasters", label, "shape", ours.shape, theirs.shape)
        return
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    held, theirs_held = ours.any(0), theirs.any(0)
    level = np.ptp(theirs[:, theirs_held]) / 255
    least, most = neighbourhood(theirs)
    beyond = (ours < least - level) | (ours > most + level)
    report.add("warped rasters", label, "beyond neighbours", float(beyond[:, held & theirs_held].mean()),
               BEYOND_NEIGHBOURS)
    outline = 2 * sum(held.shape)
    report.add("warped rasters", label, "data on one side only", np.count_nonzero(held != theirs_held) / outline, OUTLINE)


def neighbourhood(image):
    """Smallest and largest value around each pixel of [bands, height, width], itself included."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), "edge")
    _, height, width = image.shape
    around = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.minimum.reduce(around), np.maximum.reduce(around)
