//! Queries against encoded chips.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use geosam_core::{
    BoundingBox, Error, FeatureStore, MemoryFeatureStore, ModelType, PredictOptions, PromptSet, SameCrsOnly, Shape,
    VectorizeOptions, Window, WorldPoint,
};
use geosam_query::{FeatureQueryEngine, FeatureQueryOptions};

use crate::support::{FakeModel, SIDE, click, clicks, features, four_chips, grid, record};

const ONE: PredictOptions = PredictOptions { multimask: false };

fn engine(model: &Arc<FakeModel>) -> FeatureQueryEngine {
    engine_on(four_chips(), model, FeatureQueryOptions::default())
}

fn engine_on(
    store: Arc<MemoryFeatureStore>,
    model: &Arc<FakeModel>,
    options: FeatureQueryOptions,
) -> FeatureQueryEngine {
    FeatureQueryEngine::new(store, model.clone(), Arc::new(SameCrsOnly), options).unwrap()
}

fn chip_of(engine: &FeatureQueryEngine, prompt: &PromptSet) -> String {
    engine.chip_for(prompt).unwrap().chip_id.clone()
}

#[test]
fn the_chip_whose_centre_is_nearest_answers() {
    // Chips start at columns 0, 8, 16, 24; their centres are at 8, 16, 24, 32.
    let engine = engine(&FakeModel::new());
    for (column, chip) in [(0.0, 0), (11.9, 0), (12.1, 1), (19.0, 1), (21.0, 2), (30.0, 3), (40.0, 3)] {
        assert_eq!(chip_of(&engine, &click(column, 5.0)), format!("chip_{chip:06}"), "column {column}");
    }
    // Of two equally near ones the first.
    assert_eq!(chip_of(&engine, &click(12.0, 8.0)), "chip_000000");
    // The chip nearest to the mean of the points, column 10, does not cover them all.
    assert_eq!(chip_of(&engine, &clicks(&[(1.0, 8.0), (14.0, 8.0), (15.0, 8.0)])), "chip_000000");
    assert_eq!(chip_of(&engine, &clicks(&[(9.0, 8.0), (9.5, 8.0), (22.0, 8.0)])), "chip_000001");
}

#[test]
fn a_prompt_as_large_as_a_chip_is_answered_by_it() {
    let engine = engine(&FakeModel::new());
    let bounds = engine.chips()[2].grid.bounds();
    assert_eq!(chip_of(&engine, &bounds.into()), "chip_000002");
}

#[test]
fn the_answer_lies_on_the_map() {
    let engine = engine(&FakeModel::new());
    let result = engine.query(&click(19.5, 3.5), ONE).unwrap();
    assert_eq!(result.chip_id.as_deref(), Some("chip_000001"));
    assert_eq!(result.grid, grid(SIDE, 40).window(Window::new(8, 0, Shape::square(SIDE))).unwrap());
    assert_eq!(result.chip_bounds, result.grid.bounds());
    assert_eq!(result.query_bounds, click(19.5, 3.5).bounds());
    assert_eq!((&*result.source_path, result.model_type), ("harbour.tif", ModelType::Sam));
    assert_eq!((result.scores, result.masks.len()), (vec![1.0], 1));
    let result = engine.query(&click(19.5, 3.5), PredictOptions { multimask: true }).unwrap();
    assert_eq!((result.masks.len(), result.scores.len(), result.low_res.values.len()), (3, 3, 3));
}

#[test]
fn the_mask_becomes_a_polygon_around_the_prompt() {
    let engine = engine(&FakeModel::new());
    let polygons = engine.query(&click(19.5, 3.5), ONE).unwrap().features(&VectorizeOptions::default()).unwrap();
    assert_eq!(polygons.crs, *engine.crs());
    assert_eq!(polygons.features.len(), 1);
    let ring = polygons.features[0].polygon.exterior();
    let inside = |x: f64, y: f64| (500_009.5..=500_010.0).contains(&x) && (4_199_998.0..=4_199_998.5).contains(&y);
    assert!(ring.coords().all(|c| inside(c.x, c.y)), "{ring:?}");
}

#[test]
fn chips_are_opened_once_and_dropped_by_bytes() {
    let model = FakeModel::new();
    // Features of one chip take four bytes.
    let engine = engine_on(four_chips(), &model, FeatureQueryOptions { max_opened_bytes: 8 });
    let opened = |column: f64| {
        engine.query(&click(column, 5.0), ONE).unwrap();
        model.opened.load(Ordering::SeqCst)
    };
    assert_eq!([opened(1.0), opened(2.0), opened(16.0), opened(1.0)], [1, 1, 2, 2]);
    // The third chip drops the one at 16, which was used longest ago.
    assert_eq!([opened(24.0), opened(1.0), opened(16.0)], [3, 3, 4]);

    let model = FakeModel::new();
    let engine = engine_on(four_chips(), &model, FeatureQueryOptions { max_opened_bytes: 0 });
    for column in [1.0, 2.0, 3.0] {
        engine.query(&click(column, 5.0), ONE).unwrap();
    }
    assert_eq!(model.opened.load(Ordering::SeqCst), 1, "the chip used last stays");
}

#[test]
fn many_prompts_open_each_chip_once_and_come_back_in_order() {
    let model = FakeModel::new();
    let engine = engine_on(four_chips(), &model, FeatureQueryOptions { max_opened_bytes: 0 });
    let columns: Vec<f64> = (0..80).map(|i| f64::from(i * 37 % 40)).collect();
    let prompts: Vec<_> = columns.iter().map(|column| click(*column, 5.0)).collect();
    let results = engine.query_many(&prompts, ONE);
    assert_eq!(model.opened.load(Ordering::SeqCst), 4);
    assert!(model.calls.lock().unwrap().iter().all(|prompts| *prompts > 1), "prompts go together");
    for (prompt, result) in prompts.iter().zip(results) {
        let result = result.unwrap();
        assert_eq!(result, engine.query(prompt, ONE).unwrap());
    }
}

#[test]
fn one_bad_prompt_of_many_fails_alone() {
    let engine = engine(&FakeModel::new());
    let without_points: PromptSet = engine.chips()[0].grid.bounds().into();
    let prompts = [click(1.0, 1.0), without_points, click(-500.0, 1.0), click(2.0, 1.0)];
    let results = engine.query_many(&prompts, ONE);
    assert!(results[0].is_ok() && results[3].is_ok());
    assert!(matches!(results[1], Err(Error::InvalidArgument { .. })));
    assert!(matches!(results[2], Err(Error::NotCovered { .. })));
}

#[test]
fn a_mask_is_answered_by_its_own_chip_or_not_at_all() {
    let engine = engine(&FakeModel::new());
    let first = engine.query(&click(11.0, 8.0), ONE).unwrap();
    let with_mask = |column| click(column, 8.0).with_mask(first.low_res.as_prompt(0), first.grid.clone());
    assert_ne!(engine.query(&click(13.0, 8.0), ONE).unwrap().chip_id, first.chip_id, "another chip is nearer");
    assert_eq!(engine.query(&with_mask(13.0), ONE).unwrap().chip_id, first.chip_id);
    let error = engine.query(&with_mask(20.0), ONE).unwrap_err().to_string();
    assert!(error.starts_with("invalid mask prompt: expected other prompts on the chip"), "{error}");
}

#[test]
fn a_prompt_that_no_chip_covers_is_told_the_nearest() {
    let engine = engine(&FakeModel::new());
    let hint = |prompt: &PromptSet| engine.query(prompt, ONE).unwrap_err().to_string();
    // Twenty pixels of half a metre to the right of the last chip.
    let error = hint(&click(60.0, 8.0));
    assert!(error.ends_with("the nearest chip, chip_000003, is 10.000000 m to the west"), "{error}");
    let error = hint(&click(-3.0, -3.0));
    assert!(error.contains("chip_000000") && error.ends_with("to the south-east"), "{error}");
    let error = hint(&clicks(&[(1.0, 8.0), (39.0, 8.0)]));
    assert!(error.contains("it is 19 × 0 and the nearest chip"), "{error}");
    let error = hint(&clicks(&[(30.0, 8.0), (41.0, 8.0)]));
    assert!(error.contains("it crosses the edge of the nearest chip, chip_000003"), "{error}");
}

#[test]
fn a_prompt_without_crs_is_refused_and_one_in_another_is_brought_over() {
    let engine = engine(&FakeModel::new());
    let bare: PromptSet = BoundingBox::new(500_000.0, 4_199_999.0, 500_001.0, 4_200_000.0, None).unwrap().into();
    assert!(matches!(engine.query(&bare, ONE), Err(Error::MissingCrs { .. })));
    let degrees: PromptSet = BoundingBox::new(-75.0, 37.9, -74.9, 38.0, Some("EPSG:4326".into())).unwrap().into();
    // The test's transform knows one CRS only, and says so.
    assert!(matches!(engine.query(&degrees, ONE), Err(Error::Crs { .. })));
}

#[test]
fn features_of_another_model_are_refused_at_once() {
    let refuse = |change: &dyn Fn(&mut FakeModel)| {
        let mut model = Arc::into_inner(FakeModel::new()).unwrap();
        change(&mut model);
        FeatureQueryEngine::new(four_chips(), Arc::new(model), Arc::new(SameCrsOnly), FeatureQueryOptions::default())
    };
    assert!(refuse(&|_| {}).is_ok());
    let error = refuse(&|model| model.spec.fingerprint = Some("beef".into())).unwrap_err();
    assert!(matches!(error, Error::ModelMismatch { .. }), "{error}");
    assert!(error.to_string().contains("encoder f00d") && error.to_string().contains("encoder beef"), "{error}");
    // Where a hash is missing, the checkpoint's name as Python knows it decides.
    assert!(refuse(&|model| model.spec.fingerprint = None).is_ok());
    let other_name = refuse(&|model| (model.spec.fingerprint, model.spec.model_id) = (None, "sam_l".into()));
    assert!(matches!(other_name, Err(Error::ModelMismatch { .. })));
    let other_family = refuse(&|model| model.spec.model_type = ModelType::Sam2);
    assert!(matches!(other_family, Err(Error::ModelMismatch { .. })));
}

#[test]
fn a_store_without_chips_is_refused() {
    let empty = Arc::new(MemoryFeatureStore::new());
    let engine =
        FeatureQueryEngine::new(empty, FakeModel::new(), Arc::new(SameCrsOnly), FeatureQueryOptions::default());
    assert!(matches!(engine, Err(Error::InvalidArgument { .. })));
}

#[test]
fn a_rotated_chip_answers_only_on_its_pixels() {
    let mut turned = grid(SIDE, SIDE);
    let (sin, cos) = std::f64::consts::FRAC_PI_4.sin_cos();
    let t = &mut turned.transform;
    (t.a, t.b, t.d, t.e) = (0.5 * cos, 0.5 * sin, 0.5 * sin, -0.5 * cos);
    let store = MemoryFeatureStore::new();
    store.put(&record(0, turned.clone()), &features(turned.shape, 0)).unwrap();
    let engine = engine_on(Arc::new(store), &FakeModel::new(), FeatureQueryOptions::default());
    let at = |p: WorldPoint| {
        let points = geosam_core::Points::new(vec![p], vec![geosam_core::Label::Foreground], Some("EPSG:32618".into()));
        engine.query(&points.unwrap().into(), ONE)
    };
    let b = turned.bounds();
    assert!(at(b.center()).is_ok());
    assert!(matches!(at(WorldPoint::new(b.left + 0.1, b.top - 0.1)), Err(Error::NotCovered { .. })));
}
