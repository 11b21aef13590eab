//! The one public error type of the workspace.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

/// Result of every fallible operation of the SDK.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a backend reported, kept behind [`std::error::Error::source`].
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Everything that can go wrong, in the terms a caller can act on.
///
/// Messages are lower case, say what was expected and what was found, and end with the remedy where there is one.
/// What GDAL, parquet, burn or the operating system said is in [`std::error::Error::source`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: `read`, `write`, `create`, `rename`, …
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },

    /// A raster, vector or other dataset could not be opened, read or written.
    #[error("cannot {operation} {dataset}: {reason}")]
    Dataset {
        /// What was attempted, as a verb.
        operation: &'static str,
        /// Path or connection string.
        dataset: String,
        /// Cause and remedy in one sentence.
        reason: String,
        /// The backend's error.
        source: Option<BoxError>,
    },

    /// A file is not what its format promises: truncated, malformed, or of another kind.
    #[error("{} is not a valid {format}: expected {expected}, found {found}", path.display())]
    InvalidFile {
        /// The file.
        path: PathBuf,
        /// The format that was expected, e.g. `PyTorch checkpoint`.
        format: &'static str,
        /// What the format asks for.
        expected: String,
        /// What the file holds.
        found: String,
    },

    /// A checkpoint lacks tensors, has misshapen ones, or has ones nobody asked for.
    #[error("checkpoint {} does not fit {model}: {}", path.display(), list_problems(problems))]
    CheckpointMismatch {
        /// The checkpoint file.
        path: PathBuf,
        /// The model that was to be loaded.
        model: String,
        /// One line for each tensor: its name and what is wrong with it.
        problems: Vec<String>,
    },

    /// Features and model do not belong together.
    #[error(
        "features were made with {found}, the loaded model is {expected}; load the model that made them, or one with its encoder, or encode again"
    )]
    ModelMismatch {
        /// The loaded model.
        expected: String,
        /// The model the features name.
        found: String,
    },

    /// A coordinate reference system is needed and absent.
    #[error("{what} has no CRS; {remedy}")]
    MissingCrs {
        /// What lacks the CRS: `the raster a.tif`, `the prompt`, …
        what: String,
        /// How to supply it.
        remedy: &'static str,
    },

    /// A coordinate reference system is unknown, or coordinates cannot be brought into it.
    #[error("cannot use CRS {crs}: {reason}")]
    Crs {
        /// The CRS as it was given.
        crs: String,
        /// Cause in one sentence.
        reason: String,
        /// The backend's error.
        source: Option<BoxError>,
    },

    /// A prompt, window or extent lies (partly) where there is no data.
    #[error("{what} at {location} lies outside {container}")]
    OutOfBounds {
        /// What was asked for.
        what: String,
        /// Where it is.
        location: String,
        /// What it should lie in, with its bounds.
        container: String,
    },

    /// No chip of a feature store covers a prompt.
    #[error("no chip covers the prompt at {prompt}; {hint}")]
    NotCovered {
        /// Bounds of the prompt.
        prompt: String,
        /// The nearest chip and its distance, or why there is none.
        hint: String,
    },

    /// A value given by the caller is unusable.
    #[error("invalid {parameter}: expected {expected}, found {found}")]
    InvalidArgument {
        /// Name of the parameter.
        parameter: &'static str,
        /// What it should be.
        expected: String,
        /// What it was.
        found: String,
    },

    /// A request would exceed a bound on chips, memory or disk.
    #[error("{what}: {found} exceed the limit of {limit}; {remedy}")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The amount that was asked for, with its unit.
        found: String,
        /// The bound, with its unit.
        limit: String,
        /// How to ask for less, or raise the bound.
        remedy: &'static str,
    },

    /// Model, option or device is known but not available here.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Why, and what to use instead.
        reason: String,
    },

    /// The user cancelled. Encoding keeps the chips that are finished; files of automatic masks are not written.
    #[error("cancelled after {done} of {total} chips")]
    Cancelled {
        /// Chips finished.
        done: usize,
        /// Chips asked for.
        total: usize,
    },
}

impl Error {
    /// An [`Error::Io`] with its path.
    pub fn io(operation: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { operation, path: path.into(), source }
    }

    /// An [`Error::InvalidFile`].
    pub fn invalid_file(
        path: &Path,
        format: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::InvalidFile { path: path.to_path_buf(), format, expected: expected.into(), found: found.into() }
    }

    /// An [`Error::InvalidArgument`].
    pub fn invalid_argument(
        parameter: &'static str,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::InvalidArgument { parameter, expected: expected.into(), found: found.to_string() }
    }
}

/// At most eight problems, then a count: a wrong file lists hundreds.
fn list_problems(problems: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = problems.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if problems.len() > SHOWN {
        text.push_str(&format!("; and {} more", problems.len() - SHOWN));
    }
    text
}
