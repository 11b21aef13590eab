//! Files that appear whole or not at all.
//!
//! GDAL builds its files in memory; the disk is written here, under a temporary name until all bytes have arrived.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use gdal::errors::GdalError;
use gdal::vsi;
use geosam_core::{Error, Result, create_temporary, sync_folder};

use crate::gdal_setup;

/// Write one file: the old one stays as it is until the new one is complete.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_parts(path, &[(path.to_path_buf(), bytes)], &[])
}

/// Write a file with the parts that go with it (a shapefile's), all in one folder, and remove the `stale` files that
/// describe the one being replaced (an index, statistics, a journal). Where there are several parts, the old main file
/// goes before they change and the new one comes last, so that a mixture of old and new is never opened.
pub(crate) fn write_parts(main: &Path, parts: &[(PathBuf, impl AsRef<[u8]>)], stale: &[PathBuf]) -> Result<()> {
    let write = || {
        let mut staged =
            parts.iter().map(|(path, bytes)| Staged::new(path, bytes.as_ref())).collect::<io::Result<Vec<_>>>()?;
        staged.sort_by_key(|part| part.path == main);
        if staged.len() > 1 {
            remove_if_there(main)?;
        }
        stale.iter().try_for_each(|path| remove_if_there(path))?;
        staged.into_iter().try_for_each(Staged::commit)
    };
    write().map_err(|e| Error::io("write", main, e))?;
    sync_folder(main);
    Ok(())
}

/// `path` with `suffix` appended to its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A complete file under a temporary name beside the one it will replace; removed on drop unless committed.
struct Staged<'p> {
    path: &'p Path,
    temporary: PathBuf,
}

impl<'p> Staged<'p> {
    fn new(path: &'p Path, bytes: &[u8]) -> io::Result<Self> {
        let (temporary, mut file) = create_temporary(path, |name| File::create_new(name))?;
        let staged = Self { path, temporary };
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(staged)
    }

    fn commit(self) -> io::Result<()> {
        std::fs::rename(&self.temporary, self.path)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // Gone already if it was committed.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// A folder in GDAL's memory file system, emptied on drop.
#[derive(Debug)]
pub(crate) struct MemoryFolder {
    root: PathBuf,
}

impl MemoryFolder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        gdal_setup::init();
        Self { root: PathBuf::from(format!("/vsimem/geosam-{}", NEXT.fetch_add(1, Ordering::Relaxed))) }
    }

    /// The file of that name in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Names of the files in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let files = vsi::read_dir(&self.root, false).unwrap_or_default();
        files.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    }

    /// A file's bytes; the file is gone afterwards.
    pub(crate) fn take(&self, name: &str) -> Result<Vec<u8>, GdalError> {
        vsi::get_vsi_mem_file_bytes_owned(self.file(name))
    }
}

impl Drop for MemoryFolder {
    fn drop(&mut self) {
        for name in self.names() {
            let _ = vsi::unlink_mem_file(self.file(&name));
        }
    }
}
