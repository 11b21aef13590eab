use std::path::Path;

use gdal::{Dataset, Metadata};
use geosam_core::{Affine, Crs, CrsTransform, Error, GeoGrid, Masks, Shape};
use geosam_io::{MaskFormat, Osr, write_mask};

const SHAPE: Shape = Shape::new(900, 1100);

fn grid() -> GeoGrid {
    GeoGrid::new(Affine::from_origin(500_000.25, 4_000_000.5, 0.5, 0.25), SHAPE, Crs::new("EPSG:32632")).unwrap()
}

/// A disc and a half plane.
fn masks() -> Masks {
    let disc = |p: usize| (p / SHAPE.width).abs_diff(400).pow(2) + (p % SHAPE.width).abs_diff(500).pow(2) < 300 * 300;
    let half = |p: usize| p % SHAPE.width > 700;
    let values = (0..SHAPE.area()).map(disc).chain((0..SHAPE.area()).map(half)).collect();
    Masks::new(SHAPE, values).unwrap()
}

fn check(path: &Path) -> Dataset {
    let dataset = Dataset::open(path).unwrap();
    assert_eq!((dataset.raster_size(), dataset.raster_count()), ((1100, 900), 2));
    assert_eq!(dataset.geo_transform().unwrap(), [500_000.25, 0.5, 0.0, 4_000_000.5, 0.0, -0.25]);
    let crs = Crs::new(dataset.spatial_ref().unwrap().to_wkt().unwrap());
    assert!(Osr.equivalent(&crs, &grid().crs).unwrap());
    for (index, mask) in masks().iter().enumerate() {
        let band = dataset.rasterband(index + 1).unwrap();
        assert_eq!(band.band_type(), gdal::raster::GdalDataType::UInt8);
        assert_eq!(band.no_data_value(), None);
        assert!(band.block_size().0 < 1100);
        let values = band.read_as::<u8>((0, 0), (1100, 900), (1100, 900), None).unwrap();
        assert!(values.data().iter().zip(mask).all(|(value, inside)| *value == u8::from(*inside)));
    }
    assert_eq!(dataset.metadata_item("COMPRESSION", "IMAGE_STRUCTURE").as_deref(), Some("DEFLATE"));
    dataset
}

#[test]
fn both_layouts_are_read_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.tif");
    write_mask(&plain, &masks(), &grid(), MaskFormat::GeoTiff).unwrap();
    let dataset = check(&plain);
    assert_eq!(dataset.rasterband(1).unwrap().overview_count().unwrap(), 0);

    let cog = folder.path().join("cog.TIFF");
    write_mask(&cog, &masks(), &grid(), MaskFormat::Cog).unwrap();
    let dataset = check(&cog);
    assert_eq!(dataset.metadata_item("LAYOUT", "IMAGE_STRUCTURE").as_deref(), Some("COG"));
    let band = dataset.rasterband(1).unwrap();
    assert!(band.overview_count().unwrap() > 0);
    let overview = band.overview(0).unwrap();
    let size = overview.size();
    let values = overview.read_as::<u8>((0, 0), size, size, None).unwrap();
    assert!(values.data().contains(&1) && values.data().iter().all(|value| *value <= 1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn what_described_the_old_file_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    for suffix in ["", ".aux.xml", ".ovr"] {
        std::fs::write(format!("{}{suffix}", path.display()), b"old").unwrap();
    }
    write_mask(&path, &masks(), &grid(), MaskFormat::GeoTiff).unwrap();
    check(&path);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn masks_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let none = Masks::new(SHAPE, Vec::new()).unwrap();
    let other = Masks::new(Shape::square(4), vec![true; 16]).unwrap();
    let nowhere = GeoGrid { crs: Crs::new("EPSG:0"), ..grid() };
    let write = |name: &str, masks: &Masks, grid: &GeoGrid| {
        write_mask(folder.path().join(name), masks, grid, MaskFormat::GeoTiff).unwrap_err()
    };
    assert!(matches!(write("a.tif", &none, &grid()), Error::InvalidArgument { .. }));
    assert!(matches!(write("a.tif", &other, &grid()), Error::InvalidArgument { .. }));
    assert!(matches!(write("a.png", &masks(), &grid()), Error::InvalidArgument { .. }));
    assert!(matches!(write("a.tif", &masks(), &nowhere), Error::Crs { .. }));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
