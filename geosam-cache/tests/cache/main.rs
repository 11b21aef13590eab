//! Integration tests of `geosam-cache`.
#![allow(clippy::unwrap_used)]

mod builder;
mod damage;
mod folder;
mod pipeline;
mod python;
mod support;
