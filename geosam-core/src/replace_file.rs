//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Writes a file through a temporary one beside it: write, fsync, rename. What was at `path` stays until the rename,
/// and after an error nothing new is left.
///
/// # Errors
/// [`Error::Io`] with the error of `write` or of the file system.
pub fn replace_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let created = create_temporary(path, |temporary| File::create_new(temporary));
    let (temporary, mut file) = created.map_err(|e| Error::io("create", path, e))?;
    let written = write(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    match written {
        Ok(()) => {
            sync_folder(path);
            Ok(())
        }
        Err(error) => {
            // This error says what went wrong, whatever becomes of the temporary file.
            let _ = fs::remove_file(&temporary);
            Err(Error::io("write", path, error))
        }
    }
}

/// What is in the making beside `path`, and its name: hidden, ending in `.tmp`, and nobody's before. `create` makes a file or a
/// folder of the name it is given, and is given another while it says that there is one: one that was killed may have left it,
/// with the same process number where that is always the same, in a container.
///
/// # Errors
/// The last of `create`.
pub fn create_temporary<T>(path: &Path, create: impl Fn(&Path) -> io::Result<T>) -> io::Result<(PathBuf, T)> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let temporary = path.with_file_name(name);
        match create(&temporary) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => return Ok((temporary, result?)),
        }
    }
}

/// Makes a rename in the folder of `path` durable where the system can: some cannot open or sync folders.
pub fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_of_the_same_number_left_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.txt");
        let taken = create_temporary(&path, |name| File::create_new(name)).unwrap().0;
        let number: usize = taken.to_str().unwrap().rsplit(['-', '.']).nth(1).unwrap().parse().unwrap();
        // Other tests count, too.
        for next in number..number + 50 {
            let name = taken.to_str().unwrap().replace(&format!("-{number}.tmp"), &format!("-{next}.tmp"));
            std::fs::write(name, b"left over").unwrap();
        }
        replace_file(&path, |file| io::Write::write_all(file, b"whole")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read(&taken).unwrap(), b"left over");
    }
}
