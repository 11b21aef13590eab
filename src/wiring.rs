//! The few functions that wire the crates together.

use std::path::Path;
use std::sync::Arc;

use geosam_cache::FeatureFolder;
use geosam_core::{Result, Segmenter};
use geosam_io::{Osr, RasterDataset};
use geosam_query::{FeatureQueryEngine, FeatureQueryOptions, OnlineQueryEngine, OnlineQueryOptions};

/// An engine that answers prompts from a feature folder (or its manifest), with PROJ behind prompts in other CRSs.
///
/// # Errors
/// As [`FeatureFolder::open`] and [`FeatureQueryEngine::new`]: no folder there, a damaged manifest, or features of
/// another model than `segmenter`.
pub fn open_folder(path: &Path, segmenter: Arc<dyn Segmenter>) -> Result<FeatureQueryEngine> {
    let store = Arc::new(FeatureFolder::open(path)?);
    FeatureQueryEngine::new(store, segmenter, Arc::new(Osr), FeatureQueryOptions::default())
}

/// An engine that answers prompts straight from a raster: the first prompt encodes the chip around it, those that
/// follow within it are answered in milliseconds.
///
/// # Errors
/// As [`OnlineQueryEngine::new`].
pub fn query_raster(
    raster: Arc<RasterDataset>,
    segmenter: Arc<dyn Segmenter>,
    options: OnlineQueryOptions,
) -> Result<OnlineQueryEngine> {
    OnlineQueryEngine::new(raster, segmenter, Arc::new(Osr), options)
}
