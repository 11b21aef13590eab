//! Damaged folders and disks that cannot be written: one clear error each.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::Schema;
use geosam_cache::{FeatureFolder, FolderOptions};
use geosam_core::{Error, FeatureStore, NoProgress, SameCrsOnly, Shape};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{FakeModel, FakeRaster, builder, features, names, record};

fn small_folder(path: &Path) {
    builder(FakeRaster::new(8, 20), FakeModel::new(), path).build(&NoProgress).unwrap();
}

#[test]
fn a_missing_chip_file_is_named() {
    let path = tempfile::tempdir().unwrap();
    small_folder(path.path());
    std::fs::remove_file(path.path().join("features/chip_000002.pt")).unwrap();
    let error = FeatureFolder::open(path.path()).unwrap().get("chip_000002").unwrap_err();
    assert!(error.to_string().contains("expected the chip file features/chip_000002.pt"), "{error}");
}

#[test]
fn a_truncated_chip_file_is_an_error_at_every_length() {
    let path = tempfile::tempdir().unwrap();
    small_folder(path.path());
    let chip = path.path().join("features/chip_000001.pt");
    let whole = std::fs::read(&chip).unwrap();
    let folder = FeatureFolder::open(path.path()).unwrap();
    for length in (0..whole.len()).step_by(7) {
        std::fs::write(&chip, &whole[..length]).unwrap();
        let error = folder.get("chip_000001").unwrap_err();
        assert!(matches!(error, Error::InvalidFile { .. }), "{length} bytes: {error}");
        assert!(folder.verify("chip_000001").is_err());
    }
}

#[test]
fn an_altered_chip_file_fails_verification() {
    let path = tempfile::tempdir().unwrap();
    small_folder(path.path());
    let features = path.path().join("features");
    std::fs::copy(features.join("chip_000000.pt"), features.join("chip_000001.pt")).unwrap();
    let folder = FeatureFolder::open(path.path()).unwrap();
    folder.verify("chip_000000").unwrap();
    let error = folder.verify("chip_000001").unwrap_err();
    assert!(error.to_string().contains("SHA-256"), "{error}");
}

#[test]
fn a_truncated_manifest_is_an_error() {
    let path = tempfile::tempdir().unwrap();
    small_folder(path.path());
    let manifest = path.path().join("manifest.parquet");
    let whole = std::fs::read(&manifest).unwrap();
    for length in [0, 4, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&manifest, &whole[..length]).unwrap();
        let error = FeatureFolder::open(path.path()).unwrap_err();
        assert!(matches!(error, Error::InvalidFile { .. }), "{length} bytes: {error}");
    }
}

#[test]
fn a_file_in_the_way_is_an_error_and_stays() {
    let path = tempfile::tempdir().unwrap();
    let file = path.path().join("out");
    std::fs::write(&file, b"the user's own").unwrap();
    let error = builder(FakeRaster::new(8, 8), FakeModel::new(), &file).build(&NoProgress).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"the user's own");
}

/// The folder turns into a file while the run is under way: works for every user, root included.
#[test]
fn a_folder_that_cannot_be_written_is_one_error() {
    let path = tempfile::tempdir().unwrap();
    let folder = FeatureFolder::create(path.path(), Arc::new(SameCrsOnly), FolderOptions::default()).unwrap();
    std::fs::remove_dir(path.path().join("features")).unwrap();
    std::fs::write(path.path().join("features"), b"").unwrap();
    let error = folder.put(&record("chip_000000"), &features(Shape::square(4), &[0; 8])).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    folder.commit().unwrap();
    assert_eq!(names(path.path()), ["features"]);
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "mounts a tmpfs, for which it must run as root with the right to mount"]
fn a_full_disk_keeps_what_was_written() {
    let disk = tempfile::tempdir().unwrap();
    let mount = |program: &str, arguments: &[&str]| {
        assert!(std::process::Command::new(program).args(arguments).status().unwrap().success());
    };
    let target = disk.path().to_str().unwrap();
    mount("mount", &["-t", "tmpfs", "-o", "size=256k", "tmpfs", target]);
    let error = builder(FakeRaster::new(200, 200), FakeModel::new(), disk.path()).build(&NoProgress).unwrap_err();
    let chips = FeatureFolder::open(disk.path()).unwrap().chips().unwrap().len();
    let left_over = names(&disk.path().join("features")).iter().any(|name| name.starts_with('.'));
    let verified = FeatureFolder::open(disk.path())
        .and_then(|folder| folder.chips()?.iter().try_for_each(|chip| folder.verify(&chip.chip_id)));
    mount("umount", &[target]);
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(chips > 0 && !left_over);
    verified.unwrap();
}

/// Rewrite one column of a folder's manifest, or drop it.
fn alter_manifest(folder: &Path, column: &str, value: Option<&str>) {
    let path = folder.join("manifest.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap();
    let batch = reader.into_iter().next().unwrap().unwrap();
    let kept = batch.schema().fields().iter().position(|field| field.name() == column).unwrap();
    let (mut fields, mut arrays) = (batch.schema().fields().to_vec(), batch.columns().to_vec());
    match value {
        Some(value) => arrays[kept] = Arc::new(StringArray::from(vec![value; batch.num_rows()])),
        None => {
            fields.remove(kept);
            arrays.remove(kept);
        }
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_damaged_manifest_says_where() {
    let cases = [
        ("chip_id", None, "no chip_id"),
        ("transform", Some("[0.5, 0.0, 1.0"), "a list of six numbers in JSON in column transform of row 0"),
        ("transform", Some("[0.0, 0.0, 1.0, 0.0, 0.0, 1.0]"), "an invertible transform"),
        ("shape", Some("[8.5, 8]"), "a list of two whole numbers in JSON in column shape of row 0"),
        ("shape", Some("[0, 8]"), "an invertible transform and a shape"),
        ("model_type", Some("sam9"), "sam, sam2 or sam3 in column model_type of row 0"),
        ("chip_id", Some("chip_000000"), "each chip once"),
        ("crs", Some(" "), "a CRS in column crs of row 0"),
        ("bands", Some("{}"), "a list of bands in JSON"),
    ];
    for (column, value, message) in cases {
        let path = tempfile::tempdir().unwrap();
        small_folder(path.path());
        alter_manifest(path.path(), column, value);
        let error = FeatureFolder::open(path.path()).unwrap_err();
        assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
        assert!(error.to_string().contains(message), "{column}: {error}");
    }
}

#[test]
fn columns_that_nobody_must_have_may_be_missing() {
    for column in ["feature_relpath", "sha256", "value_range"] {
        let path = tempfile::tempdir().unwrap();
        small_folder(path.path());
        alter_manifest(path.path(), column, None);
        FeatureFolder::open(path.path()).unwrap().verify("chip_000000").unwrap();
    }
}
