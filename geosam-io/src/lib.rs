//! Rasters and vectors of geosam through GDAL

mod drawing;
mod gdal_ffi;
mod gdal_setup;
mod geojson_out;
mod mask_file;
mod osr;
mod overlay;
mod raster;
mod resampling;
mod vector_columns;
mod vector_in;
mod vector_out;
mod whole_files;

pub use gdal_setup::set_cache_size;
pub use mask_file::{MaskFormat, write_mask};
pub use osr::Osr;
pub use overlay::{OverlayStyle, draw_overlay, write_overlay};
pub use raster::{BandInfo, RasterDataset, RasterInfo, RasterOptions, write_raster};
pub use resampling::Resampling;
pub use vector_in::{FilePrompt, PromptFileOptions, read_points, read_prompts};
pub use vector_out::{VectorFormat, write_vector};
