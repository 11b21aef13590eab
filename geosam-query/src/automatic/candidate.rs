//! What one chip answers.

use geosam_core::{Error, Label, PixelPoint, PixelPrompt, PredictOptions, PromptSession, Result};

use super::config::AutomaticMasksConfig;
use super::rectangle::Rectangle;
use super::runs::Runs;

/// A mask that passed the filters.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) mask: Runs,
    /// Predicted IoU.
    pub(super) score: f32,
    pub(super) stability: f32,
    /// What was asked, in pixels of the raster.
    pub(super) point: PixelPoint,
}

/// A chip that is ready to be asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) session: &'a dyn PromptSession,
    pub(super) chip: Rectangle,
    /// Which of the chip's pixels hold data, where that is known.
    pub(super) valid: Option<&'a [bool]>,
    pub(super) pred_iou_thresh: f32,
    pub(super) config: &'a AutomaticMasksConfig,
}

impl Asked<'_> {
    /// Ask one batch of points, and append what passes the filters.
    pub(super) fn ask(&self, points: &[PixelPoint], candidates: &mut Vec<Candidate>) -> Result<()> {
        let prompt = |point: &PixelPoint| PixelPrompt {
            points: vec![PixelPoint::new(
                point.column - f64::from(self.chip.left),
                point.row - f64::from(self.chip.top),
            )],
            labels: vec![Label::Foreground],
            ..PixelPrompt::default()
        };
        let prompts: Vec<_> = points.iter().map(prompt).collect();
        let answers = self.session.predict(&prompts, PredictOptions { multimask: self.config.multimask })?;
        if answers.len() != points.len() {
            let expected = format!("an answer to each of {} prompts", points.len());
            return Err(Error::invalid_argument("segmenter", expected, answers.len()));
        }
        let shape = self.chip.shape();
        for (answer, &point) in answers.iter().zip(points) {
            if answer.masks.shape() != shape {
                let expected = format!("masks of the chip's shape, {shape}");
                return Err(Error::invalid_argument("segmenter", expected, answer.masks.shape()));
            }
            for (index, (pixels, &score)) in answer.masks.iter().zip(&answer.scores).enumerate() {
                if score <= self.pred_iou_thresh || score.is_nan() {
                    continue;
                }
                let stability = self.session.stability(answer, index, self.config.stability_score_offset);
                if stability < self.config.stability_score_thresh {
                    continue;
                }
                let mask = match self.valid {
                    None => Runs::of_chip(&self.chip, |at| pixels[at]),
                    Some(valid) => Runs::of_chip(&self.chip, |at| pixels[at] && valid[at]),
                };
                candidates.extend(mask.map(|mask| Candidate { mask, score, stability, point }));
            }
        }
        Ok(())
    }
}

/// Of the candidates that have the same box, with an IoU of more than `threshold`, the one with the highest score; best first.
pub(super) fn best_of_each_box(mut candidates: Vec<Candidate>, threshold: f64) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if !kept.iter().any(|better| better.mask.is_same(&candidate.mask, threshold)) {
            kept.push(candidate);
        }
    }
    kept
}
