//! Integration tests of the whole path.

// The examples share `scene`, and each of them brings it along.
#![allow(clippy::unwrap_used, clippy::duplicate_mod, missing_docs)]

mod end_to_end;
mod examples;
mod iou;
mod scene;
