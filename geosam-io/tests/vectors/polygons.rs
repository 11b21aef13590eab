use std::path::Path;

use gdal::Dataset;
use gdal::vector::{Geometry, LayerAccess, OGRFieldType};
use geo_types::{LineString, Polygon, polygon};
use geosam_core::{Crs, CrsTransform, Error, MaskFeatures, MaskPolygon};
use geosam_io::{Osr, VectorFormat, write_vector};
use serde_json::{Value, json};

const UTM: &str = "EPSG:32632";

/// A way back from 10⁻⁹ degrees; measured 4e-5 m.
const GEOJSON_METRES: f64 = 1e-4;

fn feature(polygon: Polygon<f64>, properties: Value) -> MaskPolygon {
    let Value::Object(properties) = properties else { panic!("properties are an object") };
    MaskPolygon { polygon, properties }
}

/// A square with a hole and a triangle, 500 m apart.
pub(crate) fn two_polygons() -> MaskFeatures {
    let square = polygon! {
        exterior: [(x: 500000.25, y: 4000000.5), (x: 500040.25, y: 4000000.5), (x: 500040.25, y: 4000040.5), (x: 500000.25, y: 4000040.5)],
        interiors: [[(x: 500010.0, y: 4000010.0), (x: 500010.0, y: 4000020.0), (x: 500020.0, y: 4000020.0), (x: 500020.0, y: 4000010.0)]],
    };
    let triangle = polygon![(x: 500500.0, y: 4000500.0), (x: 500510.0, y: 4000500.0), (x: 500510.0, y: 4000520.0)];
    MaskFeatures {
        crs: Crs::new(UTM),
        features: vec![
            feature(square, json!({"id": 1, "area": 1500.0, "name": "Dach süd", "sure": true, "note": null})),
            feature(
                triangle,
                json!({"id": 2, "area": 1234567890.125, "score": 0.9375, "sure": false, "parts": [1, 2]}),
            ),
        ],
    }
}

fn rings(geometry: &Geometry) -> Vec<Ring> {
    (0..geometry.geometry_count())
        .map(|index| {
            let ring = geometry.get_geometry(index);
            (0..ring.point_count()).map(|i| ring.get_point(i as i32)).map(|(x, y, _)| (x, y)).collect()
        })
        .collect()
}

/// The same cycle of vertices, wherever it starts and whichever way it runs.
fn same_ring(a: &[(f64, f64)], b: &[(f64, f64)], tolerance: f64) -> bool {
    let (a, b) = (&a[1..], &b[1..]);
    let near = |p: (f64, f64), q: (f64, f64)| (p.0 - q.0).abs() <= tolerance && (p.1 - q.1).abs() <= tolerance;
    let n = b.len();
    a.len() == n
        && (0..n).any(|start| {
            (0..n).all(|i| near(a[i], b[(start + i) % n])) || (0..n).all(|i| near(a[i], b[(start + n - i) % n]))
        })
}

fn expected_rings(polygon: &Polygon<f64>) -> Vec<Ring> {
    let ring = |ring: &LineString<f64>| ring.coords().map(|c| (c.x, c.y)).collect();
    std::iter::once(polygon.exterior()).chain(polygon.interiors()).map(ring).collect()
}

type Ring = Vec<(f64, f64)>;

/// A layer as GDAL reads it: its CRS, and for each feature its rings and fields (as text; `None` is null).
struct ReadBack {
    crs: Crs,
    fields: Vec<(String, OGRFieldType::Type)>,
    features: Vec<(Vec<Ring>, Vec<Option<String>>)>,
}

fn read_back(path: &Path) -> ReadBack {
    let dataset = Dataset::open(path).unwrap();
    let mut layer = dataset.layer(0).unwrap();
    let fields: Vec<_> = layer.defn().fields().map(|field| (field.name(), field.field_type())).collect();
    let crs = Crs::new(layer.spatial_ref().unwrap().to_wkt().unwrap());
    let features = layer
        .features()
        .map(|feature| {
            let values = (0..fields.len()).map(|index| feature.field_as_string(index).unwrap()).collect();
            (rings(feature.geometry().unwrap()), values)
        })
        .collect();
    ReadBack { crs, fields, features }
}

impl ReadBack {
    fn value(&self, feature: usize, field: &str) -> Option<&str> {
        let index = self.fields.iter().position(|(name, _)| name == field).unwrap_or_else(|| panic!("no {field}"));
        // The gdal crate shows a value that is left out, as nulls are in FlatGeobuf, as an empty text.
        self.features[feature].1[index].as_deref().filter(|text| !text.is_empty())
    }

    fn field_type(&self, field: &str) -> OGRFieldType::Type {
        self.fields.iter().find(|(name, _)| name == field).unwrap().1
    }
}

#[test]
fn every_format_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let features = two_polygons();
    for extension in ["gpkg", "fgb", "shp", "geojson", "json"] {
        let path = folder.path().join(format!("roofs.{extension}"));
        write_vector(&path, &features).unwrap();
        let mut found = read_back(&path);
        let is_geojson = matches!(extension, "geojson" | "json");
        let crs = Crs::new(if is_geojson { "EPSG:4326" } else { UTM });
        assert!(Osr.equivalent(&found.crs, &crs).unwrap(), "{extension}: {}", found.crs.as_str());
        assert_eq!(found.features.len(), 2, "{extension}");
        if found.value(0, "id") == Some("2") {
            found.features.reverse(); // FlatGeobuf sorts by place
        }
        for (index, feature) in features.features.iter().enumerate() {
            let (mut rings, expected) = (found.features[index].0.clone(), expected_rings(&feature.polygon));
            if is_geojson {
                for p in rings.iter_mut().flatten() {
                    let mut point = [geosam_core::WorldPoint::new(p.0, p.1)];
                    Osr.transform_points(&Crs::wgs84(), &Crs::new(UTM), &mut point).unwrap();
                    *p = (point[0].x, point[0].y);
                }
            }
            assert_eq!(rings.len(), expected.len(), "{extension}");
            let tolerance = if is_geojson { GEOJSON_METRES } else { 0.0 };
            for (ring, expected) in rings.iter().zip(&expected) {
                assert!(same_ring(ring, expected, tolerance), "{extension}: {ring:?} {expected:?}");
            }
        }
        assert_eq!(found.value(0, "name"), Some("Dach süd"), "{extension}");
        assert_eq!(found.value(1, "name"), None, "{extension}");
        assert_eq!(found.value(0, "score"), None, "{extension}");
        assert_eq!(found.value(0, "note"), None, "{extension}");
        assert_eq!(found.value(0, "sure"), Some("1"), "{extension}");
        let real = |field| found.value(1, field).unwrap().parse::<f64>().unwrap();
        assert_eq!((real("area"), real("score")), (1234567890.125, 0.9375), "{extension}");
        assert!(matches!(found.field_type("id"), OGRFieldType::OFTInteger | OGRFieldType::OFTInteger64), "{extension}");
        assert_eq!(found.field_type("area"), OGRFieldType::OFTReal, "{extension}");
        if !is_geojson {
            assert_eq!(found.value(1, "parts"), Some("[1,2]"), "{extension}");
        }
    }
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = "roofs.cpg roofs.dbf roofs.fgb roofs.geojson roofs.gpkg roofs.json roofs.prj roofs.shp roofs.shx";
    assert_eq!(names.join(" "), expected);
}

#[test]
fn the_layer_is_called_after_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for extension in ["gpkg", "fgb", "shp"] {
        let path = folder.path().join(format!("dächer 1.{extension}"));
        write_vector(&path, &two_polygons()).unwrap();
        assert_eq!(Dataset::open(&path).unwrap().layer(0).unwrap().name(), "dächer 1");
    }
}

#[test]
fn geojson_is_what_rfc_7946_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.geojson");
    let mut features = two_polygons();
    // Clockwise outside, counter-clockwise inside: the wrong way round.
    let square = &features.features[0].polygon;
    let reversed = |ring: &LineString<f64>| ring.coords().rev().copied().collect::<LineString<f64>>();
    features.features[0].polygon =
        Polygon::new(reversed(square.exterior()), square.interiors().iter().map(reversed).collect());
    write_vector(&path, &features).unwrap();
    let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(json["type"], "FeatureCollection");
    assert!(json.get("crs").is_none());
    let properties = &json["features"][0]["properties"];
    assert_eq!((&properties["sure"], &properties["note"], &properties["id"]), (&json!(true), &Value::Null, &json!(1)));
    assert_eq!(json["features"][1]["properties"]["parts"], json!([1, 2]));
    let rings = json["features"][0]["geometry"]["coordinates"].as_array().unwrap();
    assert_eq!(rings.len(), 2);
    for (ring, counter_clockwise) in rings.iter().zip([true, false]) {
        let points: Vec<(f64, f64)> =
            ring.as_array().unwrap().iter().map(|p| (p[0].as_f64().unwrap(), p[1].as_f64().unwrap())).collect();
        assert_eq!(points.first(), points.last());
        assert!(points.iter().all(|(x, y)| (8.9..9.1).contains(x) && (36.1..36.2).contains(y)), "{points:?}");
        let (ox, oy) = points[0];
        let area: f64 = points.windows(2).map(|w| (w[0].0 - ox) * (w[1].1 - oy) - (w[1].0 - ox) * (w[0].1 - oy)).sum();
        assert_eq!(area > 0.0, counter_clockwise);
    }
}

#[test]
fn geojson_is_cut_at_the_antimeridian() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.geojson");
    // UTM zone 1 starts at 180°, about 166 km west of its central meridian's easting of 500 km at the equator.
    let across = polygon![(x: 160000.0, y: 10000.0), (x: 170000.0, y: 10000.0), (x: 170000.0, y: 12000.0), (x: 160000.0, y: 12000.0)];
    let features = MaskFeatures { crs: Crs::new("EPSG:32601"), features: vec![feature(across, json!({}))] };
    write_vector(&path, &features).unwrap();
    let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let geometry = &json["features"][0]["geometry"];
    assert_eq!(geometry["type"], "MultiPolygon");
    let parts = geometry["coordinates"].as_array().unwrap();
    assert_eq!(parts.len(), 2);
    let longitudes =
        |part: &Value| -> Vec<f64> { part[0].as_array().unwrap().iter().map(|p| p[0].as_f64().unwrap()).collect() };
    assert!(longitudes(&parts[0]).iter().all(|x| (179.9..=180.0).contains(x)), "{parts:?}");
    assert!(longitudes(&parts[1]).iter().all(|x| (-180.0..=-179.9).contains(x)), "{parts:?}");
}

#[test]
fn no_features_make_a_valid_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let none = MaskFeatures { crs: Crs::new(UTM), features: Vec::new() };
    for extension in ["gpkg", "fgb", "shp", "geojson"] {
        let path = folder.path().join(format!("none.{extension}"));
        write_vector(&path, &none).unwrap();
        let found = read_back(&path);
        assert!(found.features.is_empty());
        let crs = Crs::new(if extension == "geojson" { "EPSG:4326" } else { UTM });
        assert!(Osr.equivalent(&found.crs, &crs).unwrap(), "{extension}");
    }
}

#[test]
fn column_names_are_unique_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let square = polygon![(x: 0.0, y: 0.0), (x: 1.0, y: 0.0), (x: 1.0, y: 1.0)];
    let properties = json!({"FID": 7, "Name": "a", "name": "b", "geom": "c", "geodesic_area": 1.5, "geodesic_perimeter": 2.5, "größenklasse": 3});
    let features = MaskFeatures { crs: Crs::new(UTM), features: vec![feature(square, properties)] };
    let names = |extension: &str| -> Vec<String> {
        let path = folder.path().join(format!("a.{extension}"));
        write_vector(&path, &features).unwrap();
        let found = read_back(&path);
        assert!(found.features[0].1.iter().all(Option::is_some), "{extension}");
        found.fields.into_iter().map(|(name, _)| name).collect()
    };
    let plain = ["FID", "Name", "geodesic_area", "geodesic_perimeter", "geom", "größenklasse", "name_1"];
    assert_eq!(names("fgb"), plain);
    assert_eq!(
        names("gpkg"),
        plain.map(|name| match name {
            "FID" => "FID_1",
            "geom" => "geom_1",
            other => other,
        })
    );
    assert_eq!(names("shp"), ["FID", "Name", "geodesic_a", "geodesic_p", "geom", "größenkl", "name_1"]);
}

#[test]
fn numbers_keep_their_digits_in_a_shapefile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.shp");
    let square = polygon![(x: 0.0, y: 0.0), (x: 1.0, y: 0.0), (x: 1.0, y: 1.0)];
    let large =
        json!({"n": 10_i64.pow(17) + 1, "v": 9_876_543_210_123.5, "w": 0.123_456_789_012_345, "t": "x".repeat(200)});
    let small = json!({"n": -1, "v": -9_876_543_210_123.5, "w": 1, "t": ""});
    let features = MaskFeatures {
        crs: Crs::new(UTM),
        features: vec![feature(square.clone(), large.clone()), feature(square, small)],
    };
    write_vector(&path, &features).unwrap();
    let found = read_back(&path);
    let number = |index, field| found.value(index, field).unwrap().parse::<f64>().unwrap();
    assert_eq!(found.value(0, "n"), Some("100000000000000001"));
    assert_eq!((number(0, "v"), number(1, "v")), (9_876_543_210_123.5, -9_876_543_210_123.5));
    assert_eq!((number(0, "w"), number(1, "w")), (0.123_456_789_012_345, 1.0));
    assert_eq!(found.value(0, "t").unwrap().len(), 200);
}

#[test]
fn a_file_is_replaced_with_what_described_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["a.gpkg", "a.gpkg-wal", "a.gpkg-journal", "a.shp", "a.qix", "a.sbn"] {
        std::fs::write(at(name), b"old").unwrap();
    }
    for name in ["a.gpkg", "a.shp"] {
        write_vector(at(name), &two_polygons()).unwrap();
        assert_eq!(read_back(&at(name)).features.len(), 2);
    }
    for name in ["a.gpkg-wal", "a.gpkg-journal", "a.qix", "a.sbn"] {
        assert!(!at(name).exists(), "{name}");
    }
}

#[test]
fn the_format_is_known_by_the_extension() {
    assert_eq!(VectorFormat::for_path("A.GeoJSON").unwrap(), VectorFormat::GeoJson);
    assert_eq!(VectorFormat::for_path("a.b.SHP").unwrap(), VectorFormat::Shapefile);
    for name in ["a.kml", "a", "gpkg"] {
        let error = write_vector(name, &two_polygons()).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }));
        assert!(error.to_string().contains(".geojson, .json, .gpkg, .fgb or .shp"), "{error}");
    }
}
