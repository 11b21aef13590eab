//! The files that a command writes, checked before it does any work.

use std::path::{Path, PathBuf};

use geosam::{Error, Result};

/// Refuses files in folders that are not there, a file that is named twice, and one of those that the command reads: they
/// would be gone.
pub(crate) fn check<'a>(
    outputs: impl IntoIterator<Item = &'a Path>,
    inputs: impl IntoIterator<Item = PathBuf>,
) -> Result<()> {
    let mut outputs = outputs.into_iter().peekable();
    if outputs.peek().is_none() {
        return Ok(());
    }
    let inputs: Vec<_> = inputs.into_iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut written = Vec::new();
    for path in outputs {
        let file = place(path)?;
        let refused = |expected| Err(Error::invalid_argument("output", expected, path.display()));
        if inputs.contains(&file) {
            return refused("another file than those that are read");
        }
        if written.contains(&file) {
            return refused("each file once");
        }
        written.push(file);
    }
    Ok(())
}

/// Where a file is or will be, by whatever name.
fn place(path: &Path) -> Result<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such folder; create it first");
        return Err(Error::io("write into", folder, missing));
    }
    let known = path.canonicalize();
    known
        .or_else(|_| Ok(folder.canonicalize()?.join(path.file_name().unwrap_or_default())))
        .map_err(|error: std::io::Error| Error::io("write into", folder, error))
}
