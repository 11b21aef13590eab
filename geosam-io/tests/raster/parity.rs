//! The same grids and pixels as Python geosam, which reads through rasterio.

use geosam_core::{BoundingBox, ChipSource, Crs, PixelValue, Pixels, RasterSample, Shape, Window, with_pixels};
use serde_json::Value;

use super::goldens::{affine, array, cases, numbers, open, shape};

/// Largest difference of warped `f32` pixels, as a share of the raster's span of values.
///
/// Measured with GDAL 3.6.2 against rasterio's 3.10.3: 1.7e-3 (`dem.tif`, bilinear), as the two releases place the points
/// between which positions are interpolated differently; 3e-8 where they place them alike (`nan.tif`).
const WARPED_FLOAT: f64 = 3e-3;

fn as_f64(pixels: &Pixels) -> Vec<f64> {
    with_pixels!(pixels, values => values.iter().map(|v| v.to_f64()).collect())
}

fn assert_same_pixels(case: &Value, sample: &RasterSample) {
    let name = format!("{} {} {} {}", case["raster"], case["crs"], case["resolution"], case["resampling"]);
    let expected = array(&case["pixels"]);
    assert_eq!(sample.pixels.type_name(), expected.type_name(), "{name}");
    let warped = !case["crs"].is_null() || !case["resolution"].is_null();
    if !warped || !matches!(expected, Pixels::F32(_)) {
        assert!(sample.pixels == expected, "{name}: pixels differ");
        return;
    }
    let (ours, theirs) = (as_f64(&sample.pixels), as_f64(&expected));
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let span = theirs.iter().fold(0.0, |span: f64, v| span.max(v.abs()));
    for (index, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        let same = (a - b).abs() <= WARPED_FLOAT * span || (a.is_nan() && b.is_nan());
        assert!(same, "{name}: pixel {index} is {a}, in rasterio {b}");
    }
}

#[test]
fn opened_rasters_have_the_grid_pixels_and_validity_of_python_geosam() {
    for case in cases("opened") {
        let raster = open(&case);
        let grid = raster.grid();
        assert_eq!(Some(grid.shape), shape(&case["shape"]), "{case}");
        assert_eq!(grid.transform, affine(&case["transform"]), "{case}");
        let b = grid.bounds();
        assert_eq!(vec![b.left, b.bottom, b.right, b.top], numbers(&case["bounds"]), "{case}");

        let sample = raster.read(Window::whole(grid.shape)).unwrap();
        assert_same_pixels(&case, &sample);
        let Pixels::U8(expected) = array(&case["valid"]) else { panic!("validity is stored as bytes") };
        let valid = sample.valid.unwrap_or_else(|| vec![true; grid.shape.area()]);
        let wrong = valid.iter().zip(&expected).filter(|(ours, theirs)| **ours != (**theirs != 0)).count();
        assert_eq!(wrong, 0, "validity of {} in {}", case["raster"], case["crs"]);

        let chip = raster.read(Window::new(7, 5, Shape::new(9, 11))).unwrap();
        assert_eq!(chip.grid.transform, affine(&case["chip_transform"]), "{case}");
    }
}

#[test]
fn parts_between_pixels_are_read_as_rasterio_reads_them() {
    for case in cases("parts") {
        let raster = open(&case);
        let edges = numbers(&case["box"]);
        let crs = Crs::new(case["box_crs"].as_str().unwrap());
        let bounds = BoundingBox::new(edges[0], edges[1], edges[2], edges[3], crs).unwrap();
        let sample = raster.read_bounds(&bounds, shape(&case["out_shape"])).unwrap();
        assert_same_pixels(&case, &sample);
        assert_eq!(vec![sample.grid.transform.c, sample.grid.transform.f], numbers(&case["origin"]));
        // What Python geosam gets wrong: the pixels fill the box that was asked for.
        let asked = bounds.to_crs(&raster.grid().crs, &geosam_io::Osr).unwrap();
        let asked = asked.intersection(&raster.grid().bounds()).unwrap().unwrap();
        let shown = sample.grid.bounds();
        let pixel = raster.grid().transform.a;
        assert!((shown.right - asked.right).abs() < 1e-6 * pixel, "{shown} shows {asked}");
        assert!((shown.bottom - asked.bottom).abs() < 1e-6 * pixel, "{shown} shows {asked}");
    }
}
