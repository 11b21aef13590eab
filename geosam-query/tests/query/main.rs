//! Integration tests of `geosam-query`.
#![allow(clippy::unwrap_used)]

mod automatic;
mod feature_engine;
mod online_engine;
mod support;
