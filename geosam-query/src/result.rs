//! The answer to a query.

use geosam_core::{
    BoundingBox, GeoGrid, LowResLogits, MaskFeatures, MaskVectorizer, Masks, ModelType, Prediction, PromptSet, Result,
    VectorizeOptions,
};

/// Masks on the map: the answer of an engine to one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// One mask, or three where several were asked for, each of the grid's shape.
    pub masks: Masks,
    /// Predicted IoU of each mask; SAM's head is not a probability and may leave 0 to 1.
    pub scores: Vec<f32>,
    /// The decoder's logits of each mask; with [`QueryResult::grid`] a prompt ([`PromptSet::with_mask`]) that refines it.
    pub low_res: LowResLogits,
    /// Where the masks' pixels are: transform, shape and CRS of the chip.
    pub grid: GeoGrid,
    /// Bounds of the prompt, in the grid's CRS.
    pub query_bounds: BoundingBox,
    /// Bounds of the chip.
    pub chip_bounds: BoundingBox,
    /// The raster.
    pub source_path: String,
    /// The chip of the feature store; `None` from a live engine.
    pub chip_id: Option<String>,
    /// Family of the model.
    pub model_type: ModelType,
}

impl QueryResult {
    pub(crate) fn new(
        prediction: Prediction,
        prompt: &PromptSet,
        grid: &GeoGrid,
        source_path: &str,
        chip_id: Option<&str>,
        model_type: ModelType,
    ) -> Self {
        Self {
            masks: prediction.masks,
            scores: prediction.scores,
            low_res: prediction.low_res,
            grid: grid.clone(),
            query_bounds: prompt.bounds(),
            chip_bounds: grid.bounds(),
            source_path: source_path.to_string(),
            chip_id: chip_id.map(str::to_string),
            model_type,
        }
    }

    /// The masks, ready to become polygons with their scores.
    ///
    /// # Errors
    /// [`geosam_core::Error::InvalidArgument`] if the public fields were changed so that they do not fit each other.
    pub fn vectorizer(&self) -> Result<MaskVectorizer<'_>> {
        MaskVectorizer::new(&self.masks, &self.grid)?.with_scores(&self.scores)
    }

    /// The masks as polygons on the map.
    ///
    /// # Errors
    /// As [`QueryResult::vectorizer`]; [`geosam_core::Error::InvalidArgument`] for unusable options.
    pub fn features(&self, options: &VectorizeOptions) -> Result<MaskFeatures> {
        self.vectorizer()?.features(options)
    }
}
