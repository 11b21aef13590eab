//! Vocabulary and seams of geosam: grids, prompts, chips, features, masks, progress, errors.
//!
//! geosam segments geospatial rasters with SAM-family models: a raster is encoded once, chip by chip, and then answers
//! many geographic prompts. This crate has the words for that and the traits that its parts meet at; it links neither
//! GDAL nor a neural network.
//!
//! # From raster to polygon
//!
//! | step | types |
//! |---|---|
//! | a raster is read window by window | [`ChipSource`], [`MemoryRaster`], [`RasterSample`], [`GeoGrid`], [`Window`] |
//! | chips cover it | [`GridGeoSampler`], [`Tiling`], [`chip_extent_rectangles`] |
//! | values become bytes | [`ValueRangeChoice`], [`ValueRange`], [`statistics`], [`ModelImage`] |
//! | a model encodes each chip | [`Segmenter`], [`ModelSpec`], [`EncodedImageFeatures`] |
//! | features are kept | [`FeatureStore`], [`ChipRecord`], [`torch_file`] |
//! | a prompt is asked | [`Points`], [`BoundingBox`], [`PromptSet`], [`PixelPrompt`], [`PromptSession`] |
//! | the answer goes on the map | [`Prediction`], [`Masks`], [`MaskVectorizer`], [`MaskFeatures`] |
//!
//! # Seams
//!
//! Five traits can be implemented by other programs: [`ChipSource`], [`Segmenter`] with [`PromptSession`], [`FeatureStore`],
//! [`CrsTransform`] and [`Progress`]. The contract of each is written above it, and [`conformance`] has a function that
//! checks it.
//!
//! # Conventions
//!
//! - World coordinates are `f64`, x before y (longitude before latitude), in the [`Crs`] they come with.
//! - Pixel coordinates are continuous, column before row, (0, 0) at the top-left corner of the top-left pixel.
//! - A [`Shape`] is height before width; arrays are row-major, bands first. Bands are counted from 1.
//! - Everything that can go wrong is an [`Error`]; its message says what was expected, what was found and what to do.
//!
//! # Example
//!
//! ```
//! use geosam_core::{Affine, ChipSource, Crs, GeoGrid, GridGeoSampler, MemoryRaster, NoProgress, Pixels, Shape, ValueRangeChoice, Window};
//!
//! // A raster of 16-bit values, ten metres a pixel.
//! let shape = Shape::new(300, 500);
//! let grid = GeoGrid::new(Affine::from_origin(500_000.0, 4_000_000.0, 10.0, 10.0), shape, Crs::new("EPSG:32618"))?;
//! let raster = MemoryRaster::new(Pixels::U16((0..shape.area()).map(|i| (i % 4000) as u16).collect()), grid)?;
//!
//! // Its values between the 2nd and the 98th percentile, in overlapping chips of 256 pixels, as a model wants them.
//! let choice = ValueRangeChoice::Percentiles { low: 2.0, high: 98.0, joint: false };
//! let range = raster.value_range(choice, Window::whole(shape), &NoProgress)?;
//! let chips = GridGeoSampler::new(Window::whole(shape), Shape::square(256), Shape::square(128))?;
//! assert_eq!(chips.len(), 6);
//! for window in chips.windows() {
//!     let image = raster.read(window)?.to_model_image(&range)?;
//!     assert_eq!(image.shape(), Shape::square(256));
//! }
//! # Ok::<(), geosam_core::Error>(())
//! ```

mod affine;
mod batches;
mod bbox;
pub mod conformance;
mod coordinates;
mod crs;
mod encode_size;
mod error;
mod features;
mod features_file;
mod grid;
mod image;
mod memory_raster;
mod model;
mod points;
mod points_table;
mod progress;
mod prompt_set;
mod replace_file;
mod sample;
mod sampler;
mod segmenter;
mod source;
pub mod statistics;
mod store;
mod suggested_grid;
pub mod torch_file;
mod value_range;
mod vectorize;

pub use affine::Affine;
pub use batches::in_batches;
pub use bbox::BoundingBox;
pub use coordinates::{PixelBox, PixelPoint, Shape, Window, WorldPoint};
pub use crs::{Crs, CrsDescription, CrsTransform, SameCrsOnly};
pub use error::{BoxError, Error, Result};
pub use features::{EncodedImageFeatures, FeaturePayload, FeatureTensor};
pub use features_file::FeaturePrecision;
pub use grid::{GeoGrid, PixelAnchor};
pub use image::ModelImage;
pub use memory_raster::MemoryRaster;
pub use model::{MODEL_DEFINITIONS, ModelDefinition, ModelSpec, ModelType, Precision, Preprocess};
pub use points::{Label, Points};
pub use points_table::PointColumns;
pub use progress::{CancelFlag, NoProgress, Progress};
pub use prompt_set::{MaskPrompt, PromptSet};
pub use replace_file::{create_temporary, replace_file, sync_folder};
pub use sample::{NEUTRAL_RGB, PixelValue, Pixels, RasterSample};
pub use sampler::{GridGeoSampler, Tiling, chip_extent_rectangles};
pub use segmenter::{
    LowResLogits, Masks, PixelPrompt, PredictOptions, Prediction, PromptSession, Segmenter, encode_and_open,
    logits_stability,
};
pub use source::ChipSource;
pub use store::{ChipRecord, FeatureStore, MemoryFeatureStore};
pub use value_range::{BandRange, ValueRange, ValueRangeChoice};
pub use vectorize::{MaskChoice, MaskFeatures, MaskPolygon, MaskVectorizer, VectorizeOptions};
