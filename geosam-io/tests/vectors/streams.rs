//! Files that are written a few features or masks at a time.

use std::path::Path;

use gdal::vector::LayerAccess;
use gdal::{Dataset, Metadata};
use geo_types::polygon;
use geosam_core::{Affine, Crs, Error, GeoGrid, MaskFeatures, MaskPolygon, Shape, Window};
use geosam_io::{LabelWriter, VectorWriter, write_vector};
use serde_json::{Value, json};

use crate::polygons::two_polygons;

const UTM: &str = "EPSG:32632";

/// A square of its own for each number from `first` on.
fn squares(first: usize, count: usize) -> MaskFeatures {
    let square = |number: usize| {
        let x = 500_000.0 + 10.0 * number as f64;
        let Value::Object(properties) = json!({"id": number, "score": 0.5, "name": format!("no. {number}")}) else {
            panic!("an object")
        };
        let polygon = polygon![(x: x, y: 4e6), (x: x + 8.0, y: 4e6), (x: x + 8.0, y: 4e6 + 8.0), (x: x, y: 4e6 + 8.0)];
        MaskPolygon { polygon, properties }
    };
    MaskFeatures { crs: Crs::new(UTM), features: (first..first + count).map(square).collect() }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

#[test]
fn written_bit_by_bit_a_file_is_what_it_is_written_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.geojson", "a.gpkg", "a.fgb"] {
        let (streamed, whole) = (folder.path().join(name), folder.path().join(format!("whole-{name}")));
        let mut writer = VectorWriter::create(&streamed, &Crs::new(UTM)).unwrap();
        // More than are written together.
        for first in (0..2500).step_by(7) {
            writer.write(squares(first, 7.min(2500 - first))).unwrap();
        }
        assert!(!streamed.exists(), "{name}");
        writer.finish().unwrap();
        write_vector(&whole, &squares(0, 2500)).unwrap();
        if name == "a.geojson" {
            assert!(std::fs::read(&streamed).unwrap() == std::fs::read(&whole).unwrap());
        }
        let read = |path: &Path| -> Vec<_> {
            let dataset = Dataset::open(path).unwrap();
            let mut layer = dataset.layer(0).unwrap();
            let row = |feature: gdal::vector::Feature<'_>| {
                let fields: Vec<_> = feature.fields().map(|(name, value)| (name, format!("{value:?}"))).collect();
                (feature.geometry().unwrap().wkt().unwrap(), fields)
            };
            let rows: Vec<_> = layer.features().map(row).collect();
            rows
        };
        assert_eq!(read(&streamed).len(), 2500, "{name}");
        assert!(read(&streamed) == read(&whole), "{name}");
    }
    let expected = ["a.fgb", "a.geojson", "a.gpkg", "whole-a.fgb", "whole-a.geojson", "whole-a.gpkg"];
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn no_features_make_a_valid_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.geojson", "a.gpkg", "a.fgb"] {
        let path = folder.path().join(name);
        VectorWriter::create(&path, &Crs::new(UTM)).unwrap().finish().unwrap();
        assert_eq!(Dataset::open(&path).unwrap().layer(0).unwrap().feature_count(), 0, "{name}");
    }
    serde_json::from_slice::<Value>(&std::fs::read(folder.path().join("a.geojson")).unwrap()).unwrap();
}

#[test]
fn a_writer_that_is_dropped_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.geojson", "a.gpkg", "a.fgb"] {
        let path = folder.path().join(name);
        std::fs::write(&path, b"old").unwrap();
        let mut writer = VectorWriter::create(&path, &Crs::new(UTM)).unwrap();
        writer.write(squares(0, 2000)).unwrap();
        drop(writer);
        assert_eq!(std::fs::read(&path).unwrap(), b"old", "{name}");
        assert_eq!(names(folder.path()), [name]);
        // And one that is finished replaces it, with what described it.
        std::fs::write(folder.path().join(format!("{name}-wal")), b"stale").unwrap();
        let mut writer = VectorWriter::create(&path, &Crs::new(UTM)).unwrap();
        writer.write(squares(0, 3)).unwrap();
        writer.finish().unwrap();
        assert_eq!(Dataset::open(&path).unwrap().layer(0).unwrap().feature_count(), 3, "{name}");
        let _ = std::fs::remove_file(folder.path().join(format!("{name}-wal")));
        assert_eq!(names(folder.path()), [name]);
        std::fs::remove_file(path).unwrap();
    }
    let path = folder.path().join("a.tif");
    std::fs::write(&path, b"old").unwrap();
    let mut writer = LabelWriter::create(&path, &grid()).unwrap();
    writer.write(1, Window::whole(SHAPE), &vec![true; SHAPE.area()]).unwrap();
    drop(writer);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["a.tif"]);
}

#[test]
fn features_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gpkg");
    let mut writer = VectorWriter::create(&path, &Crs::new(UTM)).unwrap();
    let error = writer.write(MaskFeatures { crs: Crs::wgs84(), features: Vec::new() }).unwrap_err();
    assert!(matches!(error, Error::Crs { .. }), "{error}");
    writer.write(squares(0, 1024)).unwrap();
    // These come too late for columns of their own, or for wider ones.
    for (key, value) in [("area", json!(2.5)), ("id", json!(1.5)), ("score", json!("high"))] {
        let mut late = squares(1024, 1024);
        late.features[1000].properties.insert(key.to_string(), value.clone());
        let error = writer.write(late).unwrap_err();
        assert!(error.to_string().contains(&format!("{key}: {value}")), "{error}");
        assert!(error.to_string().contains("id, name, score"), "{error}");
    }
    // Whole numbers are reals, too, and what is missing is null.
    let mut late = squares(1024, 1024);
    late.features[0].properties.insert("score".to_string(), json!(1));
    late.features[1].properties.remove("name");
    writer.write(late).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(error.to_string().contains("a.gpkg: a part of it could not be written"), "{error}");
    assert!(names(folder.path()).is_empty());

    let create = |name: &str, crs: &str| VectorWriter::create(folder.path().join(name), &Crs::new(crs)).unwrap_err();
    assert!(create("a.shp", UTM).to_string().contains(".gpkg"));
    assert!(matches!(create("a.docx", UTM), Error::InvalidArgument { .. }));
    assert!(matches!(create("a.gpkg", "EPSG:0"), Error::Crs { .. }));
    assert!(matches!(create("none/a.gpkg", UTM), Error::Io { path, .. } if path.ends_with("none/a.gpkg")));
    let columns = VectorWriter::create(&path, &Crs::new(UTM))
        .map(|mut writer| writer.write(two_polygons()).map(|()| writer.finish()));
    columns.unwrap().unwrap().unwrap();
    assert_eq!(names(folder.path()), ["a.gpkg"]);
}

const SHAPE: Shape = Shape::new(900, 1100);

fn grid() -> GeoGrid {
    GeoGrid::new(Affine::from_origin(500_000.25, 4_000_000.5, 0.5, 0.25), SHAPE, Crs::new(UTM)).unwrap()
}

#[test]
fn labels_are_read_back_with_the_smaller_mask_on_top() {
    let folder = tempfile::tempdir().unwrap();
    // Across tiles of 256, inside it, over its edge, and a large one that comes last; one label that no float holds.
    let masks = [
        (1_u32, Window::new(100, 100, Shape::new(400, 300)), None),
        (2, Window::new(200, 150, Shape::square(50)), None),
        (3, Window::new(390, 450, Shape::new(60, 20)), Some(3)),
        (16_777_217, Window::new(50, 50, Shape::new(800, 1000)), Some(7)),
    ];
    let inside = |window: Window, every: Option<usize>| -> Vec<bool> {
        (0..window.shape.area()).map(|at| every.is_none_or(|every| at % every != 0)).collect()
    };
    let mut expected = vec![0_u32; SHAPE.area()];
    // From the largest to the smallest.
    for (label, window, every) in [masks[3], masks[0], masks[1], masks[2]] {
        for (at, _) in inside(window, every).iter().enumerate().filter(|(_, inside)| **inside) {
            let (row, column) =
                (window.row as usize + at / window.shape.width, window.column as usize + at % window.shape.width);
            expected[row * SHAPE.width + column] = label;
        }
    }
    // Label 3 is smaller than 2.
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let path = folder.path().join("labels.tif");
        let mut writer = LabelWriter::create(&path, &grid()).unwrap();
        for (label, window, every) in order.map(|index| masks[index]) {
            writer.write(label, window, &inside(window, every)).unwrap();
        }
        writer.finish().unwrap();
        let dataset = Dataset::open(&path).unwrap();
        assert_eq!((dataset.raster_size(), dataset.raster_count()), ((1100, 900), 1));
        assert_eq!(dataset.geo_transform().unwrap(), [500_000.25, 0.5, 0.0, 4_000_000.5, 0.0, -0.25]);
        assert_eq!(dataset.metadata_item("LAYOUT", "IMAGE_STRUCTURE").as_deref(), Some("COG"));
        let band = dataset.rasterband(1).unwrap();
        assert_eq!((band.band_type(), band.no_data_value()), (gdal::raster::GdalDataType::UInt32, Some(0.0)));
        let labels = band.read_as::<u32>((0, 0), (1100, 900), (1100, 900), None).unwrap();
        assert!(labels.data() == expected, "{order:?}");
        let overview = band.overview(0).unwrap();
        let size = overview.size();
        let labels = overview.read_as::<u32>((0, 0), size, size, None).unwrap();
        // GDAL brings overviews through f32.
        let known = |label: u32| label == 0 || masks.iter().any(|(known, ..)| (*known as f32) == label as f32);
        assert!(labels.data().iter().all(|label| known(*label)));
        assert_eq!(names(folder.path()), ["labels.tif"]);
    }
}

#[test]
fn masks_that_do_not_fit_the_labels_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.tif");
    let mut writer = LabelWriter::create(&path, &grid()).unwrap();
    let window = Window::new(0, 0, Shape::square(2));
    assert!(matches!(writer.write(0, window, &[true; 4]), Err(Error::InvalidArgument { .. })));
    assert!(matches!(writer.write(1, window, &[true; 5]), Err(Error::InvalidArgument { .. })));
    let off = Window::new(1099, 0, Shape::square(2));
    assert!(matches!(writer.write(1, off, &[true; 4]), Err(Error::OutOfBounds { .. })));
    writer.write(1, window, &[true; 4]).unwrap();
    assert!(matches!(writer.write(1, window, &[true; 4]), Err(Error::InvalidArgument { .. })));
    drop(writer);
    let create = |name: &str| LabelWriter::create(folder.path().join(name), &grid()).unwrap_err();
    assert!(matches!(create("labels.png"), Error::InvalidArgument { .. }));
    assert!(matches!(create("none/labels.tif"), Error::Io { .. }));
    assert!(names(folder.path()).is_empty());
}
