//! Vocabulary and seams of geosam: grids, prompts, chips, features, masks, progress, errors.

mod affine;
mod bbox;
mod coordinates;
mod crs;
mod error;
mod features;
mod grid;
mod image;
mod model;
mod points;
mod progress;
mod prompt_set;
mod sample;
mod sampler;
mod segmenter;
mod source;
mod store;
mod value_range;

pub use affine::Affine;
pub use bbox::BoundingBox;
pub use coordinates::{PixelBox, PixelPoint, Shape, Window, WorldPoint};
pub use crs::{Crs, CrsDescription, CrsTransform, SameCrsOnly};
pub use error::{BoxError, Error, Result};
pub use features::{EncodedImageFeatures, FeaturePayload, FeatureTensor};
pub use grid::{GeoGrid, PixelAnchor};
pub use image::ModelImage;
pub use model::{MODEL_DEFINITIONS, ModelDefinition, ModelSpec, ModelType, Preprocess};
pub use points::{Label, Points};
pub use progress::{CancelFlag, NoProgress, Progress};
pub use prompt_set::{MaskPrompt, PromptSet};
pub use sample::{NEUTRAL_RGB, PixelValue, Pixels, RasterSample};
pub use sampler::{GridGeoSampler, chip_extent_rectangles};
pub use segmenter::{LowResLogits, Masks, PixelPrompt, PredictOptions, Prediction, PromptSession, Segmenter};
pub use source::ChipSource;
pub use store::{ChipRecord, FeatureStore, MemoryFeatureStore};
pub use value_range::{BandRange, ValueRange, ValueRangeChoice};
