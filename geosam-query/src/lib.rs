//! Query engines of geosam: prompts in, masks on the map out.
//!
//! [`FeatureQueryEngine`] answers from features that were encoded before, [`OnlineQueryEngine`] encodes the raster
//! where it is asked. Both take a [`PromptSet`](geosam_core::PromptSet) in any CRS and return a [`QueryResult`].
//! [`AutomaticMasks`] asks of everything, and hands over one mask for each object.

mod automatic;
mod chip_index;
mod feature_engine;
mod online_cache;
mod online_engine;
mod opened_chips;
mod result;

pub use automatic::{AutomaticMask, AutomaticMasks, AutomaticMasksConfig, AutomaticMasksRaster, AutomaticMasksReport};
pub use feature_engine::{FeatureQueryEngine, FeatureQueryOptions};
pub use online_cache::OnlineQueryCache;
pub use online_engine::{OnlineQueryEngine, OnlineQueryOptions};
pub use result::QueryResult;
