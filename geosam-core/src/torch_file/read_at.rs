//! A file read at positions, from several threads.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An open file whose tensors are read where and when they are asked for.
///
/// Reads are positioned, not mapped: a tensor is copied once, straight into the vector that is handed out, and a file
/// that another process truncates is an error instead of a signal.
pub struct TensorFile {
    file: File,
    #[cfg(not(unix))]
    cursor: std::sync::Mutex<()>,
    path: PathBuf,
    format: &'static str,
    len: u64,
}

impl TensorFile {
    /// Opens `path`; `format` is what messages call the file, e.g. `PyTorch file`.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn open(path: &Path, format: &'static str) -> Result<Self> {
        let open = || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            Ok((file, metadata.len()))
        };
        let (file, len) = open().map_err(|e| Error::io("read", path, e))?;
        Ok(Self {
            file,
            #[cfg(not(unix))]
            cursor: std::sync::Mutex::new(()),
            path: path.to_path_buf(),
            format,
            len,
        })
    }

    /// The file's path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file when it was opened.
    #[must_use]
    pub fn size_in_bytes(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` from `position` on.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the file ends before; [`Error::Io`]
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<()> {
        self.read_exact_at(buffer, position).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => self.invalid(
                format!("{} bytes at position {position}", buffer.len()),
                format!("a truncated file of {} bytes", self.len),
            ),
            _ => Error::io("read", &self.path, e),
        })
    }

    /// The `len` bytes from `position` on.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the file ends before; [`Error::Io`]
    pub fn bytes_at(&self, position: u64, len: usize) -> Result<Vec<u8>> {
        // Checked first: an absurd length must not be allocated.
        if position.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(self.invalid(
                format!("{len} bytes at position {position}"),
                format!("a truncated file of {} bytes", self.len),
            ));
        }
        let mut bytes = vec![0; len];
        self.read_at(&mut bytes, position)?;
        Ok(bytes)
    }

    pub(super) fn handle(&self) -> &File {
        &self.file
    }

    /// An [`Error::InvalidFile`] about this file.
    #[must_use]
    pub fn invalid(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::invalid_file(&self.path, self.format, expected, found)
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, position)
    }

    #[cfg(not(unix))]
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        use std::io::{Read, Seek};
        let _guard = self.cursor.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = &self.file;
        file.seek(io::SeekFrom::Start(position))?;
        file.read_exact(buffer)
    }
}

impl std::fmt::Debug for TensorFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TensorFile({})", self.path.display())
    }
}
