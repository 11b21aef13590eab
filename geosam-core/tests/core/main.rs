//! Tests of geosam-core through its public interface.
#![allow(clippy::unwrap_used)]

mod conformance;
mod edges;
mod encode_size;
mod golden;
mod points_table;
mod statistics;
mod tiling;
mod vectorize;
