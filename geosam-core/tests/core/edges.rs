//! Unusual input: an error or the obvious answer, never a panic.

use geosam_core::{
    Affine, BandRange, BoundingBox, ChipSource, Crs, Error, FeatureTensor, GeoGrid, GridGeoSampler, Label,
    MemoryRaster, ModelImage, NEUTRAL_RGB, PixelAnchor, Pixels, Points, PromptSet, RasterSample, SameCrsOnly, Shape,
    ValueRange, Window, WorldPoint, chip_extent_rectangles,
};

fn utm() -> Crs {
    Crs::new("EPSG:32618")
}

fn naip() -> GeoGrid {
    GeoGrid::new(Affine::from_origin(641_820.6, 3_900_120.2, 0.6, 0.6), Shape::new(701, 523), utm()).unwrap()
}

#[test]
fn a_prompt_on_the_edge_is_on_the_grid() {
    // In these coordinates the corners do not fall on whole pixels exactly.
    let grid = naip();
    let pixels = grid.to_pixel_prompt(&grid.bounds().into(), &SameCrsOnly).unwrap().bbox.unwrap();
    assert!(pixels.left >= 0.0 && pixels.top >= 0.0 && pixels.right <= 523.0 && pixels.bottom <= 701.0);
    let corner = Points::foreground(vec![WorldPoint::new(grid.bounds().right, grid.bounds().bottom)], utm()).unwrap();
    assert!(grid.to_pixel_prompt(&corner.into(), &SameCrsOnly).is_ok());
    let off = Points::foreground(vec![WorldPoint::new(641_820.5, 3_900_100.0)], utm()).unwrap();
    let message = grid.to_pixel_prompt(&off.into(), &SameCrsOnly).unwrap_err().to_string();
    assert!(
        message.starts_with("the point at 641820.5, 3900100 (EPSG:32618) lies outside the raster, which covers "),
        "{message}"
    );
}

#[test]
fn prompts_need_a_crs_and_share_one() {
    let grid = naip();
    let at = vec![WorldPoint::new(642_000.0, 3_900_000.0)];
    let nowhere: PromptSet = Points::foreground(at.clone(), None).unwrap().into();
    assert_eq!(
        grid.to_pixel_prompt(&nowhere, &SameCrsOnly).unwrap_err().to_string(),
        "the prompt has no CRS; give the CRS its coordinates are in, for example EPSG:4326"
    );
    let bbox = BoundingBox::new(641_900.0, 3_899_900.0, 642_100.0, 3_900_050.0, utm()).unwrap();
    let both =
        PromptSet::new(Some(Points::foreground(at.clone(), None).unwrap()), Some(bbox.clone()), &SameCrsOnly).unwrap();
    assert_eq!(both.points().unwrap().crs(), Some(&utm()), "points without a CRS take the box's");
    let bare = BoundingBox { crs: None, ..bbox.clone() };
    let both = PromptSet::new(Some(Points::foreground(at.clone(), utm()).unwrap()), Some(bare), &SameCrsOnly).unwrap();
    assert_eq!(both.bbox(), Some(&bbox), "a box without a CRS takes the points'");
    assert_eq!(both.center(), bbox.center());
    let foreign = Points::foreground(at, Crs::wgs84()).unwrap();
    assert!(matches!(PromptSet::new(Some(foreign), Some(bbox), &SameCrsOnly), Err(Error::Crs { .. })));
    assert!(PromptSet::new(None, None, &SameCrsOnly).is_err());
}

#[test]
fn operators_of_boxes_and_points() {
    let a = BoundingBox::new(0.0, 0.0, 10.0, 10.0, utm()).unwrap();
    let b = BoundingBox::new(5.0, 5.0, 20.0, 8.0, None).unwrap();
    assert_eq!(a.intersection(&b).unwrap(), Some(BoundingBox::new(5.0, 5.0, 10.0, 8.0, utm()).unwrap()));
    assert_eq!(a.union(&b).unwrap(), BoundingBox::new(0.0, 0.0, 20.0, 10.0, utm()).unwrap());
    let (west, east) = a.split_at_x(0.25).unwrap();
    assert!(a.contains(&west).unwrap() && a.contains(&east).unwrap() && (west.right, east.left) == (2.5, 2.5));
    assert!(a.split_at_y(1.0).is_err() && a.buffer(-6.0).is_err());
    assert!(
        BoundingBox::new(1.0, 0.0, 0.0, 1.0, None).is_err() && BoundingBox::new(f64::NAN, 0.0, 1.0, 1.0, None).is_err()
    );
    assert!(a.union(&BoundingBox { crs: Some(Crs::wgs84()), ..b }).is_err(), "boxes in different systems");

    let p = |x, y| WorldPoint::new(x, y);
    let two = Points::new(vec![p(1.0, 2.0), p(3.0, 4.0)], vec![Label::Foreground, Label::Background], utm()).unwrap();
    let one = Points::foreground(vec![p(1.0, 2.0)], None).unwrap();
    assert_eq!(two.subtract(&one).unwrap().unwrap().labels(), [Label::Background]);
    assert_eq!(one.subtract(&two).unwrap(), None);
    assert!(two.contains(&one).unwrap() && !one.contains(&two).unwrap());
    let three = two.concat(&one).unwrap();
    assert_eq!((three.len(), three.crs(), three.center().x), (3, Some(&utm()), 5.0 / 3.0));
    assert!(Points::new(vec![], vec![], None).is_err() && Points::new(vec![p(0.0, 0.0)], vec![], None).is_err());
}

#[test]
fn absurd_sizes_are_refused_without_overflow() {
    let shape = Shape::new(usize::MAX, usize::MAX);
    let sampler = GridGeoSampler::new(Window::whole(shape), Shape::square(1024), Shape::square(512));
    assert!(matches!(sampler, Err(Error::TooLarge { .. })));
    let world = BoundingBox::new(-180.0, -90.0, 180.0, 90.0, Crs::wgs84()).unwrap();
    let fine = GeoGrid::from_bounds_and_resolution(&world, 1e-15, 1e-15).unwrap();
    assert!(GridGeoSampler::new(Window::whole(fine.shape), Shape::square(1024), Shape::square(512)).is_err());
    // 31 622² chips are 10⁹.
    let billion =
        GridGeoSampler::new(Window::whole(Shape::square(31_622 * 512)), Shape::square(512), Shape::square(512));
    let message = billion.unwrap_err().to_string();
    assert!(message.contains("999950884 chips exceed the limit of 1000000 chips"), "{message}");
    assert_eq!(Window::whole(shape).clip(Shape::square(3)), Some(Window::whole(Shape::square(3))));
    let far = BoundingBox::new(-1e300, -1e300, 1e300, 1e300, utm()).unwrap();
    assert_eq!(naip().window_of(&far).unwrap(), Window::whole(naip().shape));
    let beside = BoundingBox::new(1e300, 0.0, 1.1e300, 1.0, utm()).unwrap();
    assert!(matches!(naip().window_of(&beside), Err(Error::OutOfBounds { .. })));
}

#[test]
fn grids_are_validated() {
    for transform in [[0.0; 6], [1.0, 2.0, 0.0, 2.0, 4.0, 0.0], [f64::NAN, 0.0, 0.0, 0.0, 1.0, 0.0]] {
        assert!(GeoGrid::new(Affine::new(transform), Shape::square(1), utm()).is_err());
    }
    assert!(GeoGrid::new(Affine::from_origin(0.0, 0.0, 1.0, 1.0), Shape::new(0, 1), utm()).is_err());
    for x in [&[1.0][..], &[1.0, 1.0], &[0.0, 1.0, 9.0, 10.0], &[0.0, f64::NAN]] {
        assert!(GeoGrid::from_xy(x, &[0.0, 1.0], utm(), PixelAnchor::Center).is_err(), "{x:?}");
    }
    let grid = naip();
    assert!(matches!(grid.window(Window::new(500, 0, Shape::square(100))), Err(Error::OutOfBounds { .. })));
    assert!(grid.window_of(&BoundingBox::new(0.0, 0.0, 1.0, 1.0, Crs::wgs84()).unwrap()).is_err());
    assert_eq!(grid.window_of(&grid.bounds()).unwrap(), Window::whole(grid.shape));
    assert_eq!(grid.xy(0, 0, PixelAnchor::UpperLeft), WorldPoint::new(641_820.6, 3_900_120.2));
    let t = Affine::from_gdal([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!((t.to_array(), t.to_gdal()), ([2.0, 3.0, 1.0, 5.0, 6.0, 4.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
}

#[test]
fn the_bounds_of_a_window_give_the_window() {
    // Landsat in degrees: the products of such a pixel size are rounded, up and down.
    let size = 0.000_808_483_755_708;
    let grid = GeoGrid::new(
        Affine::from_origin(-74.722_494_153_760_68, -8.282_107_593_468_341, size, size),
        Shape::new(377, 697),
        Crs::wgs84(),
    )
    .unwrap();
    for column in 0..180 {
        for row in [0, 1, 7, 100, 120] {
            let window = Window::new(column, row, Shape::new(257, 512));
            assert_eq!(grid.window_of(&grid.window(window).unwrap().bounds()).unwrap(), window);
        }
    }
}

#[test]
fn chip_rectangles_cover_the_raster() {
    let grid = naip();
    let sampler =
        GridGeoSampler::with_overlap(Window::whole(grid.shape), Shape::square(256), Shape::square(128)).unwrap();
    let chips = chip_extent_rectangles(&grid, &sampler).unwrap();
    assert_eq!(chips.len(), sampler.len());
    let all = chips.iter().cloned().reduce(|a, b| a.union(&b).unwrap()).unwrap();
    assert!((all.area() - grid.bounds().area()).abs() < 1e-3);
    assert!(GridGeoSampler::new(Window::whole(grid.shape), Shape::square(8), Shape::square(9)).is_err());
    assert!(GridGeoSampler::with_overlap(Window::whole(grid.shape), Shape::square(8), Shape::square(8)).is_err());
}

fn sample(pixels: Pixels, bands: usize, valid: Option<Vec<bool>>) -> RasterSample {
    let grid = GeoGrid::new(Affine::from_origin(0.0, 0.0, 1.0, 1.0), Shape::new(1, 2), utm()).unwrap();
    RasterSample { pixels, bands, grid, valid, source_path: String::new() }
}

#[test]
fn bands_become_rgb() {
    let rgb = |pixels, bands| sample(pixels, bands, None).to_model_image(&ValueRange::AsIs).unwrap().rgb().to_vec();
    assert_eq!(rgb(Pixels::U8(vec![1, 2]), 1), [1, 1, 1, 2, 2, 2]);
    assert_eq!(rgb(Pixels::U8(vec![1, 2, 3, 4]), 2), [1, 3, 3, 2, 4, 4]);
    assert_eq!(rgb(Pixels::U8((1..=8).collect()), 4), [1, 3, 5, 2, 4, 6]);
    let masked = sample(Pixels::U8(vec![9, 9]), 1, Some(vec![true, false]));
    let [r, g, b] = NEUTRAL_RGB;
    assert_eq!(masked.to_model_image(&ValueRange::AsIs).unwrap().rgb(), [9, 9, 9, r, g, b]);
    assert_eq!(masked.to_model_image(&ValueRange::PerChip).unwrap().rgb(), [9; 6]);
    assert!(masked.has_data() && !sample(Pixels::U8(vec![9, 9]), 1, Some(vec![false; 2])).has_data());
}

#[test]
fn samples_are_validated() {
    let words = sample(Pixels::U16(vec![1, 2]), 1, None);
    assert!(words.to_model_image(&ValueRange::AsIs).is_err(), "words are not bytes");
    assert!(words.to_model_image(&ValueRange::PerBand(vec![])).is_err(), "a range for each band");
    assert!(sample(Pixels::U16(vec![1, 2]), 2, None).to_model_image(&ValueRange::PerChip).is_err(), "too few values");
    let constant = ValueRange::PerBand(vec![BandRange { min: 5.0, max: 5.0 }]);
    assert_eq!(words.to_model_image(&constant).unwrap().rgb(), [0; 6], "a constant band is black");
}

#[test]
fn sizes_that_no_memory_holds_are_refused() {
    assert!(matches!(ModelImage::new(Shape::new(usize::MAX, 2), vec![]), Err(Error::InvalidArgument { .. })));
    assert!(matches!(FeatureTensor::new(vec![1 << 32, 1 << 32], vec![]), Err(Error::InvalidArgument { .. })));
    assert!(FeatureTensor::new(vec![0, 1 << 32], vec![]).is_ok());
    let grid = GeoGrid::new(Affine::from_origin(0.0, 0.0, 1.0, 1.0), Shape::square(2), utm()).unwrap();
    let raster = MemoryRaster::new(Pixels::U8(vec![1; 4]), grid).unwrap();
    for side in [1 << 40, usize::MAX] {
        let error = raster.read(Window::new(0, 0, Shape::square(side))).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
}

#[test]
fn no_data_is_what_the_pixels_type_makes_of_it() {
    let grid = GeoGrid::new(Affine::from_origin(0.0, 0.0, 1.0, 1.0), Shape::new(1, 2), utm()).unwrap();
    let valid = |pixels, nodata| {
        let raster = MemoryRaster::new(pixels, grid.clone()).unwrap().with_nodata(nodata);
        raster.read(Window::whole(Shape::new(1, 2))).unwrap().valid.unwrap()
    };
    assert_eq!(valid(Pixels::F32(vec![1.0, -3.4e38]), -3.4e38), [true, false]);
    assert_eq!(valid(Pixels::F32(vec![0.1, 1.0]), 0.1), [false, true]);
    assert_eq!(valid(Pixels::F64(vec![0.1, f64::from(0.1_f32)]), 0.1), [false, true]);
    // A byte is never -9999, nor 300.
    assert_eq!(valid(Pixels::U8(vec![0, 255]), -9999.0), [true, true]);
    assert_eq!(valid(Pixels::U8(vec![0, 255]), 300.0), [true, true]);
}
