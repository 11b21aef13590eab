//! What a manifest holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use geosam_core::{ChipRecord, FeaturePrecision, ValueRange};
use serde::{Deserialize, Serialize};

use crate::settings::FolderSettings;

/// Version of the format, in [`Header::format_version`]; see `FORMAT.md`.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Key of the file metadata that holds the [`Header`].
pub(crate) const HEADER_KEY: &str = "geosam";

/// The columns of Python geosam, in its order.
pub(crate) const REQUIRED_COLUMNS: [&str; 12] = [
    "feature_path",
    "chip_id",
    "source_path",
    "checkpoint_path",
    "model_type",
    "transform",
    "shape",
    "crs",
    "dst_shape",
    "chip_center_x",
    "chip_center_y",
    "geometry",
];

/// The columns that this crate adds.
pub(crate) const EXTRA_COLUMNS: [&str; 10] = [
    "feature_relpath",
    "sha256",
    "weights_fingerprint",
    "model_id",
    "origin_checkpoint",
    "bands",
    "value_range",
    "preprocess",
    "dtype",
    "geosam_version",
];

/// A manifest, read or about to be written.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// One row for each chip, in the file's order.
    pub(crate) rows: Vec<Row>,
    /// What the run that wrote it recorded; absent in Python geosam's folders.
    pub(crate) header: Option<Header>,
    /// What the extra columns say.
    pub(crate) facts: Facts,
}

/// One chip.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) record: Arc<ChipRecord>,
    /// The chip file as `feature_path` gives it.
    pub(crate) feature_path: PathBuf,
    /// The chip file relative to the manifest's folder, with `/`.
    pub(crate) relative_path: Option<String>,
    /// SHA-256 of the chip file in hexadecimal.
    pub(crate) sha256: Option<String>,
}

impl Row {
    /// The chip file: by its relative path, else by its name in `features`, else by the recorded path, whichever is
    /// there first. So a moved folder opens, and never reads the chips it was copied from.
    pub(crate) fn locate(&self, folder: &Path) -> Option<PathBuf> {
        let relative = self.relative_path.as_ref().map(|path| folder.join(path));
        let by_name = file_name(&self.feature_path).map(|name| folder.join("features").join(name));
        [relative, by_name, Some(self.feature_path.clone())].into_iter().flatten().find(|path| path.is_file())
    }
}

/// The last part of a path written on any system: Python on Windows records backslashes.
fn file_name(path: &Path) -> Option<&str> {
    path.to_str()?.rsplit(['/', '\\']).next().filter(|name| !name.is_empty())
}

/// The run that wrote a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format_version: u32,
    pub(crate) precision: FeaturePrecision,
    /// Whether the run came to its end; if not, another run with the same settings goes on from here.
    pub(crate) complete: bool,
    pub(crate) settings: Option<FolderSettings>,
}

/// What the extra columns of the first row say; nothing in Python geosam's folders.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) model_id: Option<String>,
    pub(crate) origin_checkpoint: Option<String>,
    pub(crate) bands: Option<Vec<usize>>,
    pub(crate) value_range: Option<ValueRange>,
    pub(crate) preprocess: Option<String>,
    pub(crate) dtype: Option<String>,
    pub(crate) geosam_version: Option<String>,
}
