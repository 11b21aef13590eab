//! What becomes of a folder that has features already.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use geosam_core::{Error, FeaturePrecision, Result};

use crate::folder::FolderOptions;
use crate::manifest::{Manifest, Row};
use crate::resolve::MANIFEST_NAME;
use crate::settings::FolderSettings;

/// What becomes of a folder that has features already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExistingFolder {
    /// Chips of the same raster, model and grid are kept and only missing ones made: an interrupted run goes on, a
    /// finished one has nothing to do. Anything else in the folder is an error.
    #[default]
    Resume,
    /// As [`ExistingFolder::Resume`] of the same raster under another path or with another time of modification, which the
    /// caller vouches for. Its grid, bands and range of values must be those of then.
    ResumeMoved,
    /// The manifest and the chips of whatever run are deleted.
    Overwrite,
}

/// Keep other runs out of `root` for as long as the handle lives; the operating system lets go of it after a crash.
pub(crate) fn lock(root: &Path) -> Result<Option<File>> {
    // A folder cannot be opened as a file everywhere, nor every file system lock; then there is no protection.
    let Ok(folder) = File::open(root) else { return Ok(None) };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::Error(_)) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let busy = std::io::Error::new(std::io::ErrorKind::ResourceBusy, "another run is writing to this folder");
            Err(Error::io("write to", root, busy))
        }
    }
}

/// Bring the folder into the state from which `options` start, and return the chips that are kept.
pub(crate) fn prepare(root: &Path, options: &FolderOptions) -> Result<Vec<Row>> {
    let manifest_path = root.join(MANIFEST_NAME);
    let features = root.join("features");
    let kept = match options.existing {
        ExistingFolder::Overwrite => {
            // The manifest first: without it, what a crash leaves is not a feature folder.
            remove(&manifest_path)?;
            Vec::new()
        }
        _ if manifest_path.exists() => continued(&manifest_path, options)?,
        _ => {
            if let Some(chip) = names_in(&features)?.iter().find(|name| is_chip_file(name)) {
                return Err(refused(root, &format!("features without {MANIFEST_NAME}, among them {chip}")));
            }
            Vec::new()
        }
    };
    let listed: HashSet<_> = kept.iter().filter_map(|row| row.relative_path.as_deref()).collect();
    for name in names_in(&features)? {
        let left_over = is_chip_file(&name) && !listed.contains(format!("features/{name}").as_str());
        if left_over || is_temporary(&name, "chip_") {
            remove(&features.join(name))?;
        }
    }
    for name in names_in(root)?.iter().filter(|name| is_temporary(name, MANIFEST_NAME)) {
        remove(&root.join(name))?;
    }
    Ok(kept)
}

/// The chips of the folder whose files are there, if they are the ones that a run with `options` would make.
fn continued(manifest_path: &Path, options: &FolderOptions) -> Result<Vec<Row>> {
    let root = manifest_path.parent().unwrap_or(Path::new("."));
    let manifest = Manifest::read(manifest_path)?;
    let Some(header) = manifest.header else {
        return Err(refused(root, "features of a program that does not record how it made them"));
    };
    let difference = match (&options.settings, &header.settings) {
        (Some(new), Some(old)) if options.existing == ExistingFolder::ResumeMoved => new.difference(&FolderSettings {
            source_path: new.source_path.clone(),
            source_state: new.source_state.clone(),
            ..old.clone()
        }),
        (Some(new), Some(old)) => new.difference(old),
        (None, None) => None,
        _ => Some(("settings".to_string(), "none".to_string(), "some, or the reverse".to_string())),
    };
    let precision = (options.precision != header.precision).then(|| {
        let name = |precision: FeaturePrecision| precision.as_str().to_string();
        ("precision".to_string(), name(options.precision), name(header.precision))
    });
    if let Some((setting, new, old)) = difference.or(precision) {
        return Err(refused(root, &format!("features made with {setting} {old}, now it is {new}")));
    }
    let mut rows: Vec<_> = manifest.rows.into_iter().filter_map(|row| in_place(row, root)).collect();
    if let (Some(settings), ExistingFolder::ResumeMoved) = (&options.settings, options.existing) {
        for row in &mut rows {
            Arc::make_mut(&mut row.record).source_path.clone_from(&settings.source_path);
        }
    }
    Ok(rows)
}

/// The row with its path as of now, if its file is where this crate puts it.
fn in_place(mut row: Row, root: &Path) -> Option<Row> {
    let path = root.join(row.relative_path.as_ref()?);
    path.is_file().then(|| {
        row.feature_path = path;
        row
    })
}

/// Remove what a run has made that finished no chip: the folder of chip files, and `root` if that `is_new`.
pub(crate) fn remove_empty(root: &Path, is_new: bool) {
    // Only empty folders can be removed like this, and one that stays does no harm.
    let _ = std::fs::remove_dir(root.join("features"));
    if is_new {
        let _ = std::fs::remove_dir(root);
    }
}

/// What the chips of the folder `root` were made from, if there is one that records it and can be read.
pub(crate) fn settings(root: &Path) -> Option<FolderSettings> {
    Manifest::read(&root.join(MANIFEST_NAME)).ok()?.header?.settings
}

fn refused(root: &Path, found: &str) -> Error {
    Error::InvalidArgument {
        parameter: "output folder",
        expected: "an empty one, or features of the same raster, model and grid".to_string(),
        found: format!("{} with {found}; do as then, choose another folder, or overwrite it", root.display()),
    }
}

/// `chip_` and digits, as this crate and Python geosam name chips: nothing else is ever deleted.
fn is_chip_file(name: &str) -> bool {
    name.strip_prefix("chip_")
        .and_then(|rest| rest.strip_suffix(".pt"))
        .is_some_and(|digits| digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether this is a file that was being written when a run ended: hidden, with the final name and more in front of
/// `.tmp`.
fn is_temporary(name: &str, final_name: &str) -> bool {
    name.strip_prefix('.').is_some_and(|name| name.starts_with(final_name) && name.ends_with(".tmp"))
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let read = || -> std::io::Result<Vec<String>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    read().map_err(|source| Error::io("read", folder, source))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}
