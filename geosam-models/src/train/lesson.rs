//! What a model is asked about one image while it is trained.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use geosam_core::{Label, PixelPrompt, PredictOptions, PromptSession, Result, Shape};

use super::clicks::{any_inside, bounds, correction, innermost, jittered};
use super::loss::{LossSums, loss};
use super::random::Random;
use crate::image_features::ImageFeatures;
use crate::preprocess::Letterbox;
use crate::segmenter::{NetworkPrompt, PromptDecoder, SamSession};

/// Prompts that are decoded together.
const TOGETHER: usize = 8;
/// Share of objects that are first asked for with a box; the others with a click.
const BOXES: f64 = 0.5;
/// Further clicks, at most.
const CORRECTIONS: usize = 4;
/// Points of a logit's square, along one axis, that say how much of it belongs to the object.
const SAMPLES: usize = 4;

/// An image and some objects in it.
#[derive(Debug)]
pub(super) struct Lesson<'a> {
    pub(super) shape: Shape,
    /// Of that shape, each with at least one pixel.
    pub(super) masks: Vec<&'a [bool]>,
}

/// A prompt, and the object it is meant for.
struct Question {
    object: usize,
    prompt: PixelPrompt,
}

impl Lesson<'_> {
    /// The sum of the losses of all questions, and their number.
    ///
    /// `features` are the image's, with the history that gradients are wanted of, as `decoder` has its own; `annotator` decodes
    /// what a click should correct, and has no history.
    pub(super) fn loss(
        &self,
        decoder: &Arc<PromptDecoder>,
        features: ImageFeatures,
        annotator: &Arc<PromptDecoder>,
        random: &mut Random,
    ) -> Result<(Tensor<1>, LossSums)> {
        let seen = SamSession::new(Arc::clone(annotator), features.without_autodiff(), self.shape);
        let session = SamSession::new(Arc::clone(decoder), features, self.shape);
        let first = self.first_questions(random);
        let corrected = self.corrected_questions(&seen, &first, random)?;

        let letterbox = Letterbox::new(self.shape, decoder.image_size);
        let side = session.side();
        let targets: Vec<_> = self.masks.iter().map(|mask| split(&shares(mask, letterbox, side), side)).collect();
        let mut alike: BTreeMap<(usize, bool), Vec<(usize, NetworkPrompt)>> = BTreeMap::new();
        for Question { object, prompt } in first.iter().chain(&corrected) {
            let prompt = session.network_prompt(prompt)?;
            alike.entry((prompt.tokens.len(), prompt.mask.is_some())).or_default().push((*object, prompt));
        }
        let mut sums = LossSums::default();
        let mut total: Option<Tensor<1>> = None;
        for questions in alike.values().flat_map(|alike| alike.chunks(TOGETHER)) {
            let prompts: Vec<_> = questions.iter().map(|(_, prompt)| prompt).collect();
            let (logits, scores) = session.all_masks(&prompts);
            let truth = questions.iter().flat_map(|(object, _)| &targets[*object]).copied().collect();
            let loss = loss(&logits, scores, truth);
            sums += loss.report;
            total = Some(match total {
                Some(total) => total + loss.total,
                None => loss.total,
            });
        }
        Ok((total.expect("a lesson has objects"), sums))
    }

    /// A click or a box for each object.
    fn first_questions(&self, random: &mut Random) -> Vec<Question> {
        let question = |(object, mask): (usize, &&[bool])| {
            let prompt = if random.uniform() < BOXES {
                let exact = bounds(mask, self.shape)?;
                PixelPrompt { bbox: Some(jittered(exact, self.shape, random)), ..PixelPrompt::default() }
            } else {
                let middle = random.uniform() < 0.3;
                let at = if middle { innermost(mask, self.shape) } else { any_inside(mask, self.shape, random) };
                PixelPrompt { points: vec![at?], labels: vec![Label::Foreground], ..PixelPrompt::default() }
            };
            Some(Question { object, prompt })
        };
        self.masks.iter().enumerate().filter_map(question).collect()
    }

    /// The same after some clicks where the answers were wrong; half of the time with the last answer as a mask.
    fn corrected_questions(
        &self,
        session: &SamSession,
        first: &[Question],
        random: &mut Random,
    ) -> Result<Vec<Question>> {
        let rounds = 1 + random.below(CORRECTIONS).unwrap_or(0);
        let with_mask = random.uniform() < 0.5;
        let mut prompts: Vec<PixelPrompt> = first.iter().map(|question| question.prompt.clone()).collect();
        for _ in 0..rounds {
            let answers = session.predict(&prompts, PredictOptions::default())?;
            for ((prompt, answer), question) in prompts.iter_mut().zip(answers).zip(first) {
                let truth = self.masks[question.object];
                let anywhere = random.uniform() < 0.5;
                let click = correction(truth, answer.masks.mask(0), self.shape, anywhere.then_some(&mut *random));
                let Some((at, label)) = click else { continue };
                prompt.points.push(at);
                prompt.labels.push(label);
                prompt.mask = with_mask.then(|| answer.low_res.as_prompt(0));
            }
        }
        let question = |(prompt, question): (PixelPrompt, &Question)| Question { object: question.object, prompt };
        Ok(prompts.into_iter().zip(first).map(question).collect())
    }
}

/// How much of each logit's square belongs to the object, row by row.
///
/// # Shapes
/// - output: `[side, side]`
pub(super) fn shares(mask: &[bool], letterbox: Letterbox, side: usize) -> Vec<f32> {
    let Shape { height, width } = letterbox.source();
    let step = letterbox.size() as f64 / (side * SAMPLES) as f64 / letterbox.ratio();
    let at = |sample: usize, length: usize| {
        let pixel = ((sample as f64 + 0.5) * step) as usize;
        (pixel < length).then_some(pixel)
    };
    let columns: Vec<_> = (0..side * SAMPLES).map(|sample| at(sample, width)).collect();
    let mut shares = vec![0.0; side * side];
    for (index, shares) in shares.chunks_exact_mut(side).enumerate() {
        for row in (index * SAMPLES..(index + 1) * SAMPLES).filter_map(|sample| at(sample, height)) {
            let values = &mask[row * width..][..width];
            for (share, samples) in shares.iter_mut().zip(columns.chunks_exact(SAMPLES)) {
                let inside = samples.iter().flatten().filter(|&&pixel| values[pixel]).count();
                *share += inside as f32 / SAMPLES.pow(2) as f32;
            }
        }
    }
    shares
}

/// Numbers in the order of [`crate::nn::PixelSplit`]: that in which the decoder splits the cells of its grid twice.
///
/// # Shapes
/// - rows: `[side, side]`
/// - output: `[side²]`
fn split(rows: &[f32], side: usize) -> Vec<f32> {
    let mut split = vec![0.0; side * side];
    for (index, &number) in rows.iter().enumerate() {
        let (row, column) = (index / side, index % side);
        let cell = row / 4 * (side / 4) + column / 4;
        let first = row % 4 / 2 * 2 + column % 4 / 2;
        let second = row % 2 * 2 + column % 2;
        split[(cell * 4 + first) * 4 + second] = number;
    }
    split
}
