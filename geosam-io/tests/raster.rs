//! `RasterDataset` against rasterio and Python geosam, and what it does with bad input.
#![allow(clippy::unwrap_used)]

#[path = "raster/errors.rs"]
mod errors;
#[path = "raster/goldens.rs"]
mod goldens;
#[path = "raster/parity.rs"]
mod parity;
#[path = "raster/reading.rs"]
mod reading;
