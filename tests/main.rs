//! Integration tests of the whole path.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod end_to_end;
mod examples;
