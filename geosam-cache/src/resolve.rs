//! Which file of a folder is its manifest: Python geosam's rules.

use std::path::{Path, PathBuf};

use geosam_core::{Error, Result};

/// Name of the manifest that this crate writes.
pub(crate) const MANIFEST_NAME: &str = "manifest.parquet";

/// The manifest at `path`: the file itself, or in a folder `manifest.parquet`, else `manifest.pkl`, else the only
/// `*.parquet` or `*.pkl`.
///
/// # Errors
/// [`Error::Io`] if there is nothing at `path`, [`Error::InvalidFile`] if a folder holds no manifest or several,
/// [`Error::Unsupported`] for a pickled one.
pub(crate) fn resolve_manifest_path(path: &Path) -> Result<PathBuf> {
    let path = std::fs::canonicalize(path).map_err(|source| Error::io("open", path, source))?;
    let manifest = if path.is_dir() { manifest_in(&path)? } else { path };
    if extension_is(&manifest, "pkl") {
        return Err(Error::Unsupported {
            what: format!("the pickled manifest {}", manifest.display()),
            reason: "a pickle can run code when it is read; convert it in Python with \
                     geopandas.GeoDataFrame(pandas.read_pickle('manifest.pkl')).to_parquet('manifest.parquet')"
                .to_string(),
        });
    }
    Ok(manifest)
}

fn manifest_in(folder: &Path) -> Result<PathBuf> {
    for name in [MANIFEST_NAME, "manifest.pkl"] {
        let preferred = folder.join(name);
        if preferred.exists() {
            return Ok(preferred);
        }
    }
    let mut candidates: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(|source| Error::io("read", folder, source))?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| extension_is(path, "parquet") || extension_is(path, "pkl"))
        .collect();
    candidates.sort();
    match &candidates[..] {
        [only] => Ok(only.clone()),
        [] => Err(Error::invalid_file(folder, "feature folder", format!("a {MANIFEST_NAME}"), "none")),
        several => {
            let names: Vec<_> = several.iter().filter_map(|p| p.file_name()?.to_str()).collect();
            Err(Error::invalid_file(
                folder,
                "feature folder",
                format!("a {MANIFEST_NAME}, or one other manifest"),
                format!("{}; open one of them by its path", names.join(", ")),
            ))
        }
    }
}

fn extension_is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}
