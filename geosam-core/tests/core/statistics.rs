//! Value ranges from the pixels of a raster.

use std::sync::atomic::{AtomicUsize, Ordering};

use geosam_core::{
    Affine, BandRange, ChipSource, Crs, Error, GeoGrid, MemoryRaster, NoProgress, Pixels, Progress, Result, Shape,
    ValueRange, ValueRangeChoice, Window, statistics,
};

fn value_range(source: &dyn ChipSource, choice: ValueRangeChoice, extent: Window) -> Result<ValueRange> {
    statistics::value_range(source, choice, extent, &NoProgress)
}

fn raster(pixels: Pixels, shape: Shape) -> MemoryRaster {
    let grid = GeoGrid::new(Affine::from_origin(0.0, 0.0, 1.0, 1.0), shape, Crs::wgs84()).unwrap();
    MemoryRaster::new(pixels, grid).unwrap()
}

fn per_band(ranges: &[(f64, f64)]) -> ValueRange {
    ValueRange::PerBand(ranges.iter().map(|&(min, max)| BandRange { min, max }).collect())
}

fn percentiles(low: f64, high: f64, joint: bool) -> ValueRangeChoice {
    ValueRangeChoice::Percentiles { low, high, joint }
}

#[test]
fn automatic_ranges() {
    let shape = Shape::new(1, 3);
    let bytes = raster(Pixels::U8(vec![1, 2, 3]), shape);
    assert_eq!(bytes.value_range(ValueRangeChoice::Auto, Window::whole(shape), &NoProgress).unwrap(), ValueRange::AsIs);
    let words = raster(Pixels::I16(vec![-5, 7, 2, 100, 300, 200]), shape);
    let auto = words.value_range(ValueRangeChoice::Auto, Window::whole(shape), &NoProgress).unwrap();
    assert_eq!(auto, per_band(&[(-5.0, 7.0), (100.0, 300.0)]));
    // Only the extent counts, and of that only what lies on the raster.
    let part = words.value_range(ValueRangeChoice::Auto, Window::new(1, 0, Shape::new(5, 2)), &NoProgress).unwrap();
    assert_eq!(part, per_band(&[(2.0, 7.0), (200.0, 300.0)]));
}

#[test]
fn what_holds_no_data_is_left_out() {
    let shape = Shape::new(1, 4);
    let window = Window::whole(shape);
    let floats = raster(Pixels::F32(vec![f32::NAN, 1.0, f32::INFINITY, 3.0]), shape);
    assert_eq!(value_range(&floats, ValueRangeChoice::Auto, window).unwrap(), per_band(&[(1.0, 3.0)]));
    assert_eq!(value_range(&floats, percentiles(0.0, 50.0, false), window).unwrap(), per_band(&[(1.0, 2.0)]));

    let nodata = raster(Pixels::U16(vec![0, 10, 20, 30, 5, 6, 0, 8]), shape).with_nodata(0.0);
    // A pixel that lacks one band lacks all.
    assert_eq!(value_range(&nodata, ValueRangeChoice::Auto, window).unwrap(), per_band(&[(10.0, 30.0), (6.0, 8.0)]));
    let masked = raster(Pixels::U16(vec![0, 10, 20, 30]), shape).with_valid(vec![false, true, true, false]).unwrap();
    assert_eq!(value_range(&masked, ValueRangeChoice::Auto, window).unwrap(), per_band(&[(10.0, 20.0)]));
    // A band without values beside one with some.
    let half = raster(Pixels::F64([vec![f64::NAN; 4], vec![1.0, 2.0, 3.0, 4.0]].concat()), shape);
    for choice in [ValueRangeChoice::Auto, percentiles(0.0, 100.0, false)] {
        assert_eq!(value_range(&half, choice, window).unwrap(), per_band(&[(0.0, 0.0), (1.0, 4.0)]));
    }
}

#[test]
fn joint_percentiles_and_chosen_ranges() {
    let shape = Shape::new(1, 2);
    let bytes = raster(Pixels::U8(vec![0, 10, 20, 30]), shape);
    let range = |choice| value_range(&bytes, choice, Window::whole(shape)).unwrap();
    assert_eq!(range(percentiles(0.0, 100.0, true)), per_band(&[(0.0, 30.0); 2]));
    assert_eq!(range(percentiles(25.0, 50.0, true)), per_band(&[(7.5, 15.0); 2]));
    assert_eq!(range(percentiles(0.0, 50.0, false)), per_band(&[(0.0, 5.0), (20.0, 25.0)]));
    assert_eq!(range(ValueRangeChoice::Fixed { min: -1.0, max: 9.0 }), per_band(&[(-1.0, 9.0); 2]));
    assert_eq!(range(ValueRangeChoice::PerChip), ValueRange::PerChip);
}

#[test]
fn percentiles_of_every_element_type() {
    let shape = Shape::new(1, 3);
    for pixels in [
        Pixels::U8(vec![9, 1, 5]),
        Pixels::I8(vec![9, 1, 5]),
        Pixels::U16(vec![9, 1, 5]),
        Pixels::I16(vec![9, 1, 5]),
        Pixels::U32(vec![9, 1, 5]),
        Pixels::I32(vec![9, 1, 5]),
        Pixels::U64(vec![9, 1, 5]),
        Pixels::I64(vec![9, 1, 5]),
        Pixels::F32(vec![9.0, 1.0, 5.0]),
        Pixels::F64(vec![9.0, 1.0, 5.0]),
    ] {
        let name = pixels.type_name();
        let found = value_range(&raster(pixels, shape), percentiles(25.0, 100.0, false), Window::whole(shape)).unwrap();
        assert_eq!(found, per_band(&[(3.0, 9.0)]), "{name}");
    }
    let extremes = raster(Pixels::I64(vec![i64::MIN, 0, i64::MAX]), shape);
    let found = value_range(&extremes, percentiles(0.0, 100.0, false), Window::whole(shape)).unwrap();
    assert_eq!(found, per_band(&[(i64::MIN as f64, i64::MAX as f64)]));
    let signs = raster(Pixels::F32(vec![-1e30, -1e-30, 1e30]), shape);
    let found = value_range(&signs, percentiles(50.0, 100.0, false), Window::whole(shape)).unwrap();
    assert_eq!(found, per_band(&[((-1e-30f32).into(), 1e30f32.into())]));
}

#[test]
fn blocks_are_put_together() {
    // Wider and higher than one block.
    let shape = Shape::new(600, 9000);
    let values: Vec<u16> = (0..shape.area()).map(|i| (i * 7919 % 60_001) as u16).collect();
    let mut sorted = values.clone();
    sorted.sort_unstable();
    let words = raster(Pixels::U16(values), shape);
    let at = |percent: f64| {
        let position = percent / 100.0 * (sorted.len() - 1) as f64;
        let [low, high] = [position.floor(), position.ceil()].map(|i| f64::from(sorted[i as usize]));
        low + (high - low) * position.fract()
    };
    let found = value_range(&words, percentiles(2.0, 98.0, false), Window::whole(shape)).unwrap();
    assert_eq!(found, per_band(&[(at(2.0), at(98.0))]));
    let found = value_range(&words, ValueRangeChoice::Auto, Window::whole(shape)).unwrap();
    assert_eq!(found, per_band(&[(0.0, 60_000.0)]));
}

#[test]
fn an_extent_without_data_is_an_error() {
    let shape = Shape::new(2, 2);
    let empty = raster(Pixels::F32(vec![f32::NAN; 4]), shape).with_source_path("field.tif");
    for choice in [ValueRangeChoice::Auto, percentiles(2.0, 98.0, false), percentiles(2.0, 98.0, true)] {
        assert_eq!(
            value_range(&empty, choice, Window::whole(shape)).unwrap_err().to_string(),
            "invalid extent: expected at least one pixel that holds data, found none among 2×2 pixels at column 0, row 0 of field.tif"
        );
    }
    let off = value_range(&empty, ValueRangeChoice::Auto, Window::new(5, 5, shape));
    assert!(matches!(off, Err(Error::OutOfBounds { .. })));
    let backwards = value_range(&empty, percentiles(98.0, 2.0, false), Window::whole(shape));
    assert!(matches!(backwards, Err(Error::InvalidArgument { .. })));
}

/// Cancels when it is asked for the so-manieth time.
struct CancelAt(AtomicUsize);

impl Progress for CancelAt {
    fn set_progress(&self, _percent: f64) {}

    fn push_info(&self, message: &str) {
        assert_eq!(message, "reading 600×2 pixels at column 0, row 0 of memory for its value range");
    }

    fn is_canceled(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

#[test]
fn reading_for_statistics_can_be_cancelled() {
    // Two blocks, which percentiles of floats read twice.
    let shape = Shape::new(600, 2);
    let floats = raster(Pixels::F32((0..1200).map(|i| i as f32).collect()), shape);
    let read = |choice, cancel_at| {
        statistics::value_range(&floats, choice, Window::whole(shape), &CancelAt(AtomicUsize::new(cancel_at)))
    };
    for (choice, blocks) in [(ValueRangeChoice::Auto, 2), (percentiles(0.0, 100.0, false), 4)] {
        for cancel_at in 1..=blocks {
            assert!(matches!(read(choice, cancel_at), Err(Error::Cancelled { .. })), "{choice:?}");
        }
        assert_eq!(read(choice, blocks + 1).unwrap(), per_band(&[(0.0, 1199.0)]));
    }
    assert!(read(ValueRangeChoice::PerChip, 1).is_ok(), "nothing is read");
}
