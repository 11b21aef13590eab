//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Tells the temporary files of one process apart.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Writes a file through a temporary one beside it: write, fsync, rename. What was at `path` stays until the rename,
/// and after an error nothing new is left.
///
/// # Errors
/// [`Error::Io`] with the error of `write` or of the file system.
pub fn replace_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(name);

    let result = (|| {
        let mut file = File::create(&temporary).map_err(|e| Error::io("create", path, e))?;
        write(&mut file).and_then(|()| file.sync_all()).map_err(|e| Error::io("write", path, e))?;
        fs::rename(&temporary, path).map_err(|e| Error::io("write", path, e))
    })();
    match &result {
        Ok(()) => sync_folder(path),
        // The first error says what went wrong; a temporary file that was never made cannot be removed.
        Err(_) => drop(fs::remove_file(&temporary)),
    }
    result
}

/// Makes the rename durable where the system can: Windows cannot open folders, and has no need to.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        drop(folder.sync_all());
    }
}
