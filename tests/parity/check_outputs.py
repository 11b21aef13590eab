"""Read the files of one result with geopandas and rasterio and say whether they hold the same masks.

    python tests/parity/check_outputs.py a.gpkg a.geojson a.fgb a.shp a.tif cog.tif

The first vector file is the reference. Every other vector file must hold the same polygons (counted, each as large and in the
same place, valid) with the same attributes; every .tif must show 1 where the reference's polygons are and 0 elsewhere,
so simplified polygons differ from it. Exit status 1 on the first difference.

Made with geopandas 1.2.0, rasterio 1.4.4, shapely 2.2.0.
"""

import json
import sys
from pathlib import Path

import geopandas
import numpy
import rasterio
import rasterio.features
import shapely

# Metres between outlines (area between them by their length): GeoJSON is rounded to 1e-9 degrees. Measured 3.8e-5.
OUTLINE_TOLERANCE = 1e-4


def check(condition, message):
    if not condition:
        sys.exit(f"FAIL {message}")


def read(path):
    frame = geopandas.read_file(path)
    check(frame.crs is not None, f"{path}: no CRS")
    check(frame.geometry.is_valid.all(), f"{path}: {(~frame.geometry.is_valid).sum()} invalid polygons")
    check(set(frame.geom_type) <= {"Polygon", "MultiPolygon"}, f"{path}: {set(frame.geom_type)}")
    if path.suffix in (".geojson", ".json"):
        document = json.loads(path.read_text())
        check("crs" not in document and frame.crs == "EPSG:4326", f"{path}: RFC 7946 knows WGS 84 only")
        check(all(shapely.is_ccw(g.exterior) for g in frame.geometry), f"{path}: a clockwise exterior")
        check(not any(shapely.is_ccw(h) for g in frame.geometry for h in g.interiors), f"{path}: a hole that is not clockwise")
    return frame


def ordered(frame):
    """By place: FlatGeobuf has its own order."""
    boxes = frame.geometry.bounds.round(3)
    return frame.iloc[numpy.lexsort([frame.geometry.area.round(2), *[boxes[c] for c in boxes]])].reset_index(drop=True)


def compare_vectors(reference, path):
    frame = read(path)
    check(len(frame) == len(reference), f"{path}: {len(frame)} polygons, expected {len(reference)}")
    same_crs = path.suffix in (".geojson", ".json") or frame.crs == reference.crs
    check(same_crs, f"{path}: CRS {frame.crs}, expected {reference.crs}")
    a, b = ordered(reference), ordered(frame.to_crs(reference.crs))
    between = a.geometry.symmetric_difference(b.geometry).area / a.geometry.length
    distance = between.max() if len(a) else 0.0
    check(distance <= OUTLINE_TOLERANCE, f"{path}: outlines are {distance} m apart")
    vertices = (shapely.get_num_coordinates(a.geometry.values) == shapely.get_num_coordinates(b.geometry.values)).all()
    check(vertices, f"{path}: other numbers of vertices")
    names = [c for c in reference.columns if c != "geometry"]
    for name in names:
        column = name[:10] if path.suffix == ".shp" else name
        check(column in b.columns, f"{path}: no column {column}, only {list(b.columns)}")
        numeric = numpy.issubdtype(a[name].dtype, numpy.number)
        check(numeric == numpy.issubdtype(b[column].dtype, numpy.number), f"{path}: {column} is {b[column].dtype}")
        equal = numpy.allclose(a[name], b[column], rtol=1e-12, atol=0, equal_nan=True) if numeric else (
            a[name].fillna("") == b[column].fillna("")).all()
        check(equal, f"{path}: other values of {name}")
    return f"{len(frame)} polygons, {len(names)} attributes, outlines {distance:.1e} m apart, {frame.crs.to_string()}"


def compare_mask(reference, path):
    with rasterio.open(path) as raster:
        check(raster.crs is not None, f"{path}: no CRS")
        check(raster.dtypes == ("uint8",) * raster.count and raster.nodata is None, f"{path}: {raster.profile}")
        polygons = reference.to_crs(raster.crs).geometry
        expected = rasterio.features.rasterize(polygons, raster.shape, transform=raster.transform, dtype="uint8")
        found = raster.read(list(range(1, raster.count + 1))).max(axis=0)
        differing = int((found != expected).sum())
        check(differing == 0, f"{path}: {differing} of {found.size} pixels differ from the polygons")
        layout = raster.tags(ns="IMAGE_STRUCTURE").get("LAYOUT", "plain")
        return f"{raster.count} band of {raster.shape}, {int(found.sum())} pixels set, {layout}, {raster.crs}"


def main():
    paths = [Path(argument) for argument in sys.argv[1:]]
    vectors = [path for path in paths if path.suffix not in (".tif", ".tiff")]
    check(vectors, __doc__)
    reference = read(vectors[0])
    for path in paths:
        compare = compare_vectors if path in vectors else compare_mask
        print(f"ok   {path.name}: {compare(reference, path)}")


if __name__ == "__main__":
    main()
