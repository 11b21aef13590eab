//! Integration tests of `geosam-cache`.
#![allow(clippy::unwrap_used)]

mod builder;
mod damage;
mod folder;
mod python;
mod support;
