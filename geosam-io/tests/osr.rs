//! `Osr` against PROJ as rasterio calls it.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "raster/goldens.rs"]
mod goldens;

use geosam_core::{BoundingBox, Crs, CrsTransform, Error, GeoGrid, WorldPoint, conformance};
use geosam_io::Osr;
use serde_json::Value;

/// Largest difference of a coordinate relative to its size. Measured 0: PROJ 9.1.1 here, 9.4.1 in rasterio.
const COORDINATE: f64 = 1e-12;

fn coordinates(kind: &str) -> Vec<Value> {
    let json = std::fs::read(goldens::folder().join("raster.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    json["coordinates"][kind].as_array().unwrap().clone()
}

fn crs(case: &Value, key: &str) -> Crs {
    Crs::new(case[key].as_str().unwrap())
}

fn assert_close(ours: &[f64], theirs: &[f64], case: &Value) {
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= COORDINATE * b.abs().max(1.0), "{ours:?} for {case}");
    }
}

#[test]
fn contract() {
    let points = [(-75.1, 40.2), (-74.9, 40.1), (-75.3, 40.4)].map(|(x, y)| WorldPoint::new(x, y));
    for to in ["EPSG:32618", "EPSG:3857", "EPSG:2263", "+proj=laea +lat_0=40 +lon_0=-75 +datum=WGS84 +units=m"] {
        conformance::crs_transform(&Osr, &Crs::wgs84(), &Crs::new(to), &points);
    }
}

#[test]
fn points_boxes_and_grids_are_rasterios() {
    for case in coordinates("points") {
        let at = goldens::numbers(&case["at"]);
        let mut points = [WorldPoint::new(at[0], at[1])];
        Osr.transform_points(&crs(&case, "from"), &crs(&case, "to"), &mut points).unwrap();
        assert_close(&[points[0].x, points[0].y], &goldens::numbers(&case["image"]), &case);
    }
    for case in coordinates("boxes") {
        let b = goldens::numbers(&case["box"]);
        let bounds = BoundingBox::new(b[0], b[1], b[2], b[3], crs(&case, "from")).unwrap();
        let image = Osr.transform_bounds(&bounds, &crs(&case, "to")).unwrap();
        assert_close(&[image.left, image.bottom, image.right, image.top], &goldens::numbers(&case["image"]), &case);
    }
    for case in coordinates("grids") {
        let b = goldens::numbers(&case["bounds"]);
        let bounds = BoundingBox::new(b[0], b[1], b[2], b[3], crs(&case, "from")).unwrap();
        let grid = GeoGrid::from_bounds_and_shape(&bounds, goldens::shape(&case["shape"]).unwrap()).unwrap();
        let resolution = case["resolution"].as_array().map(|r| (r[0].as_f64().unwrap(), r[1].as_f64().unwrap()));
        let suggested = Osr.suggest_grid(&grid, &crs(&case, "to"), resolution, None).unwrap();
        assert_eq!(Some(suggested.shape), goldens::shape(&case["suggested"]), "{case}");
        assert_close(&suggested.transform.to_array(), &goldens::numbers(&case["transform"]), &case);
    }
}

#[test]
fn definitions_of_one_system_are_equivalent_and_have_one_canonical_form() {
    let wkt = Osr.describe(&Crs::new("+proj=utm +zone=18 +datum=WGS84 +type=crs")).unwrap();
    assert_eq!(wkt.canonical, Crs::new("EPSG:32618"));
    assert_eq!(wkt.metres_per_unit, Some(1.0));
    for (a, b, same) in [
        ("EPSG:4326", "OGC:CRS84", true),
        ("EPSG:4326", "+proj=longlat +datum=WGS84 +no_defs", true),
        ("EPSG:3857", "ESRI:102100", true),
        ("EPSG:4326", "EPSG:4269", false),
        ("EPSG:32618", "EPSG:32617", false),
    ] {
        assert_eq!(Osr.equivalent(&Crs::new(a), &Crs::new(b)).unwrap(), same, "{a} and {b}");
    }
    let own = Osr.describe(&Crs::new("+proj=laea +lat_0=12 +lon_0=34 +units=km +datum=WGS84")).unwrap();
    assert!(own.canonical.as_str().starts_with("PROJCRS["), "{}", own.canonical.as_str());
    assert_eq!(own.metres_per_unit, Some(1000.0));
    let projjson: Value = serde_json::from_str(&own.projjson).unwrap();
    assert_eq!(projjson["type"], "ProjectedCRS");
}

#[test]
fn utm_zones_know_their_exceptions() {
    for (longitude, latitude, code) in [
        (-75.0, 40.0, "EPSG:32618"),
        (116.3, 40.2, "EPSG:32650"),
        (174.8, -41.3, "EPSG:32760"),
        (-180.0, 10.0, "EPSG:32601"),
        (180.0, 10.0, "EPSG:32601"),
        (5.3, 60.4, "EPSG:32632"),
        (2.9, 60.4, "EPSG:32631"),
        (8.0, 78.0, "EPSG:32631"),
        (15.6, 78.2, "EPSG:32633"),
        (25.0, 78.2, "EPSG:32635"),
        (35.0, 78.2, "EPSG:32637"),
        (15.0, 86.0, "EPSG:5041"),
        (15.0, -86.0, "EPSG:5042"),
    ] {
        let at = BoundingBox::new(longitude, latitude, longitude, latitude, Crs::wgs84()).unwrap();
        assert_eq!(Osr::utm_zone(&at).unwrap(), Crs::new(code), "{longitude}, {latitude}");
    }
}

#[test]
fn what_cannot_be_transformed_is_an_error_that_names_the_system() {
    let error = Osr.describe(&Crs::new("EPSG:999999")).unwrap_err();
    assert!(error.to_string().starts_with("cannot use CRS EPSG:999999: PROJ does not know it"), "{error}");
    let mut points = [WorldPoint::new(0.0, 0.0), WorldPoint::new(0.0, 1e30)];
    let error = Osr.transform_points(&Crs::wgs84(), &Crs::new("EPSG:32618"), &mut points).unwrap_err();
    assert!(matches!(error, Error::Crs { .. }));
    assert_eq!(points[0], WorldPoint::new(0.0, 0.0));
    let dateline = BoundingBox::new(300_000.0, 7_000_000.0, 800_000.0, 8_000_000.0, Crs::new("EPSG:32660")).unwrap();
    let error = Osr.transform_bounds(&dateline, &Crs::wgs84()).unwrap_err();
    assert!(error.to_string().contains("antimeridian"), "{error}");
}
