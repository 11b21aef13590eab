use crate::coordinates::{Shape, Window};
use crate::error::Error;
use crate::progress::NoProgress;
use crate::sample::{Pixels, RasterSample};
use crate::source::ChipSource;
use crate::value_range::{ValueRange, ValueRangeChoice};
use crate::with_pixels;

/// Assert the contract of [`ChipSource`]. The raster must hold data somewhere; small is fast.
///
/// # Panics
/// Where the source breaks the contract.
pub fn chip_source(source: &dyn ChipSource) {
    let shape = source.grid().shape;
    assert!(!source.bands().is_empty() && !source.bands().contains(&0), "bands are counted from 1, and there is one");
    assert!(!source.source_path().is_empty(), "a source says what it is");

    let whole = read(source, Window::whole(shape));
    assert_eq!(whole.grid, *source.grid(), "the whole window has the raster's grid");
    assert!(whole.has_data(), "the raster under test holds data");
    windows_on_the_raster(source, &whole);
    windows_past_the_raster(source, &whole);
    value_ranges(source, &whole);

    std::thread::scope(|scope| {
        for thread in [0, 1].map(|_| scope.spawn(|| read(source, Window::whole(shape)))) {
            let sample = thread.join().expect("reading from another thread does not panic");
            assert!(same(&sample, &whole), "another thread reads the same values");
        }
    });
}

fn windows_on_the_raster(source: &dyn ChipSource, whole: &RasterSample) {
    let shape = source.grid().shape;
    let (row, column) = (shape.height / 3, shape.width / 2);
    let window = Window::new(column as i64, row as i64, Shape::new(shape.height - row, shape.width - column));
    let sample = read(source, window);
    for at in [(0, 0), (window.shape.height - 1, window.shape.width - 1)] {
        for band in 0..whole.bands {
            assert_eq!(
                pixel(&sample, band, at.0, at.1),
                pixel(whole, band, at.0 + row, at.1 + column),
                "a window shows the same pixels as the whole (band {band}, row {}, column {})",
                at.0,
                at.1
            );
        }
    }
    let empty = Window::new(0, 0, Shape::new(0, 1));
    assert!(source.read(empty).is_err(), "an empty window is refused");
}

fn windows_past_the_raster(source: &dyn ChipSource, whole: &RasterSample) {
    let shape = source.grid().shape;
    let window = Window::new(-2, -1, Shape::new(shape.height + 2, shape.width + 5));
    let sample = read(source, window);
    let valid = sample.valid.as_ref().expect("a window past the raster says which of its pixels hold data");
    for row in 0..window.shape.height {
        for column in 0..window.shape.width {
            let on_raster = (1..=shape.height).contains(&row) && (2..shape.width + 2).contains(&column);
            let expected = on_raster && is_valid(whole, row.wrapping_sub(1), column.wrapping_sub(2));
            assert_eq!(
                valid[row * window.shape.width + column],
                expected,
                "validity at row {row}, column {column} of {window}"
            );
            if on_raster {
                assert_eq!(
                    pixel(&sample, 0, row, column),
                    pixel(whole, 0, row - 1, column - 2),
                    "pixels keep their place"
                );
            }
        }
    }
    let beside = Window::new(shape.width as i64, 0, Shape::square(1));
    assert!(matches!(source.read(beside), Err(Error::OutOfBounds { .. })), "a window off the raster is out of bounds");
}

fn value_ranges(source: &dyn ChipSource, whole: &RasterSample) {
    let extent = Window::whole(source.grid().shape);
    let range =
        |choice| source.value_range(choice, extent, &NoProgress).expect("statistics of a raster that holds data");
    let fixed = range(ValueRangeChoice::Fixed { min: 1.0, max: 2.0 });
    let ValueRange::PerBand(fixed) = fixed else { panic!("a fixed range is one for each band, not {fixed:?}") };
    assert!(fixed.len() == source.bands().len() && fixed.iter().all(|r| r.min == 1.0 && r.max == 2.0), "{fixed:?}");
    assert_eq!(range(ValueRangeChoice::PerChip), ValueRange::PerChip);

    match range(ValueRangeChoice::Auto) {
        ValueRange::AsIs => assert!(matches!(whole.pixels, Pixels::U8(_)), "only bytes are taken as they are"),
        ValueRange::PerBand(ranges) => {
            let extremes = ValueRangeChoice::Percentiles { low: 0.0, high: 100.0, joint: false };
            assert_eq!(range(extremes), ValueRange::PerBand(ranges), "percentiles 0 and 100 are minimum and maximum");
        }
        other @ ValueRange::PerChip => panic!("the automatic range is one for the raster, not {other:?}"),
    }
    let upside_down = ValueRangeChoice::Fixed { min: 2.0, max: 1.0 };
    assert!(matches!(source.value_range(upside_down, extent, &NoProgress), Err(Error::InvalidArgument { .. })));
}

/// Read a window and check what holds for every sample.
fn read(source: &dyn ChipSource, window: Window) -> RasterSample {
    let sample = source.read(window).unwrap_or_else(|e| panic!("reading {window}: {e}"));
    assert_eq!(sample.shape(), window.shape, "the sample has the window's shape");
    assert_eq!(sample.grid, source.grid().shifted(window), "the sample's grid is the raster's, shifted");
    assert_eq!(sample.bands, source.bands().len(), "the sample has the source's bands");
    assert_eq!(sample.pixels.len(), sample.bands * window.shape.area(), "every band has every pixel");
    assert!(
        sample.valid.as_ref().is_none_or(|valid| valid.len() == window.shape.area()),
        "one validity for each pixel"
    );
    assert_eq!(sample.source_path, source.source_path());
    let again = source.read(window).unwrap_or_else(|e| panic!("reading {window} again: {e}"));
    assert!(same(&sample, &again), "reading {window} twice gives the same values");
    sample
}

/// Equality to which NaN is equal to itself.
fn same(a: &RasterSample, b: &RasterSample) -> bool {
    let bits = |sample: &RasterSample| -> Vec<u64> {
        with_pixels!(&sample.pixels, values => values.iter().map(|v| crate::PixelValue::to_f64(*v).to_bits()).collect())
    };
    a.valid == b.valid && a.grid == b.grid && a.pixels.type_name() == b.pixels.type_name() && bits(a) == bits(b)
}

fn pixel(sample: &RasterSample, band: usize, row: usize, column: usize) -> u64 {
    let at = band * sample.shape().area() + row * sample.shape().width + column;
    with_pixels!(&sample.pixels, values => crate::PixelValue::to_f64(values[at]).to_bits())
}

fn is_valid(sample: &RasterSample, row: usize, column: usize) -> bool {
    sample.valid.as_ref().is_none_or(|valid| valid[row * sample.shape().width + column])
}
