//! Features are decoded at the size they were encoded at.

use crate::coordinates::Shape;
use crate::error::{Error, Result};
use crate::features::EncodedImageFeatures;
use crate::model::ModelType;
use crate::store::ChipRecord;

impl EncodedImageFeatures {
    /// Refuses features that were encoded at another size than `image_size`, the side of the model's square input: the
    /// decoder would take every prompt for another place. The size is seen in `dst_shape`, and in the rows and columns of
    /// the embedding, of which each stands for [`ModelType::patch_size`] pixels.
    ///
    /// Python geosam encodes SAM 3 so unless it is told otherwise: it rounds its image size of 1024 up to 1036, a whole
    /// number of patches, and records 1024.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], which says why and what to do.
    ///
    /// # Examples
    /// ```
    /// use geosam_core::{EncodedImageFeatures, FeaturePayload, FeatureTensor, ModelType, Shape};
    ///
    /// let features = |image_size: usize, recorded: usize| {
    ///     let patches = image_size / ModelType::Sam3.patch_size();
    ///     let map = |scale: usize| {
    ///         let side = scale * patches;
    ///         FeatureTensor::new(vec![1, 1, side, side], vec![0.0; side * side])
    ///     };
    ///     geosam_core::Result::Ok(EncodedImageFeatures {
    ///         model_type: ModelType::Sam3,
    ///         checkpoint_path: "/models/sam3.pt".into(),
    ///         src_shape: Shape::square(1024),
    ///         dst_shape: Shape::square(recorded),
    ///         payload: FeaturePayload::Sam2 { image_embed: map(1)?, high_res_feats: vec![map(4)?, map(2)?] },
    ///     })
    /// };
    /// features(1008, 1008)?.check_encode_size(1008)?;
    /// let error = features(1036, 1024)?.check_encode_size(1008).unwrap_err();
    /// assert!(error.to_string().contains("encode again with image size 1008"));
    /// # Ok::<(), geosam_core::Error>(())
    /// ```
    pub fn check_encode_size(&self, image_size: usize) -> Result<()> {
        let patch = self.model_type.patch_size();
        let encoded = match self.payload.embedding().shape() {
            [_, _, rows, columns] => Shape::new(rows.saturating_mul(patch), columns.saturating_mul(patch)),
            _ => seen_by_network(self.model_type, self.dst_shape),
        };
        check(self.model_type, self.dst_shape, encoded, image_size)
    }
}

impl ChipRecord {
    /// As [`EncodedImageFeatures::check_encode_size`], from what the store records of the chip: the size that a network
    /// sees is a whole number of patches, so another `dst_shape` is not the true one.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], which says why and what to do.
    pub fn check_encode_size(&self, image_size: usize) -> Result<()> {
        check(self.model_type, self.dst_shape, seen_by_network(self.model_type, self.dst_shape), image_size)
    }
}

/// The size a network of whole patches saw of an input recorded as `dst_shape`: the Python systems round up.
fn seen_by_network(model_type: ModelType, dst_shape: Shape) -> Shape {
    let whole = |side: usize| side.checked_next_multiple_of(model_type.patch_size()).unwrap_or(side);
    Shape::new(whole(dst_shape.height), whole(dst_shape.width))
}

fn check(model_type: ModelType, recorded: Shape, encoded: Shape, image_size: usize) -> Result<()> {
    let expected = Shape::square(image_size);
    if recorded == expected && encoded == expected {
        return Ok(());
    }
    let mut found = format!("ones encoded at {encoded}");
    if recorded != encoded {
        found += &format!(" and recorded as {recorded}");
    }
    if model_type == ModelType::Sam3 && recorded.width < encoded.width {
        // Prompts are scaled to the one and normalised by the other.
        let shift = 100.0 * (1.0 - recorded.width as f64 / encoded.width as f64);
        found += &format!(
            ", as Python geosam does by default, so that every click would land {shift:.1} % too near the top left"
        );
    }
    let remedy = format!(
        "encode again with image size {image_size} (imgsz={image_size} in Python geosam), or with `geosam encode`"
    );
    Err(Error::invalid_argument(
        "features",
        format!("{model_type} features encoded at {expected}"),
        format_args!("{found}; {remedy}"),
    ))
}
