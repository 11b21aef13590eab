//! Queries against a raster.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use geosam_core::{
    BoundingBox, Error, Label, Points, PredictOptions, Preprocess, PromptSet, SameCrsOnly, Shape, ValueRange,
    ValueRangeChoice, Window, WorldPoint,
};
use geosam_query::{OnlineQueryCache, OnlineQueryEngine, OnlineQueryOptions};

use crate::support::{FakeModel, FakeRaster, SIDE, click, clicks, grid};

const ONE: PredictOptions = PredictOptions { multimask: false };

/// On a raster of 32 rows and 100 columns.
fn engine(model: &Arc<FakeModel>) -> OnlineQueryEngine {
    let raster = Arc::new(FakeRaster { grid: grid(32, 100), no_data_before: 0 });
    OnlineQueryEngine::new(raster, model.clone(), Arc::new(SameCrsOnly), OnlineQueryOptions::default()).unwrap()
}

#[test]
fn the_chip_lies_around_the_prompt_and_inside_the_raster() {
    let engine = engine(&FakeModel::new());
    // (prompt, first pixel of the chip)
    let cases = [((50.7, 16.2), (42, 8)), ((1.0, 1.0), (0, 0)), ((99.0, 31.0), (84, 16))];
    for ((column, row), (left, top)) in cases {
        let result = engine.query(&click(column, row), ONE, &mut OnlineQueryCache::new()).unwrap();
        let expected = Window::new(left, top, Shape::square(SIDE));
        assert_eq!(result.grid, grid(32, 100).window(expected).unwrap());
        assert_eq!((result.chip_id, &*result.source_path), (None, "harbour.tif"));
        // The chip's features hold its first byte, which is its first column.
        assert_eq!(result.scores, [left as f32]);
    }
}

#[test]
fn a_chip_serves_until_a_prompt_leaves_it() {
    let model = FakeModel::new();
    let engine = engine(&model);
    let mut cache = OnlineQueryCache::new();
    let mut encoded = |prompt: &PromptSet| {
        engine.query(prompt, ONE, &mut cache).unwrap();
        model.encoded.load(Ordering::SeqCst)
    };
    // The first prompt encodes columns 42 to 58.
    let counts = [50.0, 42.0, 58.0, 58.5, 49.0].map(|column| encoded(&click(column, 16.0)));
    assert_eq!(counts, [1, 1, 1, 2, 3]);
    // Both points must be in it.
    assert_eq!(encoded(&clicks(&[(43.0, 16.0), (57.0, 16.0)])), 3);
    assert_eq!(encoded(&clicks(&[(45.0, 16.0), (59.0, 16.0)])), 4);
    assert_eq!((cache.len(), cache.size_in_bytes()), (1, 4));
}

#[test]
fn a_mask_is_answered_by_its_own_chip_or_not_at_all() {
    let model = FakeModel::new();
    let engine = engine(&model);
    let mut cache = OnlineQueryCache::with_max_bytes(8);
    let first = engine.query(&click(50.0, 16.0), ONE, &mut cache).unwrap();
    // A chip to the right of it, in which column 57 lies more centrally.
    engine.query(&click(62.0, 16.0), ONE, &mut cache).unwrap();
    assert_ne!(engine.query(&click(57.0, 16.0), ONE, &mut cache).unwrap().grid, first.grid);
    let with_mask = |column| click(column, 16.0).with_mask(first.low_res.as_prompt(0), first.grid.clone());
    assert_eq!(engine.query(&with_mask(57.0), ONE, &mut cache).unwrap().grid, first.grid);
    assert_eq!(model.encoded.load(Ordering::SeqCst), 2);
    // Not kept any more, it is encoded again.
    assert_eq!(engine.query(&with_mask(57.0), ONE, &mut OnlineQueryCache::new()).unwrap().grid, first.grid);
    let error = engine.query(&with_mask(60.0), ONE, &mut cache).unwrap_err().to_string();
    assert!(error.starts_with("invalid mask prompt: expected other prompts on the chip"), "{error}");
}

#[test]
fn a_larger_cache_keeps_several_chips() {
    let model = FakeModel::new();
    let engine = engine(&model);
    let mut cache = OnlineQueryCache::with_max_bytes(8);
    for column in [10.0, 50.0, 10.0, 50.0] {
        engine.query(&click(column, 16.0), ONE, &mut cache).unwrap();
    }
    assert_eq!((model.encoded.load(Ordering::SeqCst), cache.len()), (2, 2));
    engine.query(&click(90.0, 16.0), ONE, &mut cache).unwrap();
    assert_eq!((cache.len(), cache.size_in_bytes()), (2, 8));
    cache.clear();
    assert!(cache.is_empty());
}

#[test]
fn another_engine_does_not_use_the_chips() {
    let (model, mut cache) = (FakeModel::new(), OnlineQueryCache::new());
    engine(&model).query(&click(50.0, 16.0), ONE, &mut cache).unwrap();
    engine(&model).query(&click(50.0, 16.0), ONE, &mut cache).unwrap();
    assert_eq!(model.encoded.load(Ordering::SeqCst), 2);
}

#[test]
fn points_far_to_one_side_of_their_mean_are_covered_nevertheless() {
    let engine = engine(&FakeModel::new());
    // The mean is at column 41: the chip around it would end at 49.
    let prompt =
        clicks(&[(39.0, 16.0), (39.0, 16.0), (39.0, 16.0), (39.0, 16.0), (39.0, 16.0), (39.0, 16.0), (53.0, 16.0)]);
    let result = engine.query(&prompt, ONE, &mut OnlineQueryCache::new()).unwrap();
    assert!(result.chip_bounds.contains(&prompt.bounds()).unwrap());
}

#[test]
fn a_raster_smaller_than_a_chip_is_one_chip() {
    // Whose edges, in these coordinates, are not exactly where its pixels end.
    let mut grid = grid(9, 13);
    (grid.transform.a, grid.transform.e, grid.transform.c) = (0.3, -0.3, 500_000.9);
    let raster = Arc::new(FakeRaster { grid: grid.clone(), no_data_before: 0 });
    let engine = OnlineQueryEngine::new(raster, FakeModel::new(), Arc::new(SameCrsOnly), OnlineQueryOptions::default());
    let bounds = grid.bounds();
    let corners = vec![WorldPoint::new(bounds.left, bounds.top), WorldPoint::new(bounds.right, bounds.bottom)];
    let points = Points::new(corners, vec![Label::Foreground; 2], bounds.crs.clone()).unwrap();
    let prompt = PromptSet::new(Some(points), Some(bounds), &SameCrsOnly).unwrap();
    let result = engine.unwrap().query(&prompt, ONE, &mut OnlineQueryCache::new()).unwrap();
    assert_eq!(result.grid, grid);
}

#[test]
fn prompts_that_cannot_be_answered_say_why() {
    let engine = engine(&FakeModel::new());
    let mut cache = OnlineQueryCache::new();
    let mut fail = |prompt: PromptSet| engine.query(&prompt, ONE, &mut cache).unwrap_err();

    let error = fail(click(101.0, 5.0));
    assert!(matches!(error, Error::OutOfBounds { .. }) && error.to_string().contains("the point"), "{error}");
    let error = fail(clicks(&[(10.0, 5.0), (40.0, 5.0)]));
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("0.0×30.0 pixels") && error.to_string().contains("16×16"), "{error}");
    let error = fail(BoundingBox::new(0.0, 0.0, 1.0, 1.0, None).unwrap().into());
    assert!(matches!(error, Error::MissingCrs { .. }), "{error}");

    let raster = Arc::new(FakeRaster { grid: grid(32, 100), no_data_before: 60 });
    let engine = OnlineQueryEngine::new(raster, FakeModel::new(), Arc::new(SameCrsOnly), OnlineQueryOptions::default());
    let error = engine.unwrap().query(&click(10.0, 5.0), ONE, &mut OnlineQueryCache::new()).unwrap_err();
    assert!(error.to_string().contains("outside the valid pixels of harbour.tif"), "{error}");
}

#[test]
fn the_value_range_is_settled_once_as_the_model_needs_it() {
    assert_eq!(*engine(&FakeModel::new()).value_range(), ValueRange::AsIs);
    let mut model = Arc::into_inner(FakeModel::new()).unwrap();
    model.spec.preprocess = Preprocess::Geosam01;
    assert_eq!(*engine(&Arc::new(model)).value_range(), ValueRange::PerChip);
    let raster = Arc::new(FakeRaster { grid: grid(32, 100), no_data_before: 0 });
    let options = OnlineQueryOptions { value_range: ValueRangeChoice::Fixed { min: 2.0, max: 1.0 }, chip: None };
    let engine = OnlineQueryEngine::new(raster, FakeModel::new(), Arc::new(SameCrsOnly), options);
    assert!(matches!(engine, Err(Error::InvalidArgument { .. })));
}
