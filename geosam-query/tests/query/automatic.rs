//! Automatic masks of a model whose objects are known.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use geosam_core::{
    CancelFlag, Error, FeatureStore, MemoryFeatureStore, NoProgress, Progress, Shape, Tiling, VectorizeOptions, Window,
};
use geosam_query::{AutomaticMask, AutomaticMasks, AutomaticMasksConfig, AutomaticMasksRaster, AutomaticMasksReport};

use crate::support::region_model::{RegionModel, SIDE, Scene};
use crate::support::{FakeModel, features, grid, record};

/// Points every other pixel, so that no object of two by two pixels is missed.
const DENSE: AutomaticMasksConfig = AutomaticMasksConfig {
    points_per_side: SIDE / 2,
    points_per_batch: 64,
    multimask: true,
    pred_iou_thresh: None,
    stability_score_thresh: 0.95,
    stability_score_offset: 1.0,
    box_nms_thresh: 0.7,
    min_mask_region_area: 0,
    fill_holes: false,
    min_area: 0,
    max_area: None,
    seam_iou_thresh: 0.5,
    max_joined_pixels: 1 << 26,
};

/// Overlapping by half, by a fifth, by one pixel, and not at all.
const TILINGS: [Tiling; 4] = [
    Tiling::HalfOverlap,
    Tiling::Stride(Shape::new(25, 27)),
    Tiling::Stride(Shape::square(31)),
    Tiling::NonOverlapping,
];

/// Objects inside chips, on their borders and corners, larger than a chip, with a hole, around a corner, along the edge.
fn scene() -> Scene {
    Scene::new(100, 140)
        .object(&[(5, 5, 9, 7)])
        .object(&[(28, 4, 9, 6)])
        .object(&[(60, 27, 10, 10)])
        .object(&[(20, 20, 3, 60)])
        .object(&[(40, 45, 90, 5)])
        .object(&[(45, 60, 50, 35)])
        .ground(&[(60, 70, 10, 10)])
        .object(&[(100, 5, 35, 4), (131, 9, 4, 30)])
        .object(&[(0, 84, 15, 16)])
        .object(&[(128, 60, 12, 40)])
        .object(&[(62, 72, 5, 5)])
}

/// All masks of a run.
fn find(masks: &AutomaticMasks) -> (Vec<AutomaticMask>, AutomaticMasksReport) {
    let mut found = Vec::new();
    let report = masks.for_each(&NoProgress, |mask| {
        found.push(mask);
        Ok(())
    });
    (found, report.unwrap())
}

fn live(scene: &Scene, model: &Arc<RegionModel>, tiling: Tiling, config: AutomaticMasksConfig) -> AutomaticMasks {
    let raster = AutomaticMasksRaster { tiling, ..AutomaticMasksRaster::default() };
    AutomaticMasks::from_raster(Arc::new(scene.raster()), model.clone(), raster, config).unwrap()
}

/// A mask in pixels of the scene.
fn on_scene(mask: &AutomaticMask, scene: &Scene) -> Vec<bool> {
    let mut pixels = vec![false; scene.shape.area()];
    let Window { column, row, shape } = mask.window;
    for (at, inside) in mask.mask.mask(0).iter().enumerate() {
        pixels[(row as usize + at / shape.width) * scene.shape.width + column as usize + at % shape.width] = *inside;
    }
    pixels
}

/// Every object of the scene is found once and whole, and nothing else.
fn assert_exact(scene: &Scene, masks: &[AutomaticMask], what: &str) {
    let found: Vec<_> = masks.iter().map(|mask| on_scene(mask, scene)).collect();
    let windows: Vec<_> = masks.iter().map(|mask| (mask.window, mask.chips)).collect();
    for (object, truth) in scene.truth().iter().enumerate() {
        let times = found.iter().filter(|mask| *mask == truth).count();
        assert_eq!(times, 1, "{what}: object {} of {windows:?}", object + 1);
    }
    assert_eq!(found.len(), scene.truth().len(), "{what}: {windows:?}");
}

#[test]
fn every_object_comes_out_once_and_whole_however_chips_lie() {
    let scene = scene();
    for tiling in TILINGS {
        let model = RegionModel::new();
        let (found, report) = find(&live(&scene, &model, tiling, DENSE));
        assert_exact(&scene, &found, &format!("live, {tiling:?}"));
        // A point every two pixels, whatever the overlap.
        assert_eq!(report.points, 50 * 70);
        assert_eq!(model.prompts.load(Ordering::SeqCst), report.points);
        assert_eq!((report.masks, report.skipped), (found.len(), 0));
        assert_eq!(model.encoded.load(Ordering::SeqCst), report.chips);

        let store = scene.features(&model, tiling);
        let masks = AutomaticMasks::from_features(store, model, DENSE).unwrap();
        assert_eq!(*masks.grid(), scene.grid());
        assert_eq!(find(&masks), (found, report), "features, {tiling:?}");
    }
}

#[test]
fn an_object_may_cross_a_border_several_times() {
    // A comb, a ring and a spiral around the corner of chips at 32, 32.
    let scene = Scene::new(100, 100)
        .object(&[(4, 20, 64, 5), (4, 25, 4, 20), (18, 25, 4, 30), (28, 25, 8, 14), (60, 25, 8, 42)])
        .object(&[(40, 40, 4, 20), (40, 60, 16, 4), (52, 40, 4, 20)])
        .object(&[(70, 10, 28, 3), (95, 13, 3, 60), (70, 70, 25, 3), (70, 26, 3, 44), (73, 42, 15, 3)]);
    for tiling in TILINGS {
        let (found, _) = find(&live(&scene, &RegionModel::new(), tiling, DENSE));
        assert_exact(&scene, &found, &format!("{tiling:?}"));
    }
}

#[test]
fn a_road_and_the_fields_on_either_side_have_one_box_and_stay_three() {
    let rows = |window: fn(usize) -> (usize, usize, usize, usize)| (2..22).map(window).collect::<Vec<_>>();
    let scene = Scene::new(64, 64)
        .object(&rows(|i| (4, 4 + i, i - 1, 1)))
        .object(&rows(|i| (6 + i, 4 + i - 2, 23 - i, 1)))
        .object(&rows(|i| (3 + i, 4 + i - 1, 2, 2)));
    for tiling in TILINGS {
        let (found, _) = find(&live(&scene, &RegionModel::new(), tiling, DENSE));
        assert_exact(&scene, &found, &format!("{tiling:?}"));
    }
}

#[test]
fn identifiers_areas_and_scores() {
    let scene = scene();
    let (found, _) = find(&live(&scene, &RegionModel::new(), Tiling::HalfOverlap, DENSE));
    for (index, mask) in found.iter().enumerate() {
        assert_eq!(mask.id as usize, index + 1);
        assert_eq!(mask.area as usize, mask.mask.mask(0).iter().filter(|inside| **inside).count());
        assert_eq!((mask.score, mask.stability), (0.95, 1.0));
        let Window { column, row, shape } = mask.window;
        let (x, y) = (mask.point.column as i64 - column, mask.point.row as i64 - row);
        assert!(mask.mask.mask(0)[y as usize * shape.width + x as usize], "the point is on the mask");
    }
    let small = found.iter().find(|mask| mask.area == 9 * 7).unwrap();
    assert_eq!(small.chips, 1);
    let features = small.features(&scene.grid(), &VectorizeOptions::default()).unwrap();
    assert_eq!(features.features.len(), 1);
    let properties = &features.features[0].properties;
    // Half a metre a pixel.
    assert_eq!((properties["area"].as_f64(), properties["pixels"].as_u64()), (Some(9.0 * 7.0 / 4.0), Some(63)));
    assert_eq!((&properties["mask"], properties["chips"].as_u64()), (&small.id.into(), Some(1)));
    let exterior = features.features[0].polygon.exterior();
    let left = exterior.coords().map(|c| c.x).fold(f64::INFINITY, f64::min);
    assert_eq!(left, 500_000.0 + 5.0 / 2.0);
}

#[test]
fn what_the_model_is_not_sure_of_is_left_out() {
    let scene = scene();
    let count = |config| find(&live(&scene, &RegionModel::new(), Tiling::HalfOverlap, config)).0.len();
    let all = scene.truth().len();
    // 0.95 is what the best mask of each answer scores, and 0.3 what the ground does.
    assert_eq!(count(AutomaticMasksConfig { pred_iou_thresh: Some(0.94), ..DENSE }), all);
    assert_eq!(count(AutomaticMasksConfig { pred_iou_thresh: Some(0.95), ..DENSE }), 0);
    assert!(count(AutomaticMasksConfig { pred_iou_thresh: Some(0.2), ..DENSE }) > all);
    // Above 5 no logit is; the best mask stays as it is between 1 and −1, the others lose some.
    assert_eq!(count(AutomaticMasksConfig { stability_score_offset: 5.0, ..DENSE }), 0);
    assert_eq!(count(AutomaticMasksConfig { stability_score_thresh: 1.0, ..DENSE }), all);
    assert_eq!(count(AutomaticMasksConfig { multimask: false, ..DENSE }), all);
    let sparse = find(&live(
        &scene,
        &RegionModel::new(),
        Tiling::HalfOverlap,
        AutomaticMasksConfig { points_per_side: 1, ..DENSE },
    ));
    assert_eq!(sparse.1.points, 3 * 4, "a point every 32 pixels");
}

#[test]
fn areas_holes_and_islands() {
    let scene = Scene::new(80, 80)
        .object(&[(4, 4, 40, 40)])
        .ground(&[(10, 10, 3, 3), (25, 25, 10, 10)])
        .object(&[(60, 60, 4, 4)]);
    let areas = |config| {
        let (found, _) = find(&live(&scene, &RegionModel::new(), Tiling::NonOverlapping, config));
        let mut areas: Vec<_> = found.iter().map(|mask| mask.area).collect();
        areas.sort_unstable();
        areas
    };
    assert_eq!(areas(DENSE), [16, 1600 - 9 - 100]);
    assert_eq!(areas(AutomaticMasksConfig { min_area: 17, ..DENSE }), [1600 - 109]);
    assert_eq!(areas(AutomaticMasksConfig { max_area: Some(16), ..DENSE }), [16]);
    // What is measured is the whole object: no piece of it is that large.
    assert_eq!(areas(AutomaticMasksConfig { min_area: 1400, ..DENSE }), [1600 - 109]);
    assert_eq!(areas(AutomaticMasksConfig { max_area: Some(1490), ..DENSE }), [16]);
    assert_eq!(areas(AutomaticMasksConfig { min_mask_region_area: 10, ..DENSE }), [16, 1600 - 100]);
    assert_eq!(areas(AutomaticMasksConfig { fill_holes: true, ..DENSE }), [16, 1600]);
}

#[test]
fn masks_that_end_just_before_the_border_are_joined_all_the_same() {
    let scene = Scene::new(64, 128).object(&[(10, 10, 100, 12)]);
    let model = RegionModel::blind_at_borders(1);
    let (found, _) = find(&live(&scene, &model, Tiling::NonOverlapping, DENSE));
    // Three borders, on either side of which a column is missing.
    assert_eq!(found.iter().map(|mask| (mask.chips, mask.area)).collect::<Vec<_>>(), [(4, 12 * (100 - 3 * 2))]);
    // Where chips overlap, what one does not see at its border the other does.
    let (found, _) = find(&live(&scene, &model, Tiling::HalfOverlap, DENSE));
    assert_exact(&scene, &found, "overlapping");
}

#[test]
fn an_object_that_would_be_too_large_stays_in_pieces() {
    let scene = Scene::new(32, 320).object(&[(0, 10, 320, 10)]);
    let config = AutomaticMasksConfig { max_joined_pixels: 160 * 10, ..DENSE };
    let (found, _) = find(&live(&scene, &RegionModel::new(), Tiling::NonOverlapping, config));
    assert!(found.len() > 1);
    assert!(found.iter().all(|mask| mask.window.shape.area() <= 160 * 10));
    assert_eq!(found.iter().map(|mask| mask.area).sum::<u64>(), 3200, "nothing is lost or twice there");
}

#[test]
fn what_waits_does_not_grow_with_the_raster() {
    let waiting = |rows: usize| {
        let mut scene = Scene::new(rows * 24, 96);
        for row in 0..rows {
            // One object on a border of chips, one inside, to and fro.
            scene = scene.object(&[(20 + row % 3, 24 * row + 2, 30, 9), (20, 24 * row + 2, 3, 16)]);
            scene = scene.object(&[(70, 24 * row + 5, 12, 8)]);
        }
        let (found, report) = find(&live(&scene, &RegionModel::new(), Tiling::HalfOverlap, DENSE));
        assert_eq!(found.len(), 2 * rows);
        report.most_waiting
    };
    let (short, long) = (waiting(20), waiting(100));
    assert!(short > 0 && long <= short + 2, "{short} of 20 rows, {long} of 100");
}

#[test]
fn masks_come_as_soon_as_they_are_final() {
    let scene = scene();
    let percent_at_mask = Mutex::new(Vec::new());
    #[derive(Debug, Default)]
    struct Percent(Mutex<Vec<f64>>);
    impl Progress for Percent {
        fn set_progress(&self, percent: f64) {
            self.0.lock().unwrap().push(percent);
        }
        fn push_info(&self, _message: &str) {}
        fn is_canceled(&self) -> bool {
            false
        }
    }
    let progress = Percent::default();
    live(&scene, &RegionModel::new(), Tiling::HalfOverlap, DENSE)
        .for_each(&progress, |_| {
            let seen = progress.0.lock().unwrap();
            percent_at_mask.lock().unwrap().push(seen.last().copied().unwrap_or(0.0));
            Ok(())
        })
        .unwrap();
    let percents = progress.0.into_inner().unwrap();
    assert!(percents.is_sorted() && percents.last() == Some(&100.0), "{percents:?}");
    let first = percent_at_mask.into_inner().unwrap()[0];
    assert!(first < 40.0, "the first mask comes after {first} %");
}

#[test]
fn it_stops_when_told_to() {
    let scene = scene();
    let model = RegionModel::new();
    let masks = live(&scene, &model, Tiling::HalfOverlap, AutomaticMasksConfig { points_per_batch: 8, ..DENSE });
    let flag = CancelFlag::new();
    flag.cancel();
    let error = masks.for_each(&flag, |_| panic!("nothing is found")).unwrap_err();
    assert!(matches!(error, Error::Cancelled { done: 0, total: 48 }), "{error}");
    assert_eq!(model.encoded.load(Ordering::SeqCst), 0);

    /// Stops in the middle of the second chip.
    #[derive(Debug)]
    struct After(AtomicUsize);
    impl Progress for After {
        fn set_progress(&self, _percent: f64) {}
        fn push_info(&self, _message: &str) {}
        fn is_canceled(&self) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst) >= 25
        }
    }
    let error = masks.for_each(&After(0.into()), |_| Ok(())).unwrap_err();
    assert!(matches!(error, Error::Cancelled { done: 1, .. }), "{error}");
    assert!(model.prompts.load(Ordering::SeqCst) < 300);

    let mut taken = 0;
    let full = || Error::io("write", "disk", std::io::Error::other("full"));
    let error = masks.for_each(&NoProgress, |_| {
        taken += 1;
        Err(full())
    });
    assert!(matches!(error, Err(Error::Io { .. })) && taken == 1, "what the taker returns ends the run");
}

#[test]
fn nothing_is_asked_where_there_is_no_data() {
    let scene = scene();
    let model = RegionModel::new();
    let valid: Vec<bool> = (0..scene.shape.area()).map(|at| at % scene.shape.width < 64).collect();
    let raster = Arc::new(scene.raster().with_valid(valid).unwrap());
    let chips = AutomaticMasksRaster { tiling: Tiling::NonOverlapping, ..AutomaticMasksRaster::default() };
    let masks = AutomaticMasks::from_raster(raster.clone(), model.clone(), chips, DENSE).unwrap();
    let (found, report) = find(&masks);
    assert_eq!((report.points, report.chips, report.skipped), (50 * 32, 8, 12));
    assert!(found.iter().all(|mask| mask.window.column_end() <= 64), "no mask has a pixel without data");

    let extent = Window::new(40, 0, Shape::new(100, 100));
    let chips = AutomaticMasksRaster { extent: Some(extent), ..chips };
    let (found, _) = find(&AutomaticMasks::from_raster(raster, model, chips, DENSE).unwrap());
    assert!(!found.is_empty() && found.iter().all(|mask| mask.window.column >= 40), "windows are those of the raster");
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let scene = scene();
    let store = |records: &[(usize, i64)]| -> Arc<dyn FeatureStore> {
        let store = MemoryFeatureStore::new();
        for &(number, column) in records {
            let window = Window::new(column, 0, Shape::square(16));
            let chip = record(number, grid(100, 140).window(window).unwrap());
            store.put(&chip, &features(chip.grid.shape, 1)).unwrap();
        }
        Arc::new(store)
    };
    let error = AutomaticMasks::from_features(store(&[]), FakeModel::new(), DENSE).unwrap_err();
    assert!(error.to_string().contains("at least one chip"), "{error}");

    let between = MemoryFeatureStore::new();
    let whole = record(0, grid(16, 16));
    let mut shifted = record(1, grid(16, 16));
    shifted.grid.transform.c += 0.2;
    for chip in [whole, shifted] {
        between.put(&chip, &features(chip.grid.shape, 1)).unwrap();
    }
    let error = AutomaticMasks::from_features(Arc::new(between), FakeModel::new(), DENSE).unwrap_err();
    assert!(error.to_string().contains("chip_000001") && error.to_string().contains("pixel grid"), "{error}");

    let mut other = Arc::into_inner(FakeModel::new()).unwrap();
    other.spec.fingerprint = Some("beef".to_string());
    let error = AutomaticMasks::from_features(store(&[(0, 0)]), Arc::new(other), DENSE).unwrap_err();
    assert!(matches!(error, Error::ModelMismatch { .. }), "{error}");

    let bad = [
        (AutomaticMasksConfig { points_per_side: 0, ..DENSE }, "points per side"),
        (AutomaticMasksConfig { points_per_batch: 0, ..DENSE }, "points per batch"),
        (AutomaticMasksConfig { stability_score_offset: -1.0, ..DENSE }, "stability score offset"),
        (AutomaticMasksConfig { stability_score_thresh: f32::NAN, ..DENSE }, "stability score threshold"),
        (AutomaticMasksConfig { box_nms_thresh: 0.0, ..DENSE }, "box NMS threshold"),
        (AutomaticMasksConfig { seam_iou_thresh: 1.5, ..DENSE }, "seam IoU threshold"),
        (AutomaticMasksConfig { min_area: 9, max_area: Some(8), ..DENSE }, "largest area"),
    ];
    for (config, parameter) in bad {
        let raster = Arc::new(scene.raster());
        let error = AutomaticMasks::from_raster(raster, RegionModel::new(), AutomaticMasksRaster::default(), config);
        assert!(error.unwrap_err().to_string().contains(parameter), "{parameter}");
    }
}

#[test]
fn the_defaults_are_those_of_the_official_generators() {
    let config = AutomaticMasksConfig::default();
    assert_eq!((config.points_per_side, config.points_per_batch), (32, 64));
    assert_eq!((config.stability_score_thresh, config.stability_score_offset), (0.95, 1.0));
    assert_eq!((config.box_nms_thresh, config.min_mask_region_area), (0.7, 0));
    use geosam_core::ModelType::{Sam, Sam2, Sam3};
    assert_eq!([Sam, Sam2, Sam3].map(|family| config.pred_iou_thresh_for(family)), [0.88, 0.8, 0.8]);
}
