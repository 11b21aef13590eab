//! The seam to a promptable model.

use crate::coordinates::{PixelBox, PixelPoint, Shape};
use crate::error::{Error, Result};
use crate::features::EncodedImageFeatures;
use crate::image::ModelImage;
use crate::model::ModelSpec;
use crate::points::Label;
use crate::prompt_set::MaskPrompt;

/// Prompts for one object in source pixels of the chip, (0, 0) at its top-left corner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PixelPrompt {
    /// Points.
    pub points: Vec<PixelPoint>,
    /// One label for each point.
    pub labels: Vec<Label>,
    /// Box.
    pub bbox: Option<PixelBox>,
    /// Low-resolution logits of an earlier prediction on the same chip.
    pub mask: Option<MaskPrompt>,
}

/// Masks of one shape, one after the other.
#[derive(Clone, PartialEq)]
pub struct Masks {
    shape: Shape,
    values: Vec<bool>,
}

impl Masks {
    /// Masks of `shape`, stored one after the other, each row-major.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the values are not a whole number of masks.
    pub fn new(shape: Shape, values: Vec<bool>) -> Result<Self> {
        if shape.area() == 0 || !values.len().is_multiple_of(shape.area()) {
            return Err(Error::invalid_argument("masks", format!("a multiple of {shape} values"), values.len()));
        }
        Ok(Self { shape, values })
    }

    /// Number of masks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.shape.area()
    }

    /// Whether there is no mask at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Shape of each mask.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Mask `index`, row-major.
    ///
    /// # Panics
    /// If there is no such mask.
    #[must_use]
    pub fn mask(&self, index: usize) -> &[bool] {
        &self.values[index * self.shape.area()..][..self.shape.area()]
    }

    /// The masks, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[bool]> {
        self.values.chunks_exact(self.shape.area())
    }

    /// All values, `[n, height, width]` row-major.
    #[must_use]
    pub fn values(&self) -> &[bool] {
        &self.values
    }
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masks({} of {})", self.len(), self.shape)
    }
}

/// Raw decoder output, before it is brought to the chip's resolution.
#[derive(Clone, PartialEq)]
pub struct LowResLogits {
    /// Shape of each map, normally 256×256.
    pub shape: Shape,
    /// `[n, height, width]` row-major; positive inside the object.
    pub values: Vec<f32>,
}

impl LowResLogits {
    /// Map `index` as a mask prompt for the next prediction on the same chip.
    ///
    /// # Panics
    /// If there is no such map.
    #[must_use]
    pub fn as_prompt(&self, index: usize) -> MaskPrompt {
        let area = self.shape.area();
        MaskPrompt { shape: self.shape, logits: self.values[index * area..][..area].to_vec() }
    }
}

impl std::fmt::Debug for LowResLogits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LowResLogits({} of {})", self.values.len() / self.shape.area().max(1), self.shape)
    }
}

/// The answer to one prompt: one mask, or three where several were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Masks at the chip's source resolution.
    pub masks: Masks,
    /// Predicted IoU of each mask; SAM's head is not a probability and may leave 0 to 1.
    pub scores: Vec<f32>,
    /// The decoder's logits of each mask.
    pub low_res: LowResLogits,
}

/// How prompts are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PredictOptions {
    /// Three candidate masks for each prompt instead of one (default: one).
    pub multimask: bool,
}

/// A promptable model.
///
/// # Contract
/// - `encode` returns one entry for each image, in order, its `src_shape` the image's shape.
/// - Encoding is deterministic, and independent of what else is in the batch up to rounding.
/// - `open` refuses features of another model with [`Error::ModelMismatch`] and misshapen ones with
///   [`Error::InvalidArgument`], before it computes anything.
/// - Both may be called from several threads.
pub trait Segmenter: Send + Sync + std::fmt::Debug {
    /// What identifies the model.
    fn spec(&self) -> &ModelSpec;

    /// Encode chips, each at most as large as memory allows; they are brought to the model's size here.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the device's memory does not hold so many at once; [`Error::Unsupported`] if the device cannot
    /// do it at all.
    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>>;

    /// How many images it should be given at a time where there are many: more than one, if it works on them together and
    /// its device has the memory. After [`Error::TooLarge`] callers give it half as many.
    fn batch(&self) -> usize;

    /// Whether the processor is free while it encodes, as it is where a GPU does the work: other chips are then read and
    /// written by several threads meanwhile, and two batches are under way. Default: a model that takes batches. A segmenter
    /// that wraps another passes this on, like [`Segmenter::batch`].
    fn leaves_cpu_free(&self) -> bool {
        self.batch() > 1
    }

    /// Put features on the model's device and answer prompts from them.
    ///
    /// # Errors
    /// See the contract.
    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>>;

    /// [`Segmenter::encode`] and [`Segmenter::open`] of one image, for features that nobody else wants: they need not leave
    /// the model's device in between. Where that makes no difference it is [`encode_and_open`].
    ///
    /// # Errors
    /// As both.
    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>>;
}

/// [`Segmenter::open_image`] of a model that can do no better than one after the other.
///
/// # Errors
/// As [`Segmenter::encode`] and [`Segmenter::open`]; [`Error::InvalidArgument`] if the model breaks its contract.
pub fn encode_and_open(segmenter: &dyn Segmenter, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
    let encoded = segmenter.encode(std::slice::from_ref(image))?;
    match &encoded[..] {
        [features] => segmenter.open(features),
        _ => Err(Error::invalid_argument("segmenter", "features of one chip", encoded.len())),
    }
}

/// One chip's features on the model's device, ready for prompts.
///
/// Opening costs what bringing the features to the device costs; after that each prompt costs a pass of the decoder, some
/// milliseconds. So a session is kept as long as prompts on its chip are likely, and answers any number of them: a preview
/// of the mask under the pointer, as the QGIS plugins show it, is one point for each position. Prompts that are known
/// together go in one call, which keeps every core busy; `examples/hover_preview.rs` does both.
///
/// A session answers one call at a time. Programs with several threads open a session for each, or keep one behind a lock,
/// as the engines do.
///
/// # Contract
/// - One [`Prediction`] for each prompt, in order; the same as when each prompt is asked alone, up to rounding.
/// - `stability` lies between 0 and 1 and does not grow with the offset.
/// - A prompt with neither points, box nor mask is [`Error::InvalidArgument`], as is a point off the chip by more than
///   its size or a label count that differs from the point count.
pub trait PromptSession: Send + std::fmt::Debug {
    /// Answer prompts.
    ///
    /// # Errors
    /// See the contract.
    fn predict(&self, prompts: &[PixelPrompt], options: PredictOptions) -> Result<Vec<Prediction>>;

    /// How stable mask `mask` of a prediction on this chip is: its area where it is cut at logits above `offset`, divided by
    /// that at logits above `-offset`. 1 for edges that do not move, 0 where nothing is left: Segment Anything's
    /// `calculate_stability_score`.
    ///
    /// It counts the chip's pixels, as the official generators do. Sessions that do not know how the logits lie on the chip
    /// count these, with [`logits_stability`], which tells small objects less well apart.
    ///
    /// # Panics
    /// If the prediction has no such mask.
    fn stability(&self, prediction: &Prediction, mask: usize, offset: f32) -> f32;

    /// Memory that the session holds, in bytes: how many chips stay opened goes by it.
    fn size_in_bytes(&self) -> usize;
}

/// [`PromptSession::stability`] in logits.
///
/// # Panics
/// If the prediction has no such mask.
#[must_use]
pub fn logits_stability(prediction: &Prediction, mask: usize, offset: f32) -> f32 {
    let area = prediction.low_res.shape.area();
    let logits = &prediction.low_res.values[mask * area..][..area];
    let above = |threshold: f32| logits.iter().filter(|logit| **logit > threshold).count();
    above(offset) as f32 / above(-offset).max(1) as f32
}
