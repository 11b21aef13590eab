//! Rasters and vectors of geosam through GDAL

mod gdal_ffi;
mod gdal_setup;
mod osr;
mod raster;
mod resampling;

pub use gdal_setup::set_cache_size;
pub use osr::Osr;
pub use resampling::Resampling;
