//! A folder as a feature store.

use std::path::Path;
use std::sync::Arc;

use geosam_cache::{FeatureFolder, FolderOptions, describe_feature_source};
use geosam_core::{Error, FeaturePrecision, FeatureStore, SameCrsOnly, Shape};

use crate::support::{features, names, record};

const VALUES: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn create(path: &Path) -> FeatureFolder {
    FeatureFolder::create(path, Arc::new(SameCrsOnly), FolderOptions::default()).unwrap()
}

/// A folder of the chips 0 and 1.
fn two_chips(path: &Path) {
    let folder = create(path);
    for id in ["chip_000000", "chip_000001"] {
        folder.put(&record(id), &features(Shape::square(4), &VALUES)).unwrap();
    }
    folder.commit().unwrap();
}

#[test]
fn a_chip_is_listed_once_committed() {
    let path = tempfile::tempdir().unwrap();
    let folder = create(path.path());
    folder.put(&record("chip_000000"), &features(Shape::square(4), &VALUES)).unwrap();
    assert_eq!(folder.chips().unwrap(), []);
    assert!(FeatureFolder::open(path.path()).is_err());
    folder.commit().unwrap();
    assert_eq!(*folder.chips().unwrap()[0], record("chip_000000"));
    assert_eq!(*FeatureFolder::open(path.path()).unwrap().chips().unwrap()[0], record("chip_000000"));
    assert!(matches!(folder.get("chip_000009"), Err(Error::InvalidArgument { .. })));
}

#[test]
fn a_moved_folder_opens() {
    let path = tempfile::tempdir().unwrap();
    let (old, new) = (path.path().join("old"), path.path().join("new"));
    two_chips(&old);
    std::fs::rename(&old, &new).unwrap();
    let folder = FeatureFolder::open(&new).unwrap();
    assert_eq!(folder.get("chip_000001").unwrap(), features(Shape::square(4), &VALUES));
    folder.verify("chip_000001").unwrap();
    assert!(describe_feature_source(&new).unwrap().storage_bytes > 0);
}

#[test]
fn continuing_a_moved_folder_records_where_it_is_now() {
    let path = tempfile::tempdir().unwrap();
    let (old, new) = (path.path().join("old"), path.path().join("new"));
    two_chips(&old);
    std::fs::rename(&old, &new).unwrap();
    create(&new).commit().unwrap();
    // Python geosam takes `feature_path` as it is.
    let manifest = std::fs::read(new.join("manifest.parquet")).unwrap();
    let text = String::from_utf8_lossy(&manifest);
    assert!(text.contains("new/features/chip_") && !text.contains("old/features"));
}

#[test]
fn the_manifest_is_found_by_pythons_rules() {
    let path = tempfile::tempdir().unwrap();
    two_chips(path.path());
    let manifest = path.path().join("manifest.parquet");
    assert_eq!(FeatureFolder::open(&manifest).unwrap().chips().unwrap().len(), 2);

    std::fs::rename(&manifest, path.path().join("harbour.parquet")).unwrap();
    assert_eq!(FeatureFolder::open(path.path()).unwrap().chips().unwrap().len(), 2);
    std::fs::copy(path.path().join("harbour.parquet"), path.path().join("other.parquet")).unwrap();
    let error = FeatureFolder::open(path.path()).unwrap_err().to_string();
    assert!(error.contains("harbour.parquet, other.parquet; open one of them by its path"), "{error}");

    std::fs::write(path.path().join("manifest.pkl"), b"cos\nsystem\n").unwrap();
    let error = FeatureFolder::open(path.path()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("to_parquet"), "{error}");

    let error = FeatureFolder::open(path.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = FeatureFolder::open(empty.path()).unwrap_err();
    assert!(error.to_string().contains("expected a manifest.parquet, found none"), "{error}");
}

#[test]
fn half_precision_takes_half_the_space_and_rounds() {
    let path = tempfile::tempdir().unwrap();
    let options = FolderOptions { precision: FeaturePrecision::F16, ..FolderOptions::default() };
    let folder = FeatureFolder::create(path.path(), Arc::new(SameCrsOnly), options).unwrap();
    folder.put(&record("chip_000000"), &features(Shape::square(4), &VALUES)).unwrap();
    folder.commit().unwrap();
    // Whole numbers of this size are exact in half precision.
    assert_eq!(folder.get("chip_000000").unwrap(), features(Shape::square(4), &VALUES));
    assert_eq!(describe_feature_source(path.path()).unwrap().dtype.as_deref(), Some("float16"));
}

#[test]
fn two_runs_cannot_write_to_one_folder() {
    let path = tempfile::tempdir().unwrap();
    let first = create(path.path());
    let second = FeatureFolder::create(path.path(), Arc::new(SameCrsOnly), FolderOptions::default());
    assert!(second.unwrap_err().to_string().contains("another run is writing"));
    drop(first);
    create(path.path());
}

#[test]
fn features_must_belong_to_their_record_and_names_must_be_plain() {
    let path = tempfile::tempdir().unwrap();
    let folder = create(path.path());
    let wrong_shape = folder.put(&record("chip_000000"), &features(Shape::square(5), &VALUES));
    assert!(matches!(wrong_shape, Err(Error::InvalidArgument { .. })));
    let escaping = folder.put(&record("../chip_000000"), &features(Shape::square(4), &VALUES));
    assert!(matches!(escaping, Err(Error::InvalidArgument { .. })));
    assert!(names(&path.path().join("features")).is_empty());
}

#[test]
fn a_folder_opened_for_reading_takes_no_chips() {
    let path = tempfile::tempdir().unwrap();
    two_chips(path.path());
    let folder = FeatureFolder::open(path.path()).unwrap();
    let error = folder.put(&record("chip_000002"), &features(Shape::square(4), &VALUES)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[test]
fn chips_without_a_manifest_are_not_touched() {
    let path = tempfile::tempdir().unwrap();
    two_chips(path.path());
    std::fs::rename(path.path().join("manifest.parquet"), path.path().join("kept.elsewhere")).unwrap();
    let error = FeatureFolder::create(path.path(), Arc::new(SameCrsOnly), FolderOptions::default()).unwrap_err();
    assert!(error.to_string().contains("features without manifest.parquet"), "{error}");
    assert_eq!(names(&path.path().join("features")).len(), 2);
}

#[test]
fn leftovers_of_a_killed_run_are_removed() {
    let path = tempfile::tempdir().unwrap();
    two_chips(path.path());
    let features = path.path().join("features");
    std::fs::write(features.join(".chip_000002.pt.17-0.tmp"), b"half a chip").unwrap();
    std::fs::write(path.path().join(".manifest.parquet.17-1.tmp"), b"half a manifest").unwrap();
    std::fs::write(features.join("chip_000002.pt"), b"renamed, never committed").unwrap();
    std::fs::write(features.join("notes.txt"), b"the user's own").unwrap();
    create(path.path());
    assert_eq!(names(&features), ["chip_000000.pt", "chip_000001.pt", "notes.txt"]);
    assert_eq!(names(path.path()), ["features", "manifest.parquet"]);
}

#[test]
fn a_folder_keeps_the_contract_of_a_feature_store() {
    let path = tempfile::tempdir().unwrap();
    geosam_core::conformance::feature_store(&create(path.path()), &crate::support::FakeModel::new().spec);
}
