//! Rasters and vectors of geosam through GDAL

mod gdal_ffi;
mod gdal_setup;
mod mask_file;
mod osr;
mod overlay;
mod raster;
mod resampling;
mod vector_in;
mod vector_out;
mod whole_files;

pub use gdal_setup::set_cache_size;
pub use osr::Osr;
pub use resampling::Resampling;
