//! A feature folder: a manifest and one file for each chip.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use geosam_core::{
    ChipRecord, CrsDescription, CrsTransform, EncodedImageFeatures, Error, FeaturePrecision, FeatureStore, ModelType,
    Result,
};

use crate::chip_file;
use crate::existing::{self, ExistingFolder};
use crate::manifest::{FORMAT_VERSION, Facts, Header, Manifest, Row};
use crate::resolve::{MANIFEST_NAME, resolve_manifest_path};
use crate::settings::FolderSettings;

/// How a folder is created.
#[derive(Clone, Debug, Default)]
pub struct FolderOptions {
    /// Precision of the chip files; the Python systems read [`FeaturePrecision::F32`], the default.
    pub precision: FeaturePrecision,
    /// What becomes of a folder that has features already.
    pub existing: ExistingFolder,
    /// What the chips are made from, recorded in the manifest. Without it, features are continued in any folder that
    /// records nothing either.
    pub settings: Option<FolderSettings>,
}

/// Features on disk, as Python geosam and the QGIS plugin read them: a [`FeatureStore`].
///
/// Chips are `features/<chip id>.pt`, listed in `manifest.parquet`; `FORMAT.md` of this crate is the specification.
/// A chip file is complete or absent, and is a chip of the folder once the manifest lists it, which
/// [`FeatureStore::commit`] does. A chip that is put a second time replaces its file at once, before the commit.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use geosam_cache::{FeatureFolder, FolderOptions};
/// use geosam_core::{Affine, ChipRecord, EncodedImageFeatures, FeaturePayload, FeatureStore, FeatureTensor, GeoGrid};
/// use geosam_core::{ModelType, SameCrsOnly, Shape};
///
/// let folder = tempfile::tempdir().unwrap();
/// let shape = Shape::square(1024);
/// let features = EncodedImageFeatures {
///     model_type: ModelType::Sam,
///     checkpoint_path: "/models/sam_b.pt".into(),
///     src_shape: shape,
///     dst_shape: shape,
///     payload: FeaturePayload::Sam(FeatureTensor::new(vec![1, 1, 2, 2], vec![0.0, 1.0, 2.0, 3.0])?),
/// };
/// let chip = ChipRecord {
///     chip_id: "chip_000000".into(),
///     grid: GeoGrid::new(Affine::from_origin(500000.0, 4200000.0, 0.5, 0.5), shape, "EPSG:32618".into())?,
///     dst_shape: shape,
///     source_path: "harbour.tif".into(),
///     model_type: ModelType::Sam,
///     checkpoint_path: "/models/sam_b.pt".into(),
///     fingerprint: None,
/// };
/// let store = FeatureFolder::create(folder.path(), Arc::new(SameCrsOnly), FolderOptions::default())?;
/// store.put(&chip, &features)?;
/// store.commit()?;
///
/// let opened = FeatureFolder::open(folder.path())?;
/// assert_eq!(*opened.chips()?[0], chip);
/// assert_eq!(opened.get("chip_000000")?, features);
/// # Ok::<(), geosam_core::Error>(())
/// ```
#[derive(Debug)]
pub struct FeatureFolder {
    manifest_path: PathBuf,
    header: Option<Header>,
    facts: Facts,
    writer: Option<Writer>,
    rows: RwLock<Rows>,
}

/// What only a folder open for writing has.
#[derive(Debug)]
struct Writer {
    crs: Arc<dyn CrsTransform>,
    precision: FeaturePrecision,
    settings: Option<FolderSettings>,
    /// Holds the folder's lock for as long as this lives.
    _lock: Option<File>,
}

#[derive(Debug, Default)]
struct Rows {
    committed: BTreeMap<String, Row>,
    pending: BTreeMap<String, Row>,
}

impl FeatureFolder {
    /// Open a folder for writing; it is made if it does not exist, and `options` say what happens if it has features.
    /// `crs` describes the chips' CRS for the manifest.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be made or another run is writing to it; [`Error::InvalidArgument`] if it
    /// holds features that cannot be continued; [`Error::InvalidFile`] if its manifest is damaged.
    pub fn create(path: impl AsRef<Path>, crs: Arc<dyn CrsTransform>, options: FolderOptions) -> Result<Self> {
        let path = path.as_ref();
        std::fs::create_dir_all(path.join("features")).map_err(|source| Error::io("create", path, source))?;
        let root = std::fs::canonicalize(path).map_err(|source| Error::io("open", path, source))?;
        let lock = existing::lock(&root)?;
        let kept = existing::prepare(&root, &options)?;
        Ok(Self {
            manifest_path: root.join(MANIFEST_NAME),
            header: None,
            facts: Facts::default(),
            writer: Some(Writer { crs, precision: options.precision, settings: options.settings, _lock: lock }),
            rows: RwLock::new(Rows { committed: by_id(kept), pending: BTreeMap::new() }),
        })
    }

    /// Open a folder, or a manifest, for reading.
    ///
    /// In a folder the manifest is `manifest.parquet`, else the only other `*.parquet`. Chip files are found by their
    /// path relative to the manifest, so a folder can be moved; then by name in `features`; then where the manifest
    /// says.
    ///
    /// # Errors
    /// [`Error::Io`] if there is nothing at `path`, [`Error::InvalidFile`] if the manifest is missing, damaged, or
    /// without chips, [`Error::Unsupported`] for a pickled manifest or a later version of the format;
    /// [`Error::InvalidFile`] also for features of SAM 3 that Python geosam made with its default image size, in which
    /// every click would land beside its place ([`EncodedImageFeatures::check_encode_size`]).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let manifest_path = resolve_manifest_path(path.as_ref())?;
        let Manifest { rows, header, facts } = Manifest::read(&manifest_path)?;
        rows.iter().try_for_each(|row| check_encode_size(&manifest_path, &row.record))?;
        let rows = RwLock::new(Rows { committed: by_id(rows), pending: BTreeMap::new() });
        Ok(Self { manifest_path, header, facts, writer: None, rows })
    }

    /// The manifest, absolute.
    #[must_use]
    pub fn manifest_path(&self) -> &Path {
        &self.manifest_path
    }

    /// What the chips were made from, if the folder records it; Python geosam's folders do not.
    #[must_use]
    pub fn settings(&self) -> Option<&FolderSettings> {
        match &self.writer {
            Some(writer) => writer.settings.as_ref(),
            None => self.header.as_ref()?.settings.as_ref(),
        }
    }

    /// Compare a chip file with the hash in the manifest, if it has one, and read it.
    ///
    /// # Errors
    /// As [`FeatureStore::get`]; [`Error::InvalidFile`] if the file is another than the one that was written.
    pub fn verify(&self, chip_id: &str) -> Result<()> {
        let row = self.row(chip_id)?;
        let path = self.chip_path(&row)?;
        if let Some(expected) = &row.sha256 {
            let found = chip_file::sha256(&path)?;
            if found != *expected {
                let (expected, found) = (format!("SHA-256 {expected}"), format!("{found}; encode the chip again"));
                return Err(Error::invalid_file(&path, "chip file", expected, found));
            }
        }
        self.get(chip_id).map(drop)
    }

    /// [`FeatureStore::put`], returning the bytes written.
    pub(crate) fn put_chip(&self, record: &ChipRecord, features: &EncodedImageFeatures) -> Result<u64> {
        let writer = self.writer()?;
        check_belongs(record, features)?;
        check_file_name(&record.chip_id)?;
        let mut record = record.clone();
        record.grid.crs = writer.crs.describe(&record.grid.crs)?.canonical;
        let relative_path = format!("features/{}.{}", record.chip_id, chip_file::EXTENSION);
        let feature_path = self.root().join(&relative_path);
        let written = chip_file::write(&feature_path, features, writer.precision)?;
        let row = Row {
            record: Arc::new(record),
            feature_path,
            relative_path: Some(relative_path),
            sha256: Some(written.sha256),
        };
        self.write_rows().pending.insert(row.record.chip_id.clone(), row);
        Ok(written.bytes)
    }

    /// [`FeatureStore::commit`], noting whether the run has come to its end.
    pub(crate) fn commit_run(&self, complete: bool) -> Result<()> {
        let writer = self.writer()?;
        let mut rows = self.write_rows();
        let mut all = rows.committed.clone();
        all.extend(rows.pending.iter().map(|(id, row)| (id.clone(), row.clone())));
        let Some(first) = all.values().next() else { return Ok(()) };
        let description = writer.crs.describe(&first.record.grid.crs)?;
        writer.manifest(&all, complete).write(&self.manifest_path, &projjson(&description))?;
        *rows = Rows { committed: all, pending: BTreeMap::new() };
        Ok(())
    }

    /// Number of chips that are put and not yet committed, and of those that are committed.
    pub(crate) fn pending_and_committed(&self) -> (usize, usize) {
        let rows = self.read_rows();
        (rows.pending.len(), rows.committed.len())
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.header.as_ref().is_none_or(|header| header.complete)
    }

    /// The folder of the manifest.
    pub(crate) fn root(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("."))
    }

    /// Size of the chip files that are there.
    pub(crate) fn storage_bytes(&self) -> u64 {
        let size = |row: &Row| row.locate(self.root())?.metadata().ok().map(|metadata| metadata.len());
        self.read_rows().committed.values().filter_map(size).sum()
    }

    fn chip_path(&self, row: &Row) -> Result<PathBuf> {
        row.locate(self.root()).ok_or_else(|| {
            let expected = format!("the chip file {}", row.relative_path.as_deref().unwrap_or("in features"));
            let found = format!("neither it nor {}; encode the raster again", row.feature_path.display());
            Error::invalid_file(self.root(), "feature folder", expected, found)
        })
    }

    fn row(&self, chip_id: &str) -> Result<Row> {
        let rows = self.read_rows();
        let row = rows.pending.get(chip_id).or_else(|| rows.committed.get(chip_id));
        row.cloned().ok_or_else(|| Error::invalid_argument("chip id", "a chip of the folder", chip_id))
    }

    fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().ok_or_else(|| Error::Unsupported {
            what: format!("writing to {}", self.root().display()),
            reason: "it was opened for reading; use FeatureFolder::create".to_string(),
        })
    }

    fn read_rows(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_rows(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn manifest(&self, rows: &BTreeMap<String, Row>, complete: bool) -> Manifest {
        let settings = self.settings.as_ref();
        Manifest {
            rows: rows.values().cloned().collect(),
            header: Some(Header {
                format_version: FORMAT_VERSION,
                precision: self.precision,
                complete,
                settings: self.settings.clone(),
            }),
            facts: Facts {
                model_id: settings.map(|s| s.model_id.clone()),
                origin_checkpoint: settings.map(|s| s.origin_checkpoint.clone()),
                bands: settings.map(|s| s.bands.clone()),
                value_range: settings.map(|s| s.value_range.clone()),
                preprocess: settings.map(|s| s.preprocess.as_str().to_string()),
                dtype: Some(chip_file::dtype(self.precision).to_string()),
                geosam_version: Some(env!("CARGO_PKG_VERSION").to_string()),
            },
        }
    }
}

impl FeatureStore for FeatureFolder {
    fn put(&self, record: &ChipRecord, features: &EncodedImageFeatures) -> Result<()> {
        self.put_chip(record, features).map(drop)
    }

    fn commit(&self) -> Result<()> {
        self.commit_run(true)
    }

    fn chips(&self) -> Result<Vec<Arc<ChipRecord>>> {
        Ok(self.read_rows().committed.values().map(|row| row.record.clone()).collect())
    }

    fn get(&self, chip_id: &str) -> Result<EncodedImageFeatures> {
        let row = self.row(chip_id)?;
        let path = self.chip_path(&row)?;
        let features = EncodedImageFeatures::load_pt(&path)?;
        check_belongs(&row.record, &features).map_err(|e| {
            Error::invalid_file(&path, "chip file", "the features that the manifest lists", e.to_string())
        })?;
        Ok(features)
    }
}

fn by_id(rows: Vec<Row>) -> BTreeMap<String, Row> {
    rows.into_iter().map(|row| (row.record.chip_id.clone(), row)).collect()
}

/// `null` for a CRS that has no PROJJSON.
fn projjson(description: &CrsDescription) -> String {
    if description.projjson.trim().is_empty() { "null".to_string() } else { description.projjson.clone() }
}

/// SAM 3's network sees whole patches of 14 pixels: features that record anything else were encoded at another size.
/// Whether a size is that of the model which will decode them, the model knows.
fn check_encode_size(manifest_path: &Path, record: &ChipRecord) -> Result<()> {
    let patch = record.model_type.patch_size();
    let whole = |side: usize| side.is_multiple_of(patch);
    if record.model_type != ModelType::Sam3 || (whole(record.dst_shape.height) && whole(record.dst_shape.width)) {
        return Ok(());
    }
    record.check_encode_size(record.model_type.image_size()).map_err(|error| match error {
        Error::InvalidArgument { expected, found, .. } => {
            Error::invalid_file(manifest_path, "feature manifest", expected, found)
        }
        other => other,
    })
}

fn check_belongs(record: &ChipRecord, features: &EncodedImageFeatures) -> Result<()> {
    let name = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or(path).to_string();
    let of_record = (record.model_type, name(&record.checkpoint_path), record.grid.shape, record.dst_shape);
    let of_features = (features.model_type, name(&features.checkpoint_path), features.src_shape, features.dst_shape);
    if of_record == of_features {
        return Ok(());
    }
    let describe = |(model, checkpoint, src, dst)| format!("{model} features of {checkpoint}, chip {src}, input {dst}");
    Err(Error::invalid_argument("features", describe(of_record), describe(of_features)))
}

fn check_file_name(chip_id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if chip_id.is_empty() || chip_id.starts_with('.') || !chip_id.chars().all(plain) {
        return Err(Error::invalid_argument(
            "chip id",
            "letters, digits, '_', '-' and '.'",
            format_args!("{chip_id:?}"),
        ));
    }
    Ok(())
}
