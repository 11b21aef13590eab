//! What `RasterDataset` promises beyond what rasterio does.

use geosam_core::{
    Affine, BandRange, BoundingBox, ChipSource, Crs, Error, GeoGrid, NoProgress, Pixels, Shape, ValueRange,
    ValueRangeChoice, Window, conformance,
};
use geosam_io::{RasterDataset, RasterInfo, RasterOptions, Resampling, write_raster};

use super::goldens::raster;

fn open(name: &str) -> RasterDataset {
    RasterDataset::open(&raster(name), &RasterOptions::default()).unwrap()
}

fn grid(height: usize, width: usize) -> GeoGrid {
    let transform = Affine::from_origin(500_000.0, 4_500_000.0, 10.0, 10.0);
    GeoGrid::new(transform, Shape::new(height, width), Crs::new("EPSG:32618")).unwrap()
}

#[test]
fn every_kind_of_raster_keeps_the_contract() {
    for name in ["rgb.tif", "nodata.tif", "dem.tif", "nan.tif", "rgba.tif", "masked.tif", "feet.tif"] {
        let plain = open(name);
        assert_eq!(plain.resampling(), None);
        conformance::chip_source(&plain);
        for (crs, resolution) in [(Some(Crs::new("EPSG:3857")), None), (None, Some(35.0))] {
            let options = RasterOptions { crs, resolution, ..RasterOptions::default() };
            let warped = RasterDataset::open(&raster(name), &options).unwrap();
            assert_eq!(warped.resampling(), Some("average"));
            conformance::chip_source(&warped);
        }
    }
}

#[test]
fn eight_threads_read_what_one_reads() {
    let options = RasterOptions { crs: Some(Crs::new("EPSG:3857")), ..RasterOptions::default() };
    let dataset = RasterDataset::open(&raster("rgb.tif"), &options).unwrap();
    let windows: Vec<Window> = (0..12).map(|i| Window::new(i, i / 2, Shape::new(13, 17))).collect();
    let alone: Vec<_> = windows.iter().map(|w| dataset.read(*w).unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    for (window, expected) in windows.iter().zip(&alone) {
                        assert_eq!(dataset.read(*window).unwrap(), *expected);
                    }
                }
            });
        }
    });
}

#[test]
fn the_default_bands_are_the_first_three_without_alpha() {
    assert_eq!(open("rgba.tif").bands(), [1, 2, 3]);
    assert_eq!(open("nodata.tif").bands(), [1, 2, 3]);
    assert_eq!(open("nan.tif").bands(), [1, 2]);
    assert_eq!(open("dem.tif").bands(), [1]);
    let options = RasterOptions { bands: Some(vec![3, 1, 3]), ..RasterOptions::default() };
    let chosen = RasterDataset::open(&raster("rgb.tif"), &options).unwrap();
    let Pixels::U8(all) = open("rgb.tif").read(Window::whole(chosen.grid().shape)).unwrap().pixels else { panic!() };
    let Pixels::U8(ours) = chosen.read(Window::whole(chosen.grid().shape)).unwrap().pixels else { panic!() };
    let area = chosen.grid().shape.area();
    assert_eq!(ours, [&all[2 * area..], &all[..area], &all[2 * area..]].concat());
}

#[test]
fn pixels_past_the_edge_are_filled_and_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    write_raster(&path, &grid(2, 2), &Pixels::I16(vec![1, 2, 3, 4]), 1, None).unwrap();
    let options = RasterOptions { fill_value: -7.0, resampling: Resampling::Nearest, ..RasterOptions::default() };
    let dataset = RasterDataset::open(path.to_str().unwrap(), &options).unwrap();
    let window = Window::new(-1, 1, Shape::new(2, 4));
    let sample = dataset.read(window).unwrap();
    assert_eq!(sample.pixels, Pixels::I16(vec![-7, 3, 4, -7, -7, -7, -7, -7]));
    assert_eq!(sample.valid.unwrap(), [false, true, true, false, false, false, false, false]);

    let twice = dataset.read_window(window, Some(Shape::new(4, 8))).unwrap();
    assert_eq!(twice.grid.transform, Affine::from_origin(499_990.0, 4_499_990.0, 5.0, 5.0));
    let Pixels::I16(values) = twice.pixels else { panic!() };
    assert_eq!(values[..8], [-7, -7, 3, 3, 4, 4, -7, -7]);
    assert_eq!(values[8..16], values[..8]);
    assert!(values[16..].iter().all(|v| *v == -7));
}

#[test]
fn every_element_type_comes_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("typed.tif");
    let types = [
        Pixels::U8(vec![0, 1, 2, 255]),
        Pixels::I8(vec![-128, -1, 0, 127]),
        Pixels::U16(vec![0, 1, 2, u16::MAX]),
        Pixels::I16(vec![i16::MIN, -1, 0, i16::MAX]),
        Pixels::U32(vec![0, 1, 2, u32::MAX]),
        Pixels::I32(vec![i32::MIN, -1, 0, i32::MAX]),
        Pixels::U64(vec![0, 1, 2, u64::MAX]),
        Pixels::I64(vec![i64::MIN, -1, 0, i64::MAX]),
        Pixels::F32(vec![-1.5, 0.0, f32::MIN_POSITIVE, f32::MAX]),
        Pixels::F64(vec![-1.5, 0.0, f64::MIN_POSITIVE, f64::MAX]),
    ];
    for pixels in types {
        write_raster(&path, &grid(2, 2), &pixels, 1, None).unwrap();
        let dataset = RasterDataset::open(path.to_str().unwrap(), &RasterOptions::default()).unwrap();
        let sample = dataset.read(Window::whole(Shape::square(2))).unwrap();
        assert_eq!(sample.pixels, pixels);
        assert_eq!(sample.valid, None);
        assert_eq!(dataset.grid(), &grid(2, 2));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the raster");
}

#[test]
fn a_no_data_value_in_one_band_hides_no_pixel_and_spoils_no_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lake.tif");
    // Band 1 holds its no-data value where band 2 holds data; the last pixel holds none at all.
    write_raster(&path, &grid(1, 3), &Pixels::U16(vec![0, 500, 0, 40, 60, 0]), 2, Some(0.0)).unwrap();
    let dataset = RasterDataset::open(path.to_str().unwrap(), &RasterOptions::default()).unwrap();
    let whole = Window::whole(Shape::new(1, 3));
    assert_eq!(dataset.read(whole).unwrap().valid.unwrap(), [true, true, false]);
    let ranges = [BandRange { min: 500.0, max: 500.0 }, BandRange { min: 60.0, max: 60.0 }];
    assert_eq!(
        dataset.value_range(ValueRangeChoice::Auto, whole, &NoProgress).unwrap(),
        ValueRange::PerBand(ranges.to_vec())
    );
}

#[test]
fn nan_is_no_data_even_where_nothing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.tif");
    write_raster(&path, &grid(1, 3), &Pixels::F32(vec![1.0, f32::NAN, 3.0]), 1, None).unwrap();
    let dataset = RasterDataset::open(path.to_str().unwrap(), &RasterOptions::default()).unwrap();
    assert_eq!(dataset.read(Window::whole(Shape::new(1, 3))).unwrap().valid.unwrap(), [true, false, true]);
    assert_eq!(dataset.read(Window::new(2, 0, Shape::new(1, 1))).unwrap().valid, None);
}

#[test]
fn a_resolution_in_metres_takes_degrees_to_utm_and_feet_to_feet() {
    let at = |name: &str, metres| {
        let options = RasterOptions { resolution: Some(metres), ..RasterOptions::default() };
        RasterDataset::open(&raster(name), &options).unwrap().grid().clone()
    };
    let utm = at("nodata.tif", 20.0);
    assert_eq!((utm.crs.as_str(), utm.transform.a, utm.transform.e), ("EPSG:32618", 20.0, -20.0));
    let feet = at("feet.tif", 6.0);
    assert_eq!(feet.crs, Crs::new("EPSG:2263"));
    assert!((feet.transform.a - 6.0 / 0.304_800_609_6).abs() < 1e-6);
}

#[test]
fn an_extent_in_another_crs_becomes_a_window() {
    let dataset = open("rgb.tif");
    let window = Window::new(5, 6, Shape::new(7, 8));
    let inside = dataset.grid().window(window).unwrap().bounds().buffer(-3.0).unwrap();
    assert_eq!(dataset.window_of(&inside).unwrap(), window);
    let degrees = inside.to_crs(&Crs::wgs84(), &geosam_io::Osr).unwrap();
    assert_eq!(dataset.window_of(&degrees).unwrap(), window);
    let elsewhere = BoundingBox::new(10.0, 10.0, 11.0, 11.0, Crs::wgs84()).unwrap();
    assert!(matches!(dataset.window_of(&elsewhere), Err(Error::OutOfBounds { .. })));
}

#[test]
fn info_says_what_the_raster_is() {
    let info = RasterInfo::read(&raster("rgba.tif")).unwrap();
    assert_eq!((info.driver.as_str(), info.shape), ("GTiff", Shape::new(26, 34)));
    assert_eq!(info.crs, Some(Crs::new("EPSG:32618")));
    assert_eq!(info.resolution, Some((30.0, 30.0)));
    assert_eq!(info.compression.as_deref(), Some("DEFLATE"));
    let names: Vec<_> = info.bands.iter().map(|b| (b.number, b.type_name, b.name.as_str(), b.nodata)).collect();
    assert_eq!(names[0], (1, "uint8", "red", None));
    assert_eq!(names[3], (4, "uint8", "alpha", None));
    assert!(info.overviews.is_empty());

    let degrees = RasterInfo::read(&raster("dem.tif")).unwrap();
    let (width, height) = degrees.resolution.unwrap();
    assert!((width - 25.4).abs() < 0.1 && (height - 33.4).abs() < 0.1, "{width} × {height} m");
    assert_eq!(degrees.bands[0].nodata, Some(-9999.0));
}
