//! What a feature folder holds, at a glance.

use std::path::{Path, PathBuf};

use geosam_core::{BoundingBox, Crs, FeatureStore, ModelDefinition, ModelType, Precision, Result, ValueRange};

use crate::folder::FeatureFolder;
use crate::manifest_writer::total_bounds;

/// Summary of a feature folder. What Python geosam's folders do not record is `None`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FeatureSourceSummary {
    /// The manifest, absolute.
    pub manifest_path: PathBuf,
    /// CRS of the chips.
    pub crs: Crs,
    /// The box around all chips.
    pub extent: BoundingBox,
    /// Number of chips.
    pub chip_count: usize,
    /// Area of one pixel in squared CRS units: square metres for most projected CRSs, no area for geographic ones.
    pub pixel_area: f64,
    /// The raster.
    pub source_path: String,
    /// Identifier of the model; where it is not recorded, the one that the checkpoint's file name stands for.
    pub model_id: Option<String>,
    /// Family of the model.
    pub model_type: ModelType,
    /// File name of the checkpoint, as the Python systems know it.
    pub checkpoint_name: String,
    /// The file the weights came from.
    pub origin_checkpoint: Option<String>,
    /// Hash of the weights that features depend on.
    pub fingerprint: Option<String>,
    /// Bands read, 1-based.
    pub bands: Option<Vec<usize>>,
    /// Which values became 0 and 255.
    pub value_range: Option<ValueRange>,
    /// How chips were prepared: `standard` or `geosam-0.1`.
    pub preprocess: Option<String>,
    /// How exactly they were encoded.
    pub encoder_precision: Option<Precision>,
    /// Element type of the stored features.
    pub dtype: Option<String>,
    /// Version of this crate that wrote the manifest.
    pub geosam_version: Option<String>,
    /// Whether the run that made the folder came to its end; if not, the same run again goes on.
    pub complete: bool,
    /// Size of the chip files that are there.
    pub storage_bytes: u64,
}

/// Summarise a feature folder, or the folder of a manifest.
///
/// # Errors
/// As [`FeatureFolder::open`].
pub fn describe_feature_source(path: impl AsRef<Path>) -> Result<FeatureSourceSummary> {
    let folder = FeatureFolder::open(path)?;
    let chips = folder.chips()?;
    // A folder that opens has at least one chip.
    let first = chips[0].clone();
    let bounds: Vec<_> = chips.iter().map(|chip| chip.grid.bounds()).collect();
    let facts = folder.facts().clone();
    let checkpoint = first.checkpoint_path.rsplit(['/', '\\']).next().unwrap_or_default().to_string();
    let by_name = ModelDefinition::by_filename(Path::new(&checkpoint)).map(|d| d.model_id.to_string());
    Ok(FeatureSourceSummary {
        manifest_path: folder.manifest_path().to_path_buf(),
        crs: first.grid.crs.clone(),
        extent: total_bounds(&bounds),
        chip_count: chips.len(),
        pixel_area: first.grid.transform.pixel_area(),
        source_path: first.source_path.clone(),
        model_id: facts.model_id.or(by_name),
        model_type: first.model_type,
        checkpoint_name: checkpoint,
        origin_checkpoint: facts.origin_checkpoint,
        fingerprint: first.fingerprint.clone(),
        bands: facts.bands,
        value_range: facts.value_range,
        preprocess: facts.preprocess,
        encoder_precision: folder.settings().map(|settings| settings.encoder_precision),
        dtype: facts.dtype,
        geosam_version: facts.geosam_version,
        complete: folder.is_complete(),
        storage_bytes: folder.storage_bytes(),
    })
}
