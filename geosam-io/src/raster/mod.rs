//! Rasters: opened and warped ([`dataset`]), read ([`read`]), described ([`info`]) and written ([`write`]).

mod dataset;
mod element;
mod info;
mod open;
mod options;
mod read;
mod statistics;
mod target;
mod validity;
mod write;

pub use dataset::RasterDataset;
pub use info::{BandInfo, RasterInfo};
pub use options::RasterOptions;
pub use write::write_raster;
