//! Encoding a raster into a folder: chips, order, resuming, cancelling, failing.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use geosam_cache::{BuildReport, ExistingFolder, FeatureCacheConfig, FeatureFolder, describe_feature_source};
use geosam_core::{
    Error, FeatureStore, NoProgress, Precision, Preprocess, Progress, Result, Shape, Tiling, ValueRange,
    ValueRangeChoice, Window,
};

use crate::support::{CancelAfter, FakeModel, FakeRaster, builder, builder_with, names};

fn build(raster: FakeRaster, folder: &Path) -> Result<BuildReport> {
    builder(raster, FakeModel::new(), folder).build(&NoProgress)
}

fn ids(folder: &Path) -> Vec<String> {
    FeatureFolder::open(folder).unwrap().chips().unwrap().iter().map(|chip| chip.chip_id.clone()).collect()
}

#[test]
fn chips_are_the_row_major_grid_at_half_a_chip() {
    let folder = tempfile::tempdir().unwrap();
    let report = build(FakeRaster::new(12, 17), folder.path()).unwrap();
    // Rows start at 0 and 4, columns at 0, 4, 8 and 9.
    assert_eq!((report.chips, report.written, report.skipped, report.resumed), (8, 8, 0, 0));
    let store = FeatureFolder::open(folder.path()).unwrap();
    let chips = store.chips().unwrap();
    let ids: Vec<_> = chips.iter().map(|chip| &*chip.chip_id).collect();
    let expected: Vec<_> = (0..8).map(|i| format!("chip_{i:06}")).collect();
    assert_eq!(ids, expected);
    let grid = FakeRaster::new(12, 17).grid;
    assert_eq!(chips[7].grid, grid.window(Window::new(9, 4, Shape::square(8))).unwrap());
    // The features are the chip's own: its first bytes are three times column 9, 10, …
    let values = store.get("chip_000007").unwrap().payload.tensors().next().unwrap().values().to_vec();
    assert_eq!(values, [9.0, 9.0, 9.0, 10.0, 10.0, 10.0, 11.0, 11.0]);
    assert_eq!(names(folder.path()), ["features", "manifest.parquet"]);
    assert_eq!(names(&folder.path().join("features")).len(), 8);
    assert_eq!(report.bytes, describe_feature_source(folder.path()).unwrap().storage_bytes);
}

#[test]
fn the_manifest_records_raster_model_and_grid() {
    let folder = tempfile::tempdir().unwrap();
    build(FakeRaster::new(8, 8), folder.path()).unwrap();
    let summary = describe_feature_source(folder.path()).unwrap();
    assert_eq!(summary.crs.as_str(), "EPSG:32618");
    assert_eq!((summary.chip_count, summary.pixel_area), (1, 0.25));
    assert_eq!(summary.extent, FakeRaster::new(8, 8).grid.bounds());
    assert_eq!(summary.model_id.as_deref(), Some("sam_b"));
    assert_eq!(summary.checkpoint_name, "sam_b.pt");
    assert_eq!(summary.origin_checkpoint.as_deref(), Some("/models/sam_vit_b_01ec64.pth"));
    assert_eq!(summary.fingerprint.as_deref(), Some("f00d"));
    assert_eq!(summary.bands, Some(vec![1]));
    assert_eq!(summary.value_range, Some(ValueRange::AsIs));
    assert_eq!(summary.preprocess.as_deref(), Some("standard"));
    assert!(summary.complete);
    let settings = FeatureFolder::open(folder.path()).unwrap().settings().unwrap().clone();
    assert_eq!((settings.chip, settings.stride), (Shape::square(8), Shape::square(4)));
}

#[test]
fn python_preprocessing_stretches_each_chip_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = FakeModel::new();
    model.spec.preprocess = Preprocess::Geosam01;
    builder(FakeRaster::new(8, 8), model, folder.path()).build(&NoProgress).unwrap();
    let summary = describe_feature_source(folder.path()).unwrap();
    assert_eq!(summary.value_range, Some(ValueRange::PerChip));
    assert_eq!(summary.preprocess.as_deref(), Some("geosam-0.1"));
}

#[test]
fn a_folder_of_one_precision_is_not_continued_in_another() {
    let folder = tempfile::tempdir().unwrap();
    build(FakeRaster::new(8, 8), folder.path()).unwrap();
    let precision = || describe_feature_source(folder.path()).unwrap().encoder_precision;
    assert_eq!(precision(), Some(Precision::F32));
    let mut model = FakeModel::new();
    model.spec.precision = Precision::Bf16;
    let error = builder(FakeRaster::new(8, 8), model, folder.path()).build(&NoProgress).unwrap_err();
    assert!(error.to_string().contains("encoder_precision"), "{error}");
    assert_eq!(precision(), Some(Precision::F32));
}

#[test]
fn chips_without_data_are_skipped_and_the_others_keep_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let raster = FakeRaster { no_data_before: 12, ..FakeRaster::new(8, 20) };
    let report = build(raster, folder.path()).unwrap();
    assert_eq!((report.chips, report.written, report.skipped), (4, 2, 2));
    assert_eq!(ids(folder.path()), ["chip_000002", "chip_000003"]);
}

#[test]
fn side_by_side_chips_without_data_are_left_out_as_well() {
    let folder = tempfile::tempdir().unwrap();
    // Columns 0, 8, 16 and, moved inwards, 22; rows 0 and 4. The first two columns of chips hold no data.
    let raster = FakeRaster { no_data_before: 16, ..FakeRaster::new(12, 30) };
    let config = FeatureCacheConfig { tiling: Tiling::NonOverlapping, ..FeatureCacheConfig::default() };
    let builder = builder_with(Arc::new(raster), Arc::new(FakeModel::new()), folder.path(), config);
    let report = builder.build(&NoProgress).unwrap();
    assert_eq!((report.chips, report.written, report.skipped), (8, 4, 4));
    assert_eq!(ids(folder.path()), ["chip_000002", "chip_000003", "chip_000006", "chip_000007"]);
    let chips = FeatureFolder::open(folder.path()).unwrap().chips().unwrap();
    let grid = FakeRaster::new(12, 30).grid;
    assert_eq!(chips[3].grid, grid.window(Window::new(22, 4, Shape::square(8))).unwrap());
    // The next run finds nothing to do, and counts the same.
    let again = builder.build(&NoProgress).unwrap();
    assert_eq!((again.chips, again.written, again.skipped, again.resumed), (8, 0, 4, 4));
}

#[test]
fn a_raster_without_any_data_makes_no_folder_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let error = build(FakeRaster { no_data_before: 99, ..FakeRaster::new(8, 20) }, folder.path()).unwrap_err();
    assert!(error.to_string().contains("none of its 4 chips holds a valid pixel"), "{error}");
    assert!(FeatureFolder::open(folder.path()).is_err());
    assert!(names(folder.path()).is_empty());

    let new = folder.path().join("new");
    build(FakeRaster { no_data_before: 99, ..FakeRaster::new(8, 20) }, &new).unwrap_err();
    assert!(!new.exists());
    builder(FakeRaster::new(8, 20), FakeModel::new(), &new).build(&CancelAfter::new(0)).unwrap_err();
    assert!(!new.exists());
}

#[test]
fn a_cancelled_run_keeps_what_is_done_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let raster = || FakeRaster::new(8, 44);
    let error = builder(raster(), FakeModel::new(), folder.path()).build(&CancelAfter::new(3)).unwrap_err();
    assert!(matches!(error, Error::Cancelled { done: 3, total: 10 }), "{error}");
    assert_eq!(ids(folder.path()), ["chip_000000", "chip_000001", "chip_000002"]);
    assert!(!describe_feature_source(folder.path()).unwrap().complete);

    let model = Arc::new(FakeModel::new());
    let again = builder_with(Arc::new(raster()), model.clone(), folder.path(), FeatureCacheConfig::default());
    let report = again.build(&NoProgress).unwrap();
    assert_eq!((report.resumed, report.written), (3, 7));
    assert_eq!(model.encoded.load(Ordering::SeqCst), 7);
    assert_eq!(ids(folder.path()).len(), 10);
    assert!(describe_feature_source(folder.path()).unwrap().complete);
}

#[test]
fn the_value_range_is_settled_once_while_the_raster_and_the_choice_stay() {
    let folder = tempfile::tempdir().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = || file.path().to_string_lossy().into_owned();
    let settled = |source_path: String, config: FeatureCacheConfig| -> Result<usize> {
        let raster = Arc::new(FakeRaster { source_path, ..FakeRaster::new(8, 20) });
        builder_with(raster.clone(), Arc::new(FakeModel::new()), folder.path(), config).build(&NoProgress)?;
        Ok(raster.ranges.load(Ordering::SeqCst))
    };
    let default = FeatureCacheConfig::default;
    assert_eq!(settled(path(), default()).unwrap(), 1);
    assert_eq!(settled(path(), default()).unwrap(), 0);

    // Another choice that comes to the same range goes on; anything about the raster is read anew.
    let value_range = ValueRangeChoice::Percentiles { low: 0.0, high: 100.0, joint: true };
    assert_eq!(settled(path(), FeatureCacheConfig { value_range, ..default() }).unwrap(), 1);
    std::fs::write(file.path(), "another raster").unwrap();
    settled(path(), default()).unwrap_err();
    let moved = FeatureCacheConfig { existing: ExistingFolder::ResumeMoved, ..default() };
    assert_eq!(settled(path(), moved).unwrap(), 1);
    let overwrite = FeatureCacheConfig { existing: ExistingFolder::Overwrite, ..default() };
    assert_eq!(settled(path(), overwrite).unwrap(), 1);

    // What is no file cannot be known to be the same, nor what has other files behind it.
    let tiles = tempfile::tempdir().unwrap();
    let mosaic = tiles.path().join("mosaic.vrt");
    std::fs::write(&mosaic, "names of files").unwrap();
    for source in [Path::new("harbour.tif"), tiles.path(), &mosaic] {
        let overwrite = FeatureCacheConfig { existing: ExistingFolder::Overwrite, ..default() };
        let name = || source.to_string_lossy().into_owned();
        assert_eq!(settled(name(), overwrite).unwrap(), 1);
        assert_eq!(settled(name(), default()).unwrap(), 1, "{source:?}");
    }
}

#[test]
fn a_cancel_before_the_first_chip_leaves_no_folder_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        builder(FakeRaster::new(8, 44), FakeModel::new(), folder.path()).build(&CancelAfter::new(0)).unwrap_err();
    assert!(matches!(error, Error::Cancelled { done: 0, total: 10 }), "{error}");
    assert!(FeatureFolder::open(folder.path()).is_err());
    assert_eq!(build(FakeRaster::new(8, 44), folder.path()).unwrap().written, 10);
}

#[test]
fn features_of_another_run_are_refused_unless_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    build(FakeRaster::new(8, 44), folder.path()).unwrap();
    let before = std::fs::read(folder.path().join("manifest.parquet")).unwrap();

    let mut other_model = FakeModel::new();
    other_model.spec.fingerprint = Some("beef".to_string());
    let error = builder(FakeRaster::new(8, 44), other_model, folder.path()).build(&NoProgress).unwrap_err();
    assert!(error.to_string().contains("made with fingerprint f00d, now it is beef"), "{error}");
    let error = build(FakeRaster::new(8, 20), folder.path()).unwrap_err();
    assert!(error.to_string().contains("made with grid"), "the raster comes first: {error}");
    assert_eq!(std::fs::read(folder.path().join("manifest.parquet")).unwrap(), before);

    let warped = |kernel| FakeRaster { resampling: Some(kernel), ..FakeRaster::new(8, 44) };
    let error = build(warped("bilinear"), folder.path()).unwrap_err();
    assert!(error.to_string().contains("made with resampling none, now it is bilinear"), "{error}");

    let config = FeatureCacheConfig { existing: ExistingFolder::Overwrite, ..FeatureCacheConfig::default() };
    let smaller = Arc::new(FakeRaster::new(8, 20));
    builder_with(smaller, Arc::new(FakeModel::new()), folder.path(), config).build(&NoProgress).unwrap();
    // No chip of the larger run is left behind.
    assert_eq!(names(&folder.path().join("features")).len(), 4);
    assert_eq!(ids(folder.path()).len(), 4);
}

#[test]
fn a_chip_file_that_went_missing_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    build(FakeRaster::new(8, 20), folder.path()).unwrap();
    std::fs::remove_file(folder.path().join("features/chip_000001.pt")).unwrap();
    let report = build(FakeRaster::new(8, 20), folder.path()).unwrap();
    assert_eq!((report.resumed, report.written), (3, 1));
    FeatureFolder::open(folder.path()).unwrap().verify("chip_000001").unwrap();
}

#[test]
fn batches_give_the_same_folder() {
    let (one, four) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    build(FakeRaster::new(20, 20), one.path()).unwrap();
    let config = FeatureCacheConfig { batch_size: Some(4), ..FeatureCacheConfig::default() };
    let raster = Arc::new(FakeRaster::new(20, 20));
    builder_with(raster, Arc::new(FakeModel::new()), four.path(), config).build(&NoProgress).unwrap();
    assert_eq!(ids(one.path()), ids(four.path()));
    let (one, four) = (FeatureFolder::open(one.path()).unwrap(), FeatureFolder::open(four.path()).unwrap());
    for chip in one.chips().unwrap() {
        assert_eq!(one.get(&chip.chip_id).unwrap(), four.get(&chip.chip_id).unwrap());
    }
}

#[derive(Debug, Default)]
struct Percentages(Mutex<Vec<f64>>);

impl Progress for Percentages {
    fn set_progress(&self, percent: f64) {
        self.0.lock().unwrap().push(percent);
    }

    fn push_info(&self, _message: &str) {}

    fn is_canceled(&self) -> bool {
        false
    }
}

#[test]
fn progress_never_decreases_and_ends_at_a_hundred() {
    let folder = tempfile::tempdir().unwrap();
    let progress = Percentages::default();
    let raster = FakeRaster { no_data_before: 12, ..FakeRaster::new(8, 44) };
    builder(raster, FakeModel::new(), folder.path()).build(&progress).unwrap();
    let seen = progress.0.into_inner().unwrap();
    assert!(seen.is_sorted() && seen.last() == Some(&100.0), "{seen:?}");
}

#[test]
fn unusable_grids_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new");
    let refuse = |config: FeatureCacheConfig| {
        let raster = Arc::new(FakeRaster::new(8, 8));
        builder_with(raster, Arc::new(FakeModel::new()), &folder, config).build(&NoProgress).unwrap_err()
    };
    let outside = FeatureCacheConfig { extent: Some(Window::new(4, 0, Shape::square(8))), ..Default::default() };
    assert!(matches!(refuse(outside), Error::OutOfBounds { .. }));
    let gaps = FeatureCacheConfig { tiling: Tiling::Stride(Shape::square(9)), ..Default::default() };
    assert!(matches!(refuse(gaps), Error::InvalidArgument { .. }));
    for nothing in [
        FeatureCacheConfig { batch_size: Some(0), ..Default::default() },
        FeatureCacheConfig { encoders: Some(0), ..Default::default() },
        FeatureCacheConfig { readers: Some(0), ..Default::default() },
        FeatureCacheConfig { writers: Some(0), ..Default::default() },
    ] {
        assert!(matches!(refuse(nothing), Error::InvalidArgument { .. }));
    }
    assert!(!folder.exists());
}
