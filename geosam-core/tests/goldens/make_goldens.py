"""Numbers from rasterio, NumPy and Python geosam that the tests of geosam-core compare with.

Run in the reference environment, from anywhere: `python make_goldens.py`. Writes grids.json, stretch.json, percentiles.json
and polygons.json beside itself, each with the versions that made it.
"""

import json
import math
from pathlib import Path

import affine
import numpy as np
import rasterio
from geosam.datasets.geogrid import GeoGrid
from geosam.datasets.raster import _normalize_band_to_uint8
from geosam.datasets.samplers import _window_starts
from geosam.query import BoundingBox
from geosam.query.prompts import window_from_center
from rasterio import Affine
from rasterio.features import shapes
from rasterio.warp import calculate_default_transform

HERE = Path(__file__).parent
VERSIONS = {
    "rasterio": rasterio.__version__,
    "gdal": rasterio.__gdal_version__,
    "numpy": np.__version__,
    "affine": affine.__version__,
    "geosam": "0.1.3",
}


def write(name, content):
    text = json.dumps({"versions": VERSIONS, **content}, separators=(",", ":"))
    (HERE / name).write_text(text.replace('},{', '},\n{') + "\n")


def box(bounds):
    return [bounds.left, bounds.bottom, bounds.right, bounds.top]


def grids():
    rng = np.random.default_rng(1)
    transforms = [
        Affine(30.0, 0.0, 399960.0, 0.0, -30.0, 4500000.0),
        Affine(0.0002694945852358564, 0.0, -77.30421398, 0.0, -0.0002694945852358564, 39.21873211),
        Affine(0.6, 0.0, 641820.6, 0.0, -0.6, 3900120.2),
        Affine(10.0, 3.0, 500000.0, 2.0, -9.0, 4000000.0),
    ]
    cases = []
    for t in transforms:
        grid = GeoGrid(t, (701, 523), "EPSG:32618")
        bounds = grid.bounds
        xs = rng.uniform(bounds.left, bounds.right, 40)
        ys = rng.uniform(bounds.bottom, bounds.top, 40)
        rows, cols = grid.row_col(xs, ys, op=float)
        regions = []
        for _ in range(12):
            x = np.sort(rng.uniform(bounds.left, bounds.right, 2))
            y = np.sort(rng.uniform(bounds.bottom, bounds.top, 2))
            roi = BoundingBox(x[0], y[0], x[1], y[1], crs="EPSG:32618")
            try:
                view = grid.to_view(roi)
            except ValueError:
                continue
            regions.append({"roi": box(roi), "shape": view.shape, "transform": list(view.transform)[:6]})
        windows = []
        for row, col, height, width in [(0, 0, 701, 523), (3, 5, 100, 200), (600, 511, 101, 12)]:
            view = grid.window(row, col, height, width)
            windows.append(
                {"window": [row, col, height, width], "transform": list(view.transform)[:6], "bounds": box(view.bounds)}
            )
        centers = [
            {"center": [x, y], "bounds": box(window_from_center((x, y), (256, 300), grid=grid))}
            for x, y in zip(xs[:12].tolist(), ys[:12].tolist())
        ]
        cases.append(
            {
                "transform": list(t)[:6],
                "shape": grid.shape,
                "bounds": box(bounds),
                "xs": xs.tolist(),
                "ys": ys.tolist(),
                "rows": rows.tolist(),
                "cols": cols.tolist(),
                "views": regions,
                "windows": windows,
                "centers": centers,
            }
        )
    from_bounds = []
    for left, bottom, right, top, res in [
        (0.0, 0.0, 100.0, 50.0, 10.0),
        (500000.5, 4000000.25, 500123.4, 4000456.7, 0.6),
        (-77.5, 38.1, -76.9, 39.0, 0.00027),
    ]:
        by_res = GeoGrid.from_bounds((left, bottom, right, top), res=res, crs="EPSG:32618")
        by_shape = GeoGrid.from_bounds((left, bottom, right, top), shape=(77, 133), crs="EPSG:32618")
        from_bounds.append(
            {
                "bounds": [left, bottom, right, top],
                "res": res,
                "res_shape": by_res.shape,
                "res_transform": list(by_res.transform)[:6],
                "shape_transform": list(by_shape.transform)[:6],
            }
        )
    from_xy = []
    for x0, dx, y0, dy, loc in [(500000.0, 30.0, 4000000.0, -30.0, "center"), (-77.3, 0.1, 39.0, -0.1, "ul"), (1.0, 2.0, 5.0, -0.7, "lr")]:
        x, y = x0 + dx * np.arange(7), y0 + dy * np.arange(5)
        grid = GeoGrid.from_xy(x, y, crs="EPSG:32618", loc=loc)
        from_xy.append({"x": x.tolist(), "y": y.tolist(), "loc": loc, "transform": list(grid.transform)[:6]})
    starts = [
        {"size": s, "chip": c, "stride": d, "starts": _window_starts(s, c, d)}
        for s in [1, 5, 16, 17, 31, 32, 33, 100, 257]
        for c in [1, 4, 16, 32]
        for d in [1, 3, 4, 16, 32]
        if d <= c
    ]
    mercator = []
    for width, height, bounds, kwargs in [
        (800, 600, (-77.5, 38.0, -76.5, 39.0), {}),
        (300, 900, (10.0, -40.0, 11.0, -20.0), {}),
        (800, 600, (-77.5, 38.0, -76.5, 39.0), {"resolution": (100.0, 150.0)}),
        (800, 600, (-77.5, 38.0, -76.5, 39.0), {"dst_width": 123, "dst_height": 45}),
    ]:
        t, w, h = calculate_default_transform("EPSG:4326", "EPSG:3857", width, height, *bounds, **kwargs)
        mercator.append(
            {
                "shape": [height, width],
                "bounds": bounds,
                "resolution": kwargs.get("resolution"),
                "dst_shape": [kwargs["dst_height"], kwargs["dst_width"]] if "dst_width" in kwargs else None,
                "result_shape": [h, w],
                "transform": list(t)[:6],
            }
        )
    write(
        "grids.json",
        {"grids": cases, "from_bounds": from_bounds, "from_xy": from_xy, "window_starts": starts, "mercator": mercator},
    )


def listed(values):
    """JSON has no NaN and no infinity."""
    return [str(v) if isinstance(v, float) and not math.isfinite(v) else v for v in values.tolist()]


def stretch():
    rng = np.random.default_rng(2)
    bands = {
        "uint16": rng.integers(0, 65536, 400).astype(np.uint16),
        "int16": rng.integers(-32768, 32768, 400).astype(np.int16),
        "float32": rng.normal(100.0, 40.0, 400).astype(np.float32),
        "float64": rng.normal(-3.0, 1e-3, 400),
        "uint32": rng.integers(0, 2**32, 400).astype(np.uint32),
    }
    bands["float32"][[3, 50]] = [np.nan, np.inf]
    cases = []
    for name, values in bands.items():
        middle = (100.0, 180.5) if name == "float32" else tuple(np.quantile(values, [0.1, 0.9]).tolist())
        for value_range in (None, middle):
            with np.errstate(invalid="ignore"):
                result = _normalize_band_to_uint8(values.reshape(20, 20), value_range=value_range).reshape(-1)
            result = np.where(np.isnan(values.astype(np.float64)), 0, result)
            cases.append({"type": name, "values": listed(values), "range": value_range, "bytes": result.tolist()})
    write("stretch.json", {"cases": cases})


def percentiles():
    rng = np.random.default_rng(3)
    bands = {
        "uint8": rng.integers(0, 256, 300).astype(np.uint8),
        "uint16": rng.integers(0, 4096, 300).astype(np.uint16),
        "int16": rng.integers(-500, 500, 300).astype(np.int16),
        "int32": rng.integers(-(2**31), 2**31, 300).astype(np.int32),
        "float32": rng.normal(0.0, 1e6, 300).astype(np.float32),
        "float64": rng.normal(0.0, 1e-6, 300),
    }
    cases = []
    for name, values in bands.items():
        percents = [0.0, 2.0, 33.3, 50.0, 98.0, 100.0]
        result = np.percentile(values.astype(np.float64), percents)
        cases.append({"type": name, "values": values.tolist(), "percents": percents, "result": result.tolist()})
    write("percentiles.json", {"cases": cases})


def canonical(ring, inverse):
    """A ring as pixel corners (column, row) without collinear ones, started at the smallest, in the order it came."""
    points = [inverse * p for p in ring[:-1]]
    points = [(round(c), round(r)) for c, r in points]
    n = len(points)
    corners = [
        points[i]
        for i in range(n)
        if (points[i][0] - points[i - 1][0]) * (points[(i + 1) % n][1] - points[i][1])
        != (points[i][1] - points[i - 1][1]) * (points[(i + 1) % n][0] - points[i][0])
    ]
    start = corners.index(min(corners))
    corners = corners[start:] + corners[:start]
    # One orientation for all: the second corner is the smaller of the two neighbours of the first.
    if corners[-1] < corners[1]:
        corners = corners[:1] + corners[:0:-1]
    return corners


def polygons():
    rng = np.random.default_rng(4)
    cases = []
    for height, width, density in [(9, 12, 0.5), (16, 16, 0.6), (14, 20, 0.75), (20, 14, 0.35), (24, 24, 0.65)]:
        mask = rng.random((height, width)) < density
        t = Affine(2.0, 0.0, 1000.0, 0.0, -2.0, 5000.0)
        found = []
        for geometry, value in shapes(mask.astype(np.uint8), mask=mask, transform=t, connectivity=4):
            assert value == 1
            rings = [canonical(ring, ~t) for ring in geometry["coordinates"]]
            found.append([rings[0], *sorted(rings[1:])])
        cases.append(
            {
                "shape": [height, width],
                "mask": ["".join("#" if v else "." for v in row) for row in mask],
                "polygons": sorted(found),
            }
        )
    write("polygons.json", {"cases": cases})


if __name__ == "__main__":
    grids()
    stretch()
    percentiles()
    polygons()
