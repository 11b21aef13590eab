//! Files too large for memory, that appear whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use geosam_core::{Error, Result, create_temporary, sync_folder};

use crate::whole_files::remove_if_there;

/// A folder beside a file in the making, in which GDAL puts it together; gone on drop, with what is in it.
#[derive(Debug)]
pub(crate) struct StagingFolder {
    path: PathBuf,
    folder: PathBuf,
}

impl StagingFolder {
    /// A folder for the file that is to appear at `path`.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let created = create_temporary(path, |folder| fs::create_dir(folder));
        let (folder, ()) = created.map_err(|e| Error::io("write", path, e))?;
        Ok(Self { path: path.to_path_buf(), folder })
    }

    /// Where the file is to appear.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Refuses to finish a file of which something could not be written.
    pub(crate) fn check_complete(&self, failed: bool) -> Result<()> {
        if !failed {
            return Ok(());
        }
        Err(Error::Dataset {
            operation: "write",
            dataset: self.path.display().to_string(),
            reason: "a part of it could not be written, as was said then; write it again".to_string(),
            source: None,
        })
    }

    /// Put a finished file of the folder in its place, and remove the `stale` files that describe the one it replaces.
    pub(crate) fn commit(self, name: &str, stale: &[PathBuf]) -> Result<()> {
        let file = self.file(name);
        let commit = || {
            // For writing, or some systems do not sync it.
            fs::OpenOptions::new().write(true).open(&file).and_then(|file: File| file.sync_all())?;
            stale.iter().try_for_each(|path| remove_if_there(path))?;
            fs::rename(&file, &self.path)
        };
        commit().map_err(|e| Error::io("write", &self.path, e))?;
        sync_folder(&self.path);
        Ok(())
    }
}

impl Drop for StagingFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
