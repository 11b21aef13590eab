//! Folders that Python geosam made (`goldens/make_python_folder.py`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use geosam_cache::{ExistingFolder, FeatureCacheConfig, FeatureFolder, FolderOptions, describe_feature_source};
use geosam_core::{
    Affine, ChipRecord, EncodedImageFeatures, Error, FeaturePayload, FeatureStore, FeatureTensor, GeoGrid, ModelType,
    NoProgress, SameCrsOnly, Shape, Tiling, Window,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{FakeModel, FakeRaster, builder_with};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/python_folder")
}

/// The raster that the script drew.
fn grid() -> GeoGrid {
    let transform = Affine::from_origin(399_960.25, 4_200_000.5, 0.5, 0.5);
    GeoGrid::new(transform, Shape::new(20, 28), "EPSG:32650".into()).unwrap()
}

#[test]
fn a_folder_of_python_geosam_opens() {
    // It was made in /tmp and lies here now: the chips are found by their names.
    let folder = FeatureFolder::open(golden()).unwrap();
    let chips = folder.chips().unwrap();
    assert_eq!(chips.len(), 6);
    assert_eq!(chips[5].grid, grid().window(Window::new(12, 4, Shape::square(16))).unwrap());
    assert_eq!(chips[5].fingerprint, None);
    let expected = EncodedImageFeatures {
        model_type: ModelType::Sam,
        checkpoint_path: "/models/sam_b.pt".to_string(),
        src_shape: Shape::square(16),
        dst_shape: Shape::square(16),
        payload: FeaturePayload::Sam(
            FeatureTensor::new(vec![1, 2, 2, 2], vec![11.5, 12.5, 11.5, 12.5, 11.5, 12.5, 11.5, 12.5]).unwrap(),
        ),
    };
    assert_eq!(folder.get("chip_000005").unwrap(), expected);
    folder.verify("chip_000005").unwrap();

    let summary = describe_feature_source(golden()).unwrap();
    assert_eq!((summary.crs.as_str(), summary.chip_count, summary.pixel_area), ("EPSG:32650", 6, 0.25));
    assert_eq!(summary.extent, grid().bounds());
    assert_eq!(summary.model_id.as_deref(), Some("sam_b"));
    assert_eq!((summary.value_range, summary.preprocess, summary.complete), (None, None, true));
}

#[test]
fn a_folder_of_python_geosam_is_not_continued() {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("features")).unwrap();
    std::fs::copy(golden().join("manifest.parquet"), copy.path().join("manifest.parquet")).unwrap();
    let error = FeatureFolder::create(copy.path(), Arc::new(SameCrsOnly), FolderOptions::default()).unwrap_err();
    assert!(error.to_string().contains("does not record how it made them"), "{error}");
}

/// A folder as Python geosam records it: SAM 3 encoded at `encoded`, a whole number of patches, from chips of `recorded`.
/// The values do not matter, so each map has one channel.
fn sam3_folder(path: &Path, encoded: usize, recorded: usize) {
    let shape = Shape::square(recorded);
    let map = |side: usize| FeatureTensor::new(vec![1, 1, side, side], vec![0.5; side * side]).unwrap();
    let patches = encoded / 14;
    let features = EncodedImageFeatures {
        model_type: ModelType::Sam3,
        checkpoint_path: "/models/sam3.pt".to_string(),
        src_shape: shape,
        dst_shape: shape,
        payload: FeaturePayload::Sam2 {
            image_embed: map(patches),
            high_res_feats: vec![map(4 * patches), map(2 * patches)],
        },
    };
    let record = ChipRecord {
        chip_id: "chip_000000".to_string(),
        grid: GeoGrid { shape, ..grid() },
        dst_shape: shape,
        source_path: "/tmp/fields.tif".to_string(),
        model_type: ModelType::Sam3,
        checkpoint_path: "/models/sam3.pt".to_string(),
        fingerprint: None,
    };
    let folder = FeatureFolder::create(path, Arc::new(SameCrsOnly), FolderOptions::default()).unwrap();
    folder.put(&record, &features).unwrap();
    folder.commit().unwrap();
}

#[test]
fn a_folder_of_sam_3_at_pythons_default_size_is_refused_when_it_is_opened() {
    let path = tempfile::tempdir().unwrap();
    sam3_folder(path.path(), 1036, 1024);
    let error = FeatureFolder::open(path.path()).unwrap_err();
    assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
    let message = error.to_string();
    for part in [
        "manifest.parquet",
        "expected sam3 features encoded at 1008×1008",
        "encoded at 1036×1036 and recorded as 1024×1024",
        "every click would land 1.2 % too near the top left",
        "encode again with image size 1008 (imgsz=1008 in Python geosam)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // The remedy works in the same folder.
    let options = FolderOptions { existing: ExistingFolder::Overwrite, ..FolderOptions::default() };
    FeatureFolder::create(path.path(), Arc::new(SameCrsOnly), options).unwrap();
}

#[test]
fn a_folder_of_sam_3_at_1008_opens_whoever_made_it() {
    let path = tempfile::tempdir().unwrap();
    sam3_folder(path.path(), 1008, 1008);
    let folder = FeatureFolder::open(path.path()).unwrap();
    folder.get("chip_000000").unwrap().check_encode_size(ModelType::Sam3.image_size()).unwrap();
}

#[test]
fn the_required_columns_are_the_ones_that_python_geosam_writes() {
    let folder = tempfile::tempdir().unwrap();
    let raster = FakeRaster {
        grid: grid(),
        source_path: "/tmp/geosam-golden/fields.tif".to_string(),
        ..FakeRaster::new(20, 28)
    };
    let mut model = FakeModel::new();
    model.spec.image_size = 16;
    let config = FeatureCacheConfig { tiling: Tiling::Stride(Shape::square(8)), ..FeatureCacheConfig::default() };
    builder_with(Arc::new(raster), Arc::new(model), folder.path(), config).build(&NoProgress).unwrap();

    let (ours, theirs) = (read(&folder.path().join("manifest.parquet")), read(&golden().join("manifest.parquet")));
    let names: Vec<_> = theirs.schema().fields().iter().map(|field| field.name().clone()).collect();
    let our_names: Vec<_> = ours.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(our_names[..12], names[..12], "in the same order");
    for name in &names[1..] {
        let (ours, theirs) = (ours.column_by_name(name).unwrap(), theirs.column_by_name(name).unwrap());
        let equal = match name.as_str() {
            "chip_center_x" | "chip_center_y" => {
                ours.as_primitive::<Float64Type>().values() == theirs.as_primitive::<Float64Type>().values()
            }
            "geometry" => ours.as_binary::<i32>().iter().eq(theirs.as_binary::<i32>().iter()),
            _ => {
                let (ours, theirs) = (text(ours.as_ref()), text(theirs.as_ref()));
                assert_eq!(ours, theirs, "{name}");
                true
            }
        };
        assert!(equal, "{name}: {ours:?} {theirs:?}");
    }
    // The path of a chip is absolute and where it was written.
    let path = text(ours.column_by_name("feature_path").unwrap().as_ref()).remove(0);
    assert_eq!(Path::new(&path), folder.path().canonicalize().unwrap().join("features/chip_000000.pt"));
}

fn read(manifest: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(manifest).unwrap()).unwrap();
    builder.build().unwrap().next().unwrap().unwrap()
}

fn text(column: &dyn Array) -> Vec<String> {
    let text = arrow_cast::cast(column, &DataType::Utf8).unwrap();
    text.as_string::<i32>().iter().map(|value| value.unwrap().to_string()).collect()
}
