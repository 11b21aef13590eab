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
    Affine, EncodedImageFeatures, Error, FeaturePayload, FeatureStore, FeatureTensor, GeoGrid, ModelType, NoProgress,
    SameCrsOnly, Shape, Tiling, Window,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{FakeModel, FakeRaster, builder_with};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/python_folder")
}

/// As Python geosam makes it with SAM 3 and its default image size.
fn golden_sam3() -> PathBuf {
    golden().with_file_name("python_folder_sam3")
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

#[test]
fn a_folder_of_sam_3_at_pythons_default_size_is_refused_when_it_is_opened() {
    let error = FeatureFolder::open(golden_sam3()).unwrap_err();
    assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
    let message = error.to_string();
    for part in [
        "manifest.parquet",
        "expected sam3 features encoded at 1008×1008",
        "encoded at 1036×1036 and recorded as 1024×1024",
        "every click would land 1.2 % too near the top left",
        "encode again with image size 1008 (imgsz=1008 in Python geosam), or with `geosam encode`",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let error = describe_feature_source(golden_sam3()).unwrap_err();
    assert_eq!(error.to_string(), message);

    // A chip file alone tells as much, to the model that is to decode it.
    let chip = EncodedImageFeatures::load_pt(&golden_sam3().join("features/chip_000000.pt")).unwrap();
    let error = chip.check_encode_size(1008).unwrap_err().to_string();
    assert!(error.contains("encoded at 1036×1036 and recorded as 1024×1024"), "{error}");
}

#[test]
fn what_was_encoded_at_pythons_default_size_can_be_encoded_again_in_its_place() {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(golden_sam3().join("manifest.parquet"), copy.path().join("manifest.parquet")).unwrap();
    let config = FeatureCacheConfig { existing: ExistingFolder::Overwrite, ..FeatureCacheConfig::default() };
    let raster = Arc::new(FakeRaster::new(20, 28));
    builder_with(raster, Arc::new(FakeModel::new()), copy.path(), config).build(&NoProgress).unwrap();
    FeatureFolder::open(copy.path()).unwrap();
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
