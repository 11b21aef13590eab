//! Feature folders of geosam: a GeoParquet manifest and one file per chip.
//!
//! [`FeatureCacheBuilder`] encodes a raster into a [`FeatureFolder`], which the query engines, Python geosam and the
//! QGIS plugin read; [`describe_feature_source`] says what a folder holds.
#![doc = ""]
#![doc = include_str!("../FORMAT.md")]

mod builder;
mod chip_file;
mod encoding;
mod existing;
mod folder;
mod geoparquet;
mod manifest;
mod manifest_reader;
mod manifest_writer;
mod memory;
mod pipeline;
mod python_json;
mod read_ahead;
mod resolve;
mod settings;
mod stopwatch;
mod summary;
mod write_behind;

pub use builder::{BuildReport, FeatureCacheBuilder, FeatureCacheConfig, StageTimings};
pub use existing::ExistingFolder;
pub use folder::{FeatureFolder, FolderOptions};
pub use settings::FolderSettings;
pub use summary::{FeatureSourceSummary, describe_feature_source};
