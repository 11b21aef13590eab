//! Numbers of rasterio, NumPy and Python geosam; `goldens/make_goldens.py` wrote them.

use std::collections::BTreeSet;

use geosam_core::{
    Affine, BandRange, BoundingBox, Crs, CrsDescription, CrsTransform, GeoGrid, GridGeoSampler, MaskVectorizer, Masks,
    MemoryRaster, NoProgress, PixelAnchor, Pixels, RasterSample, Result, Shape, ValueRange, ValueRangeChoice,
    VectorizeOptions, Window, WorldPoint,
};
use serde_json::Value;

/// Rows and columns: rasterio's matrix product may fuse multiplication and addition. Measured: 5.9e-11.
const PIXEL_TOLERANCE: f64 = 1e-9;
/// Web Mercator in closed form beside PROJ's, in metres; measured 1.4e-12.
const MERCATOR_TOLERANCE: f64 = 1e-8;

fn load(name: &str) -> Value {
    let path = format!("{}/tests/goldens/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    // NaN and infinity are strings: JSON does not know them.
    let number = |v: &Value| v.as_f64().or_else(|| v.as_str()?.parse().ok()).unwrap();
    value.as_array().unwrap().iter().map(number).collect()
}

fn six(value: &Value) -> [f64; 6] {
    numbers(value).try_into().unwrap()
}

fn shape(value: &Value) -> Shape {
    let [height, width] = numbers(value)[..] else { panic!("{value} is no shape") };
    Shape::new(height as usize, width as usize)
}

fn bounds(value: &Value, crs: &Crs) -> BoundingBox {
    let [left, bottom, right, top] = numbers(value)[..] else { panic!("{value} are no bounds") };
    BoundingBox::new(left, bottom, right, top, crs.clone()).unwrap()
}

#[test]
fn grids_are_those_of_python_geosam() {
    let (golden, crs) = (load("grids.json"), Crs::new("EPSG:32618"));
    let mut compared = 0;
    for case in golden["grids"].as_array().unwrap() {
        let grid = GeoGrid::new(Affine::new(six(&case["transform"])), shape(&case["shape"]), crs.clone()).unwrap();
        assert_eq!(grid.bounds(), bounds(&case["bounds"], &crs));
        let [xs, ys, rows, columns] = ["xs", "ys", "rows", "cols"].map(|key| numbers(&case[key]));
        for ((x, y), (row, column)) in xs.into_iter().zip(ys).zip(rows.into_iter().zip(columns)) {
            let p = grid.to_pixel(WorldPoint::new(x, y));
            assert!((p.row - row).abs() < PIXEL_TOLERANCE, "{p:?}: row {row}");
            assert!((p.column - column).abs() < PIXEL_TOLERANCE, "{p:?}: column {column}");
            compared += 1;
        }
        for view in case["views"].as_array().unwrap() {
            let found = grid.to_view(&bounds(&view["roi"], &crs)).unwrap();
            assert_eq!((found.shape, found.transform.to_array()), (shape(&view["shape"]), six(&view["transform"])));
        }
        for window in case["windows"].as_array().unwrap() {
            let [row, column, height, width] = numbers(&window["window"])[..] else { panic!("{window}") };
            let at = Window::new(column as i64, row as i64, Shape::new(height as usize, width as usize));
            let found = grid.window(at).unwrap();
            assert_eq!(found.transform.to_array(), six(&window["transform"]));
            assert_eq!(found.bounds(), bounds(&window["bounds"], &crs));
        }
        for center in case["centers"].as_array().unwrap() {
            let [x, y] = numbers(&center["center"])[..] else { panic!("{center}") };
            let window = grid.window_from_center(WorldPoint::new(x, y), Shape::new(256, 300));
            assert_eq!(grid.window(window).unwrap().bounds(), bounds(&center["bounds"], &crs));
        }
    }
    assert_eq!(compared, 160);
}

#[test]
fn grids_from_bounds_and_coordinates() {
    let (golden, crs) = (load("grids.json"), Crs::new("EPSG:32618"));
    for case in golden["from_bounds"].as_array().unwrap() {
        let (bounds, res) = (bounds(&case["bounds"], &crs), case["res"].as_f64().unwrap());
        let by_res = GeoGrid::from_bounds_and_resolution(&bounds, res, res).unwrap();
        assert_eq!(
            (by_res.shape, by_res.transform.to_array()),
            (shape(&case["res_shape"]), six(&case["res_transform"]))
        );
        let by_shape = GeoGrid::from_bounds_and_shape(&bounds, Shape::new(77, 133)).unwrap();
        assert_eq!(by_shape.transform.to_array(), six(&case["shape_transform"]));
    }
    for case in golden["from_xy"].as_array().unwrap() {
        let anchor = match case["loc"].as_str().unwrap() {
            "center" => PixelAnchor::Center,
            "ul" => PixelAnchor::UpperLeft,
            "lr" => PixelAnchor::LowerRight,
            other => panic!("{other}"),
        };
        let grid = GeoGrid::from_xy(&numbers(&case["x"]), &numbers(&case["y"]), crs.clone(), anchor).unwrap();
        assert_eq!(grid.transform.to_array(), six(&case["transform"]));
        let (x, y) = grid.axes(anchor);
        assert!(x.iter().zip(numbers(&case["x"])).all(|(a, b)| (a - b).abs() < 1e-9));
        assert!(y.iter().zip(numbers(&case["y"])).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}

#[test]
fn windows_start_where_pythons_do() {
    let golden = load("grids.json");
    for case in golden["window_starts"].as_array().unwrap() {
        let [size, chip, stride] = ["size", "chip", "stride"].map(|key| case[key].as_u64().unwrap() as usize);
        let sampler =
            GridGeoSampler::new(Window::whole(Shape::new(size, size + 3)), Shape::square(chip), Shape::square(stride))
                .unwrap();
        let rows: BTreeSet<i64> = sampler.windows().map(|window| window.row).collect();
        let expected: BTreeSet<i64> = numbers(&case["starts"]).into_iter().map(|start| start as i64).collect();
        assert_eq!(rows, expected, "size {size}, chip {chip}, stride {stride}");
        assert!(sampler.windows().all(|window| window.clip(Shape::new(size, size + 3)) == Some(window)));
        assert_eq!(sampler.windows().len(), sampler.len());
    }
}

/// WGS 84 to Web Mercator, in closed form.
#[derive(Debug)]
struct WebMercator;

impl CrsTransform for WebMercator {
    fn describe(&self, _: &Crs) -> Result<CrsDescription> {
        unimplemented!("not asked for here")
    }

    fn equivalent(&self, a: &Crs, b: &Crs) -> Result<bool> {
        Ok(a == b)
    }

    fn transform_points(&self, _: &Crs, _: &Crs, points: &mut [WorldPoint]) -> Result<()> {
        let radius = 6_378_137.0;
        for p in points {
            let latitude = p.y.to_radians();
            *p = WorldPoint::new(p.x.to_radians() * radius, latitude.tan().asinh() * radius);
        }
        Ok(())
    }

    fn transform_bounds(&self, _: &BoundingBox, _: &Crs) -> Result<BoundingBox> {
        unimplemented!("not asked for here")
    }
}

#[test]
fn suggested_grids_are_rasterios() {
    let golden = load("grids.json");
    for case in golden["mercator"].as_array().unwrap() {
        let grid =
            GeoGrid::from_bounds_and_shape(&bounds(&case["bounds"], &Crs::wgs84()), shape(&case["shape"])).unwrap();
        let resolution = case["resolution"].as_array().map(|r| (r[0].as_f64().unwrap(), r[1].as_f64().unwrap()));
        let wanted = case["dst_shape"].as_array().map(|_| shape(&case["dst_shape"]));
        let found = grid.to_crs(&Crs::new("EPSG:3857"), &WebMercator, resolution, wanted).unwrap();
        assert_eq!(found.shape, shape(&case["result_shape"]));
        for (found, expected) in found.transform.to_array().into_iter().zip(six(&case["transform"])) {
            assert!((found - expected).abs() < MERCATOR_TOLERANCE, "{found} is not {expected}");
        }
    }
}

fn pixels(kind: &str, values: &[f64]) -> Pixels {
    match kind {
        "uint8" => Pixels::U8(values.iter().map(|v| *v as u8).collect()),
        "uint16" => Pixels::U16(values.iter().map(|v| *v as u16).collect()),
        "int16" => Pixels::I16(values.iter().map(|v| *v as i16).collect()),
        "uint32" => Pixels::U32(values.iter().map(|v| *v as u32).collect()),
        "int32" => Pixels::I32(values.iter().map(|v| *v as i32).collect()),
        "float32" => Pixels::F32(values.iter().map(|v| *v as f32).collect()),
        "float64" => Pixels::F64(values.to_vec()),
        other => panic!("{other}"),
    }
}

#[test]
fn bytes_are_those_of_python_geosam() {
    let golden = load("stretch.json");
    for case in golden["cases"].as_array().unwrap() {
        let (kind, values) = (case["type"].as_str().unwrap(), numbers(&case["values"]));
        let grid = GeoGrid::new(Affine::from_origin(0.0, 0.0, 1.0, 1.0), Shape::square(20), Crs::wgs84()).unwrap();
        let sample =
            RasterSample { pixels: pixels(kind, &values), bands: 1, grid, valid: None, source_path: String::new() };
        let range = match case["range"].as_array() {
            Some(r) => {
                ValueRange::PerBand(vec![BandRange { min: r[0].as_f64().unwrap(), max: r[1].as_f64().unwrap() }])
            }
            None => ValueRange::PerChip,
        };
        let image = sample.to_model_image(&range).unwrap();
        let first_channel: Vec<f64> = image.rgb().iter().step_by(3).map(|byte| f64::from(*byte)).collect();
        assert_eq!(first_channel, numbers(&case["bytes"]), "{kind}, {range:?}");
    }
}

#[test]
fn percentiles_are_numpys() {
    let golden = load("percentiles.json");
    for case in golden["cases"].as_array().unwrap() {
        let (kind, values) = (case["type"].as_str().unwrap(), numbers(&case["values"]));
        let grid = GeoGrid::new(Affine::from_origin(0.0, 0.0, 1.0, 1.0), Shape::new(15, 20), Crs::wgs84()).unwrap();
        let raster = MemoryRaster::new(pixels(kind, &values), grid).unwrap();
        let (percents, expected) = (numbers(&case["percents"]), numbers(&case["result"]));
        for i in 0..percents.len() - 1 {
            let choice = ValueRangeChoice::Percentiles { low: percents[i], high: percents[i + 1], joint: false };
            let range =
                geosam_core::statistics::value_range(&raster, choice, Window::whole(Shape::new(15, 20)), &NoProgress)
                    .unwrap();
            let ValueRange::PerBand(range) = range else { panic!("{range:?}") };
            for (found, expected) in [(range[0].min, expected[i]), (range[0].max, expected[i + 1])] {
                assert_eq!(found, expected, "{kind}");
            }
        }
    }
}

#[test]
fn polygons_are_rasterios() {
    let golden = load("polygons.json");
    for case in golden["cases"].as_array().unwrap() {
        let mask: Vec<bool> = case["mask"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_str().unwrap().chars())
            .map(|c| c == '#')
            .collect();
        let grid =
            GeoGrid::new(Affine::from_origin(1000.0, 5000.0, 2.0, 2.0), shape(&case["shape"]), Crs::wgs84()).unwrap();
        let masks = Masks::new(grid.shape, mask).unwrap();
        let polygons = MaskVectorizer::new(&masks, &grid).unwrap().polygons(&VectorizeOptions::default()).unwrap();
        let mut found: Vec<Vec<Vec<[i64; 2]>>> = polygons
            .iter()
            .map(|polygon| {
                let mut holes: Vec<_> = polygon.interiors().iter().map(|ring| canonical(ring, &grid)).collect();
                holes.sort();
                std::iter::once(canonical(polygon.exterior(), &grid)).chain(holes).collect()
            })
            .collect();
        found.sort();
        let expected: Vec<Vec<Vec<[i64; 2]>>> = serde_json::from_value(case["polygons"].clone()).unwrap();
        assert_eq!(found, expected);
    }
}

/// As `canonical` of `make_goldens.py`; our rings have no collinear corners to start with.
fn canonical(ring: &geo_types::LineString<f64>, grid: &GeoGrid) -> Vec<[i64; 2]> {
    let mut corners: Vec<[i64; 2]> = ring.0[1..]
        .iter()
        .map(|p| grid.to_pixel(WorldPoint::new(p.x, p.y)))
        .map(|p| [p.column.round() as i64, p.row.round() as i64])
        .collect();
    let start = (0..corners.len()).min_by_key(|&i| corners[i]).unwrap();
    corners.rotate_left(start);
    if corners[corners.len() - 1] < corners[1] {
        corners[1..].reverse();
    }
    corners
}
