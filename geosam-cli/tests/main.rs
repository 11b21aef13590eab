//! The command line as its users meet it: real files in, exit code and text out.

#![allow(clippy::unwrap_used, missing_docs)]

mod auto;
mod bad_input;
mod commands;
mod interrupt;
mod workspace;
