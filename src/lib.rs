//! Segment geospatial rasters with SAM-family models: encode once, query many times.
//!
//! A raster is cut into chips, each chip is encoded once by a model of the SAM family, and the features are kept in a
//! folder. Prompts in map coordinates, clicks and boxes, are then answered from the folder in milliseconds, as masks
//! and polygons on the map.
//!
//! ```text
//! raster ──▶ chips ──▶ features ──▶ feature folder ──▶ query ──▶ masks, polygons
//! ```
//!
//! # Example
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//! use geosam::{
//!     Crs, FeatureCacheBuilder, FeatureCacheConfig, ModelOptions, NoProgress, Osr, Points, PredictOptions,
//!     RasterDataset, RasterOptions, VectorizeOptions, WorldPoint, load_model, open_folder, write_vector,
//! };
//!
//! let raster = Arc::new(RasterDataset::open("city.tif", &RasterOptions::default())?);
//! let model = Arc::new(load_model("sam_b.pt", &ModelOptions::default())?);
//! let config = FeatureCacheConfig::default();
//! FeatureCacheBuilder::new(raster, model.clone(), Arc::new(Osr), "city-features", config).build(&NoProgress)?;
//!
//! let engine = open_folder(Path::new("city-features"), model)?;
//! let click = Points::foreground(vec![WorldPoint::new(16.3738, 48.2082)], Crs::wgs84())?;
//! let result = engine.query(&click.into(), PredictOptions::default())?;
//! write_vector("roof.gpkg", &result.features(&VectorizeOptions::default())?)?;
//! # Ok::<(), geosam::Error>(())
//! ```
//!
//! `examples/quickstart.rs` is the same path with a raster and a model that need no download.
//!
//! # Where things are
//!
//! | crate | what it holds |
//! |---|---|
//! | `geosam-core` | vocabulary and seams: grids, prompts, chips, features, masks, errors |
//! | `geosam-io` | rasters, coordinate systems, vector and mask files, through GDAL |
//! | `geosam-models` | checkpoints and networks, in burn |
//! | `geosam-cache` | feature folders |
//! | `geosam-query` | engines, automatic masks |
//!
//! A program that needs one of them only can depend on it alone: querying a folder links no GDAL, a program with its
//! own model (`examples/custom_segmenter.rs`) needs no burn.

mod legacy_settings;
mod logits;
mod wiring;

pub use geosam_cache::{
    BuildReport, ExistingFolder, FeatureCacheBuilder, FeatureCacheConfig, FeatureFolder, FeatureSourceSummary,
    FolderOptions, FolderSettings, StageTimings, describe_feature_source,
};
pub use geosam_core::{
    Affine, BandRange, BoundingBox, CancelFlag, ChipRecord, ChipSource, Crs, CrsDescription, CrsTransform,
    EncodedImageFeatures, Error, FeaturePayload, FeaturePrecision, FeatureStore, FeatureTensor, GeoGrid,
    GridGeoSampler, Label, LowResLogits, MODEL_DEFINITIONS, MaskChoice, MaskFeatures, MaskPolygon, MaskPrompt,
    MaskVectorizer, Masks, MemoryFeatureStore, MemoryRaster, ModelDefinition, ModelImage, ModelSpec, ModelType,
    NoProgress, PixelAnchor, PixelBox, PixelPoint, PixelPrompt, Pixels, PointColumns, Points, Precision,
    PredictOptions, Prediction, Preprocess, Progress, PromptSession, PromptSet, RasterSample, Result, SameCrsOnly,
    Segmenter, Shape, Tiling, ValueRange, ValueRangeChoice, VectorizeOptions, Window, WorldPoint,
    chip_extent_rectangles, conformance, encode_and_open, logits_stability, torch_file,
};
pub use geosam_io::{
    BandInfo, FilePrompt, LabelWriter, MaskFormat, Osr, OverlayStyle, PolygonFileOptions, Polygons, PromptFileOptions,
    RasterDataset, RasterInfo, RasterOptions, Resampling, VectorFormat, VectorWriter, draw_overlay, read_points,
    read_polygons, read_prompts, set_cache_size, write_mask, write_overlay, write_raster, write_vector,
};
#[cfg(feature = "nano")]
pub use geosam_models::load_nano;
#[cfg(feature = "train")]
pub use geosam_models::train;
pub use geosam_models::{
    Checkpoint, Container, DeviceChoice, HieraConfig, ImageEncoderConfig, Layout, ModelOptions,
    PerceptionEncoderConfig, Recognised, Sam, SamConfig, TensorSource, TinyVitConfig, VitConfig, load_model, recognise,
    write_checkpoint, write_random_checkpoint,
};
pub use geosam_query::{
    AutomaticMask, AutomaticMasks, AutomaticMasksConfig, AutomaticMasksRaster, AutomaticMasksReport,
    FeatureQueryEngine, FeatureQueryOptions, OnlineQueryCache, OnlineQueryEngine, OnlineQueryOptions, QueryResult,
};
pub use legacy_settings::{LegacyExtent, LegacySettings};
pub use logits::write_logits;
pub use wiring::{open_folder, query_raster};
