//! Rasters and vectors of geosam, through GDAL.
//!
//! | what | with |
//! |---|---|
//! | a raster, warped on the fly, read window by window | [`RasterDataset`], [`RasterOptions`], [`Resampling`], [`RasterInfo`] |
//! | coordinates between CRSs | [`Osr`], the PROJ that warps the pixels |
//! | prompts from a vector file | [`read_prompts`], [`read_points`] |
//! | polygons from a vector file, as masks on a grid | [`read_polygons`] |
//! | polygons into a vector file | [`write_vector`], any number of them [`VectorWriter`] |
//! | masks as GeoTIFF or COG, pictures as PNG | [`write_mask`], [`write_overlay`] |
//! | many masks of a large raster as one COG of labels | [`LabelWriter`] |
//! | a raster from memory | [`write_raster`] |
//!
//! Files appear whole or not at all. GDAL prints nothing: what it has to say is the source of an
//! [`geosam_core::Error`].

mod drawing;
mod gdal_ffi;
mod gdal_setup;
mod geojson_out;
mod label_writer;
mod mask_file;
mod osr;
mod overlay;
mod polygons;
mod raster;
mod resampling;
mod staging_folder;
mod vector_columns;
mod vector_in;
mod vector_layer;
mod vector_out;
mod vector_reader;
mod vector_writer;
mod whole_files;

pub use gdal_setup::set_cache_size;
pub use label_writer::LabelWriter;
pub use mask_file::{MaskFormat, write_mask};
pub use osr::Osr;
pub use overlay::{OverlayStyle, draw_overlay, write_overlay};
pub use polygons::{PolygonFileOptions, Polygons, read_polygons};
pub use raster::{BandInfo, RasterDataset, RasterInfo, RasterOptions, write_raster};
pub use resampling::Resampling;
pub use vector_in::{FilePrompt, PromptFileOptions, read_points, read_prompts};
pub use vector_out::{VectorFormat, write_vector};
pub use vector_writer::VectorWriter;
