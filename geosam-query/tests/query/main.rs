//! Integration tests of `geosam-query`.
#![allow(clippy::unwrap_used)]

mod feature_engine;
mod online_engine;
mod support;
