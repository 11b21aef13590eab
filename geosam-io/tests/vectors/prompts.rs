use std::path::PathBuf;

use gdal::DriverManager;
use gdal::vector::FieldValue::{IntegerValue, RealValue, StringValue};
use geosam_core::{Crs, CrsTransform, Error, Label, WorldPoint};
use geosam_io::{FilePrompt, Osr, PromptFileOptions, read_points, read_prompts};
use tempfile::TempDir;

use super::{add_layer, write_layer};

/// Extension, OGR driver.
const FORMATS: [(&str, &str); 4] =
    [("gpkg", "GPKG"), ("fgb", "FlatGeobuf"), ("shp", "ESRI Shapefile"), ("geojson", "GeoJSON")];

const UTM: &str = "EPSG:32632";

fn file(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

fn defaults() -> PromptFileOptions {
    PromptFileOptions::default()
}

fn read(folder: &TempDir, name: &str) -> Result<Vec<FilePrompt>, Error> {
    read_prompts(file(folder, name), &defaults())
}

/// GeoJSON is in WGS 84: a way there and back in metres; measured 1e-9.
const NEAR: f64 = 1e-6;

fn assert_near(found: &[WorldPoint], expected: &[(f64, f64)]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.x - expected.0).abs() < NEAR && (found.y - expected.1).abs() < NEAR, "{found:?} {expected:?}");
    }
}

#[test]
fn every_format_gives_the_same_clicks() {
    let folder = tempfile::tempdir().unwrap();
    let clicks: [(f64, f64, i32); 3] =
        [(500_010.25, 4_000_020.5, 1), (500_017.0, 4_000_021.0, 0), (500_300.0, 4_000_300.0, 1)];
    for (extension, driver) in FORMATS {
        let path = file(&folder, &format!("clicks.{extension}"));
        let crs = if extension == "geojson" { "EPSG:4326" } else { UTM };
        let mut points = clicks.map(|(x, y, _)| WorldPoint::new(x, y));
        Osr.transform_points(&Crs::new(UTM), &Crs::new(crs), &mut points).unwrap();
        let wkts = points.map(|p| format!("POINT ({} {})", p.x, p.y));
        let fields: Vec<_> = clicks
            .iter()
            .map(|(_, _, label)| {
                [("name", StringValue(format!("tree {label}"))), ("Label", IntegerValue(*label)), ("h", RealValue(2.5))]
            })
            .collect();
        let features: Vec<_> = wkts.iter().zip(&fields).map(|(wkt, fields)| (wkt.as_str(), &fields[..])).collect();
        write_layer(&path, driver, Some(crs), &features);

        let mut prompts = read_prompts(&path, &defaults()).unwrap();
        // FlatGeobuf sorts by place.
        let utm = Crs::new(UTM);
        let place = |prompt: &FilePrompt| prompt.prompt.to_crs(&utm, &Osr).unwrap().center();
        prompts.sort_by(|a, b| place(a).x.total_cmp(&place(b).x));
        assert_eq!(prompts.len(), 3, "{extension}");
        for (prompt, (x, y, label)) in prompts.iter().zip(clicks) {
            assert_eq!(prompt.prompt.require_crs().unwrap(), &Crs::new(crs), "{extension}");
            let points = prompt.prompt.to_crs(&utm, &Osr).unwrap();
            let points = points.points().unwrap();
            assert_near(points.coordinates(), &[(x, y)]);
            assert_eq!(points.labels(), [Label::try_from(i64::from(label)).unwrap()]);
            assert_eq!(prompt.properties["name"], format!("tree {label}"));
            assert_eq!(prompt.properties["h"], 2.5);
        }
        let ids: std::collections::BTreeSet<_> = prompts.iter().map(|prompt| prompt.id).collect();
        assert_eq!(ids.len(), 3, "{extension}: {ids:?}");

        let all = read_points(&path, &defaults()).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all.labels().iter().filter(|label| **label == Label::Background).count(), 1);
    }
}

#[test]
fn a_projected_crs_without_a_code_survives() {
    let folder = tempfile::tempdir().unwrap();
    let crs = "+proj=laea +lat_0=52 +lon_0=10.5 +x_0=0 +y_0=0 +ellps=GRS80 +units=m";
    write_layer(&file(&folder, "a.gpkg"), "GPKG", Some(crs), &[("POINT (1000 2000)", &[])]);
    let prompts = read(&folder, "a.gpkg").unwrap();
    let mut point = [prompts[0].prompt.center()];
    Osr.transform_points(prompts[0].prompt.require_crs().unwrap(), &Crs::wgs84(), &mut point).unwrap();
    let mut expected = [WorldPoint::new(1000.0, 2000.0)];
    Osr.transform_points(&Crs::new(crs), &Crs::wgs84(), &mut expected).unwrap();
    assert!((point[0].x - expected[0].x).abs() < 1e-9 && (point[0].y - expected[0].y).abs() < 1e-9);
}

#[test]
fn a_multi_point_is_one_object_and_a_polygon_a_box() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "mixed.geojson");
    std::fs::write(
        &path,
        r#"{"type": "FeatureCollection", "features": [
        {"type": "Feature", "id": 7, "properties": {"label": 0},
         "geometry": {"type": "MultiPoint", "coordinates": [[9.0, 36.0], [9.5, 36.5, 12.0]]}},
        {"type": "Feature", "id": 9, "properties": {"label": "not a number, and not looked at"},
         "geometry": {"type": "Polygon", "coordinates": [[[9, 36], [9.2, 36.1], [9.1, 36.4], [9, 36]]]}},
        {"type": "Feature", "id": 4, "properties": {},
         "geometry": {"type": "MultiPolygon", "coordinates":
            [[[[9, 36], [10, 36], [10, 37], [9, 36]]], [[[12, 40], [13, 40], [13, 41], [12, 40]]]]}}]}"#,
    )
    .unwrap();
    let prompts = read_prompts(&path, &defaults()).unwrap();
    assert_eq!(prompts.iter().map(|prompt| prompt.id).collect::<Vec<_>>(), [7, 9, 4]);
    let clicks = prompts[0].prompt.points().unwrap();
    assert_eq!(clicks.labels(), [Label::Background; 2]);
    assert_eq!(clicks.coordinates()[1], WorldPoint::new(9.5, 36.5));
    assert_eq!(clicks.crs(), Some(&Crs::wgs84()));
    let bounds = |index: usize| {
        let b = prompts[index].prompt.bbox().unwrap();
        [b.left, b.bottom, b.right, b.top]
    };
    assert_eq!(bounds(1), [9.0, 36.0, 9.2, 36.4]);
    assert_eq!(bounds(2), [9.0, 36.0, 13.0, 41.0]);
    assert!(prompts[1].prompt.points().is_none());
    assert!(matches!(read_points(&path, &defaults()), Err(Error::InvalidFile { .. })));
}

#[test]
fn features_of_one_object_are_grouped() {
    let folder = tempfile::tempdir().unwrap();
    let object = |id, label| [("object", IntegerValue(id)), ("label", IntegerValue(label))];
    write_layer(
        &file(&folder, "a.gpkg"),
        "GPKG",
        Some(UTM),
        &[
            ("POINT (1 1)", &object(5, 1)),
            ("POINT (100 100)", &object(6, 1)),
            ("POINT (2 2)", &object(5, 0)),
            ("POLYGON ((90 90, 120 90, 120 130, 90 90))", &object(6, 1)),
            ("POINT (7 7)", &[("label", IntegerValue(1))]),
        ],
    );
    let prompts = read(&folder, "a.gpkg").unwrap();
    assert_eq!(prompts.len(), 3);
    assert_eq!(prompts[0].prompt.points().unwrap().labels(), [Label::Foreground, Label::Background]);
    assert_eq!(prompts[1].prompt.points().unwrap().len(), 1);
    assert_eq!(prompts[1].prompt.bbox().unwrap().top, 130.0);
    assert_eq!(prompts[1].prompt.require_crs().unwrap(), &Crs::new(UTM));
    assert_eq!(prompts[2].prompt.points().unwrap().coordinates(), [WorldPoint::new(7.0, 7.0)]);
    assert_eq!(prompts[1].properties["object"], 6);
}

#[test]
fn a_value_that_is_left_out_is_no_zero() {
    let folder = tempfile::tempdir().unwrap();
    for (extension, driver) in FORMATS {
        let name = format!("a.{extension}");
        let fields = [("label", IntegerValue(1)), ("object", IntegerValue(0))];
        let features: [(&str, &[_]); 2] = [("POINT (1 1)", &fields), ("POINT (2 2)", &fields[..1])];
        write_layer(&file(&folder, &name), driver, Some("EPSG:4326"), &features);
        let prompts = read(&folder, &name).unwrap();
        assert_eq!(prompts.len(), 2, "{extension}");

        let features: [(&str, &[_]); 2] = [("POINT (1 1)", &fields), ("POINT (2 2)", &fields[1..])];
        write_layer(&file(&folder, &format!("b.{extension}")), driver, Some("EPSG:4326"), &features);
        let error = read(&folder, &format!("b.{extension}")).unwrap_err();
        assert!(error.to_string().contains("null in feature"), "{extension}: {error}");
    }
}

#[test]
fn a_class_called_group_makes_no_object_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let group = |name: &str| [("group", StringValue(name.to_string()))];
    write_layer(
        &file(&folder, "a.gpkg"),
        "GPKG",
        Some(UTM),
        &[("POINT (1 1)", &group("oak")), ("POINT (2 2)", &group("oak"))],
    );
    assert_eq!(read(&folder, "a.gpkg").unwrap().len(), 2);
    let options = PromptFileOptions { group_field: Some("group".to_string()), ..defaults() };
    assert_eq!(read_prompts(file(&folder, "a.gpkg"), &options).unwrap().len(), 1);
}

#[test]
fn labels_other_than_0_and_1_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (index, label) in [IntegerValue(2), RealValue(0.5), IntegerValue(-1)].into_iter().enumerate() {
        let name = format!("{index}.gpkg");
        let fields = [("label", label)];
        write_layer(&file(&folder, &name), "GPKG", Some(UTM), &[("POINT (1 1)", &fields)]);
        let error = read(&folder, &name).unwrap_err();
        assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
        assert!(error.to_string().contains("feature 1") && error.to_string().contains("field label"), "{error}");
    }
    let fields = |label: &str| [("label", StringValue(label.into()))];
    let (tree, background) = (fields("tree"), fields("0"));
    let features: [(&str, &[_]); 2] = [("POINT (1 1)", &tree), ("POINT (2 2)", &background)];
    write_layer(&file(&folder, "mixed.gpkg"), "GPKG", Some(UTM), &features);
    let error = read(&folder, "mixed.gpkg").unwrap_err().to_string();
    assert!(error.contains("\"tree\" in feature 1"), "{error}");
    let text = [("label", StringValue(" 0 ".into()))];
    write_layer(&file(&folder, "text.gpkg"), "GPKG", Some(UTM), &[("POINT (1 1)", &text)]);
    assert_eq!(read(&folder, "text.gpkg").unwrap()[0].prompt.points().unwrap().labels(), [Label::Background]);
}

#[test]
fn texts_that_are_no_labels_are_names_unless_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let fields = [("label", StringValue("lake A".into()))];
    write_layer(&file(&folder, "a.gpkg"), "GPKG", Some(UTM), &[("POINT (2 2)", &[]), ("POINT (1 1)", &fields)]);
    let prompts = read(&folder, "a.gpkg").unwrap();
    assert_eq!(prompts.len(), 2);
    assert!(prompts.iter().all(|prompt| prompt.prompt.points().unwrap().labels() == [Label::Foreground]));
    assert_eq!(prompts[1].properties["label"], "lake A");
    let named = PromptFileOptions { label_field: Some("label".to_string()), ..defaults() };
    let error = read_prompts(file(&folder, "a.gpkg"), &named).unwrap_err().to_string();
    assert!(error.contains("in the field label, found null in feature 1"), "{error}");
}

#[test]
fn a_field_that_is_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let fields = [("kind", IntegerValue(0)), ("label", IntegerValue(1))];
    write_layer(&file(&folder, "a.gpkg"), "GPKG", Some(UTM), &[("POINT (1 1)", &fields)]);
    let named = |name: &str| PromptFileOptions { label_field: Some(name.to_string()), ..defaults() };
    let points = read_points(file(&folder, "a.gpkg"), &named("kind")).unwrap();
    assert_eq!(points.labels(), [Label::Background]);
    let error = read_points(file(&folder, "a.gpkg"), &named("sort")).unwrap_err();
    assert!(matches!(&error, Error::InvalidArgument { expected, .. } if expected.contains("kind, label")), "{error}");
}

#[test]
fn empty_layers_lines_and_missing_geometries_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_layer(&file(&folder, "empty.gpkg"), "GPKG", Some(UTM), &[]);
    write_layer(&file(&folder, "lines.gpkg"), "GPKG", Some(UTM), &[("LINESTRING (0 0, 1 1)", &[])]);
    write_layer(&file(&folder, "null.gpkg"), "GPKG", Some(UTM), &[("POINT (1 1)", &[]), ("POINT EMPTY", &[])]);
    for (name, found) in [("empty", "none"), ("lines", "linestring in feature 1"), ("null", "no geometry in feature 2")]
    {
        let error = read(&folder, &format!("{name}.gpkg")).unwrap_err();
        assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
        assert!(error.to_string().contains(found), "{error}");
    }
}

#[test]
fn a_file_that_names_its_crs_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    write_layer(&file(&folder, "a.gpkg"), "GPKG", Some(UTM), &[("POINT (500010 4000020)", &[])]);
    let options = PromptFileOptions { crs: Some(Crs::wgs84()), ..defaults() };
    let prompts = read_prompts(file(&folder, "a.gpkg"), &options).unwrap();
    assert_eq!(prompts[0].prompt.require_crs().unwrap(), &Crs::new(UTM));
}

#[test]
fn a_layer_without_crs_needs_one_from_the_options() {
    let folder = tempfile::tempdir().unwrap();
    for (extension, driver) in &FORMATS[..3] {
        let name = format!("a.{extension}");
        write_layer(&file(&folder, &name), driver, None, &[("POINT (500010 4000020)", &[])]);
        let error = read(&folder, &name).unwrap_err();
        assert!(matches!(error, Error::MissingCrs { .. }), "{extension}: {error}");
        let options = PromptFileOptions { crs: Some(Crs::new(UTM)), ..defaults() };
        let prompts = read_prompts(file(&folder, &name), &options).unwrap();
        assert_eq!(prompts[0].prompt.require_crs().unwrap(), &Crs::new(UTM));
    }
}

#[test]
fn of_several_layers_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "a.gpkg");
    let mut dataset = DriverManager::get_driver_by_name("GPKG").unwrap().create_vector_only(&path).unwrap();
    add_layer(&mut dataset, "trees", Some(UTM), &[("POINT (1 1)", &[])]);
    add_layer(&mut dataset, "roofs", Some("EPSG:3857"), &[("POINT (2 2)", &[]), ("POINT (3 3)", &[])]);
    dataset.close().unwrap();
    let error = read(&folder, "a.gpkg").unwrap_err().to_string();
    assert!(error.contains("trees, roofs"), "{error}");
    let named = |name: &str| PromptFileOptions { layer: Some(name.to_string()), ..defaults() };
    let prompts = read_prompts(&path, &named("roofs")).unwrap();
    assert_eq!((prompts.len(), prompts[0].prompt.require_crs().unwrap()), (2, &Crs::new("EPSG:3857")));
    assert!(matches!(read_prompts(&path, &named("lakes")), Err(Error::InvalidArgument { .. })));
}

#[test]
fn tables_have_coordinates_or_wkt() {
    let folder = tempfile::tempdir().unwrap();
    let options = PromptFileOptions { crs: Some(Crs::wgs84()), ..defaults() };
    let read = |text: &str| {
        let path = file(&folder, "a.csv");
        std::fs::write(&path, text).unwrap();
        read_prompts(&path, &options)
    };
    let prompts =
        read("name,Longitude,Latitude,label,prompt_id\na,9.25,36.125,1,3\nb,9.5,36.25,0,3\nc,9.75,36.5,1,4\n").unwrap();
    assert_eq!(prompts.len(), 2);
    let points = prompts[0].prompt.points().unwrap();
    assert_eq!(points.coordinates(), [WorldPoint::new(9.25, 36.125), WorldPoint::new(9.5, 36.25)]);
    assert_eq!(points.labels(), [Label::Foreground, Label::Background]);
    assert_eq!(prompts[1].properties["name"], "c");

    let prompts = read("id,wkt\n1,\"POLYGON ((9 36, 10 36, 10 37, 9 36))\"\n2,POINT (9 36)\n").unwrap();
    assert_eq!(prompts[0].prompt.bbox().unwrap().right, 10.0);
    assert_eq!(prompts[1].prompt.points().unwrap().len(), 1);

    assert!(matches!(read("a,b\n1,2\n"), Err(Error::InvalidFile { .. })));
    assert!(matches!(read("x,y\n9,36\n,36\n"), Err(Error::InvalidFile { .. })));
    assert!(matches!(read("x,y\n9,36\nwest,36\n"), Err(Error::InvalidFile { .. })));
    let error = read_prompts(file(&folder, "a.csv"), &defaults()).unwrap_err();
    assert!(matches!(error, Error::MissingCrs { .. }), "{error}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(file(&folder, "noise.gpkg"), [7_u8; 2000]).unwrap();
    std::fs::write(file(&folder, "cut.geojson"), r#"{"type": "FeatureCollection", "features": [{"type": "Fea"#)
        .unwrap();
    for name in ["absent.gpkg", "noise.gpkg", "cut.geojson"] {
        let error = read(&folder, name).unwrap_err();
        assert!(matches!(error, Error::Dataset { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_truncated_file_is_not_read_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let wkts: Vec<_> = (0..500).map(|i| format!("POINT ({i} {i})")).collect();
    let features: Vec<_> = wkts.iter().map(|wkt| (wkt.as_str(), &[][..])).collect();
    let path = file(&folder, "a.fgb");
    write_layer(&path, "FlatGeobuf", Some(UTM), &features);
    assert_eq!(read(&folder, "a.fgb").unwrap().len(), 500);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 2000]).unwrap();
    let error = read(&folder, "a.fgb").unwrap_err();
    assert!(matches!(error, Error::InvalidFile { .. } | Error::Dataset { .. }), "{error}");
}
