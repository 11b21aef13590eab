//! How well a model answers.

use geosam_core::{
    Error, Label, Masks, ModelImage, PixelPrompt, PredictOptions, Prediction, PromptSession, Result, Segmenter, Shape,
};

use super::clicks::{bounds, correction, innermost};
use super::lesson::shares;
use crate::postprocess::masks_at_source;
use crate::preprocess::Letterbox;

/// Objects that are asked for together.
const TOGETHER: usize = 16;
/// Clicks of [`ObjectIou::clicks`].
const CLICKS: usize = 5;

/// Intersection over union of the answers to prompts for one object with its mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectIou {
    /// A click in the middle of its thickest part, one mask asked for.
    pub click: f64,
    /// The same click, the best of three masks.
    pub best_of_three: f64,
    /// Its bounding box.
    pub bbox: f64,
    /// Five clicks: that one, and four, each in the middle of the thickest part that was still wrong, and with the mask so
    /// far as a prompt, as in SAM's training (<https://arxiv.org/abs/2304.02643>, appendix A).
    pub clicks: f64,
    /// What no answer is much better than: the mask of logits that know the object, each how much of its square it covers.
    pub resolution: f64,
    /// The IoU that the model predicted for the first answer.
    pub score: f64,
    /// Pixels of the object.
    pub area: usize,
}

/// Asks a model for every object of an image. Empty masks are left out.
///
/// # Errors
/// [`Error::InvalidArgument`] for masks of another shape than the image; as [`Segmenter::open_image`].
pub fn evaluate(model: &dyn Segmenter, image: &ModelImage, masks: &Masks) -> Result<Vec<ObjectIou>> {
    let shape = masks.shape();
    if shape != image.shape() {
        return Err(Error::invalid_argument("masks", format!("the image's {}", image.shape()), shape));
    }
    let session = model.open_image(image)?;
    let letterbox = Letterbox::new(shape, model.spec().image_size);
    let objects: Vec<_> = masks.iter().filter(|mask| mask.contains(&true)).collect();
    let ious = objects.chunks(TOGETHER).map(|objects| evaluate_together(&*session, objects, letterbox));
    Ok(ious.collect::<Result<Vec<_>>>()?.concat())
}

/// Asks for some objects at once: six masks of the image's shape each are in memory together.
fn evaluate_together(session: &dyn PromptSession, objects: &[&[bool]], letterbox: Letterbox) -> Result<Vec<ObjectIou>> {
    let shape = letterbox.source();
    let click = |mask: &&[bool]| {
        let at = innermost(mask, shape).expect("the mask is not empty");
        PixelPrompt { points: vec![at], labels: vec![Label::Foreground], ..PixelPrompt::default() }
    };
    let mut prompts: Vec<_> = objects.iter().map(click).collect();
    let boxes: Vec<_> =
        objects.iter().map(|mask| PixelPrompt { bbox: bounds(mask, shape), ..PixelPrompt::default() }).collect();
    let [single, several] = [false, true].map(|multimask| session.predict(&prompts, PredictOptions { multimask }));
    let (single, several) = (single?, several?);
    let boxed = session.predict(&boxes, PredictOptions::default())?;
    let corrected = after_corrections(session, &mut prompts, objects, shape)?;

    let ious = objects.iter().enumerate().map(|(index, truth)| {
        let first = |predictions: &[Prediction]| iou(truth, predictions[index].masks.mask(0));
        ObjectIou {
            click: first(&single),
            best_of_three: several[index].masks.iter().map(|mask| iou(truth, mask)).fold(0.0, f64::max),
            bbox: first(&boxed),
            clicks: first(&corrected),
            resolution: iou(truth, &known(truth, letterbox, single[index].low_res.shape.height)),
            score: f64::from(single[index].scores[0]),
            area: truth.iter().filter(|&&inside| inside).count(),
        }
    });
    Ok(ious.collect())
}

/// The answers to all clicks, the first of which are given.
fn after_corrections(
    session: &dyn PromptSession,
    prompts: &mut [PixelPrompt],
    truths: &[&[bool]],
    shape: Shape,
) -> Result<Vec<Prediction>> {
    for _ in 1..CLICKS {
        let answers = session.predict(prompts, PredictOptions::default())?;
        for ((prompt, answer), truth) in prompts.iter_mut().zip(answers).zip(truths) {
            if let Some((at, label)) = correction(truth, answer.masks.mask(0), shape, None) {
                prompt.points.push(at);
                prompt.labels.push(label);
                prompt.mask = Some(answer.low_res.as_prompt(0));
            }
        }
    }
    session.predict(prompts, PredictOptions::default())
}

/// The mask of logits that know the object, `[side, side]` of them.
fn known(mask: &[bool], letterbox: Letterbox, side: usize) -> Vec<bool> {
    let logits: Vec<_> = shares(mask, letterbox, side).into_iter().map(|share| share - 0.5).collect();
    masks_at_source(&logits, side, &letterbox)
}

fn iou(a: &[bool], b: &[bool]) -> f64 {
    let common = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
    let either = a.iter().zip(b).filter(|(a, b)| **a || **b).count();
    if either == 0 { 1.0 } else { common as f64 / either as f64 }
}
