//! One clear line for everything that can be wrong with a raster or a request.

use geosam_core::{Affine, BoundingBox, ChipSource, Crs, Error, GeoGrid, Pixels, Shape, Window};
use geosam_io::{RasterDataset, RasterOptions, write_raster};

use super::goldens::raster;

fn refused(source: &str, options: &RasterOptions) -> Error {
    RasterDataset::open(source, options).unwrap_err()
}

#[test]
fn a_missing_file_is_named() {
    let error = refused("/nowhere/a.tif", &RasterOptions::default());
    assert_eq!(error.to_string(), "cannot open /nowhere/a.tif: there is no such file; check the path");
}

#[test]
fn a_file_that_is_no_raster_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a raster").unwrap();
    let text = refused(path.to_str().unwrap(), &RasterOptions::default()).to_string();
    assert!(text.contains("notes.txt: it is not a raster in a format that GDAL"), "{text}");
}

#[test]
fn a_truncated_raster_is_an_error_not_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.tif");
    let grid = GeoGrid::new(Affine::from_origin(5e5, 4.5e6, 10.0, 10.0), Shape::square(600), Crs::new("EPSG:32618"));
    let noise = (0_u32..360_000).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    write_raster(&path, &grid.unwrap(), &Pixels::U8(noise), 1, None).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    for crs in [None, Some(Crs::new("EPSG:3857"))] {
        let options = RasterOptions { crs, ..RasterOptions::default() };
        // GDAL may notice on opening, or only when it reaches the missing part.
        let read = RasterDataset::open(path.to_str().unwrap(), &options)
            .and_then(|dataset| dataset.read(Window::whole(dataset.grid().shape)));
        let error = read.unwrap_err();
        assert!(matches!(error, Error::Dataset { .. }) && error.to_string().contains("cut.tif"), "{error}");
    }
}

#[test]
fn a_raster_without_crs_asks_for_one() {
    let source = r#"<VRTDataset rasterXSize="4" rasterYSize="4"><GeoTransform>0,1,0,4,0,-1</GeoTransform>
        <VRTRasterBand dataType="Byte" band="1"/></VRTDataset>"#;
    let error = refused(source, &RasterOptions::default());
    assert!(matches!(error, Error::MissingCrs { .. }) && error.to_string().contains("assume_crs"), "{error}");
    let options = RasterOptions { assume_crs: Some(Crs::new("EPSG:32618")), ..RasterOptions::default() };
    let assumed = RasterDataset::open(source, &options).unwrap();
    assert_eq!(assumed.grid().crs, Crs::new("EPSG:32618"));
    let options = RasterOptions { crs: Some(Crs::new("EPSG:3857")), ..options };
    assert_eq!(RasterDataset::open(source, &options).unwrap().grid().crs, Crs::new("EPSG:3857"));
}

#[test]
fn a_band_it_does_not_have_is_refused_with_those_it_has() {
    for bands in [vec![0], vec![5], vec![]] {
        let options = RasterOptions { bands: Some(bands), ..RasterOptions::default() };
        let text = refused(&raster("rgba.tif"), &options).to_string();
        assert!(text.contains("1 (red), 2 (green), 3 (blue), 4 (alpha)"), "{text}");
    }
}

#[test]
fn a_container_without_bands_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.gpkg");
    let driver = gdal::DriverManager::get_driver_by_name("GPKG").unwrap();
    for table in ["RASTER_TABLE=a", "RASTER_TABLE=b APPEND_SUBDATASET=YES"] {
        let mut raster =
            driver.create_with_band_type_with_options::<u8, _>(&path, 8, 8, 3, &table.parse().unwrap()).unwrap();
        raster.set_geo_transform(&[0.0, 1.0, 0.0, 8.0, 0.0, -1.0]).unwrap();
        raster.set_spatial_ref(&gdal::spatial_ref::SpatialRef::from_epsg(32618).unwrap()).unwrap();
        raster.rasterband(1).unwrap().fill(1.0, None).unwrap();
        raster.close().unwrap();
    }
    let error = refused(path.to_str().unwrap(), &RasterOptions::default()).to_string();
    assert!(error.contains("open one of its parts: GPKG:") && error.ends_with("two.gpkg:b"), "{error}");
}

#[test]
fn complex_numbers_are_refused() {
    let source = r#"<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:32618</SRS>
        <GeoTransform>0,1,0,4,0,-1</GeoTransform><VRTRasterBand dataType="CFloat32" band="1"/></VRTDataset>"#;
    assert!(matches!(refused(source, &RasterOptions::default()), Error::Unsupported { .. }));
}

#[test]
fn metres_are_refused_for_a_target_in_degrees() {
    let options = RasterOptions { crs: Some(Crs::wgs84()), resolution: Some(10.0), ..RasterOptions::default() };
    let text = refused(&raster("rgb.tif"), &options).to_string();
    assert!(text.contains("10 m in EPSG:4326"), "{text}");
    for resolution in [0.0, -1.0, f64::NAN] {
        let options = RasterOptions { resolution: Some(resolution), ..RasterOptions::default() };
        assert!(matches!(refused(&raster("rgb.tif"), &options), Error::InvalidArgument { .. }));
    }
    let options = RasterOptions { resolution: Some(1e-9), ..RasterOptions::default() };
    assert!(matches!(refused(&raster("rgb.tif"), &options), Error::TooLarge { .. }));
    let options = RasterOptions { crs: Some(Crs::new("EPSG:999999")), ..RasterOptions::default() };
    assert!(matches!(refused(&raster("rgb.tif"), &options), Error::Crs { .. }));
}

#[test]
fn windows_and_extents_that_cannot_be_read_are_refused() {
    let dataset = RasterDataset::open(&raster("rgb.tif"), &RasterOptions::default()).unwrap();
    assert!(matches!(dataset.read(Window::new(34, 0, Shape::square(1))), Err(Error::OutOfBounds { .. })));
    assert!(matches!(dataset.read(Window::new(0, 0, Shape::new(0, 4))), Err(Error::InvalidArgument { .. })));
    let window = Window::new(0, 0, Shape::square(4));
    assert!(matches!(dataset.read_window(window, Some(Shape::new(0, 1))), Err(Error::InvalidArgument { .. })));

    let line = BoundingBox::new(500_100.0, 4_499_900.0, 500_100.0, 4_499_950.0, dataset.grid().crs.clone()).unwrap();
    assert!(matches!(dataset.read_bounds(&line, None), Err(Error::InvalidArgument { .. })));
    let nowhere = BoundingBox { crs: None, ..line };
    assert!(matches!(dataset.read_bounds(&nowhere, None), Err(Error::MissingCrs { .. })));
    let far = BoundingBox::new(0.0, 0.0, 1.0, 1.0, Crs::wgs84()).unwrap();
    assert!(matches!(dataset.read_bounds(&far, None), Err(Error::OutOfBounds { .. })));
}
