//! How a program that takes arguments ends.

use std::process::ExitCode;

use geosam::Result;

/// An error is one line, as people read it.
pub(crate) fn exit(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
