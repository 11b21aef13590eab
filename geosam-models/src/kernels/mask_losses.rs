//! Focal and dice loss of masks, with their gradient: two passes over the logits, where burn's operators take some fifty.

use burn::tensor::Tensor;

use super::buffer;
use super::differentiable::{Input, differentiable};
use super::simd::{exp, vectorised};

/// Weight of the focal loss (<https://arxiv.org/abs/1708.02002>); the dice loss has weight 1. SAM's is 20, with which a network
/// that knows nothing yet answers small objects with empty masks, and goes on doing so.
const FOCAL_WEIGHT: f32 = 2.0;
/// Share of the focal loss that pixels of the object have; those outside have the rest.
const FOCAL_ALPHA: f32 = 0.25;

/// Of each mask, the mean focal loss of its pixels and 1 - (2 Σ p t + 1) / (Σ p + Σ t + 1), p the probability that a logit
/// stands for and t its target.
///
/// # Shapes
/// - logits: `[prompts, pixels, masks]`, with autodiff
/// - targets: `[prompts, pixels]`, 0 to 1
/// - output: `[prompts, masks]`
pub(crate) fn mask_losses(logits: &Tensor<3>, targets: Vec<f32>) -> Tensor<2> {
    let [prompts, pixels, masks] = logits.dims();
    assert_eq!(targets.len(), prompts * pixels, "one target for every pixel");
    let Input { values, node } = Input::of(logits).expect("logits in training have autodiff");
    let mut sums = Vec::with_capacity(prompts * masks);
    for (logits, targets) in values.values().chunks_exact(pixels * masks).zip(targets.chunks_exact(pixels)) {
        sums.extend(sums_of(logits, targets, masks));
    }
    let output = sums.iter().map(|sums| FOCAL_WEIGHT * sums.focal / pixels as f32 + sums.dice()).collect();
    let gradient = move |output: &[f32], [_]: [bool; 1]| {
        let mut gradient = buffer::zeroed(values.values().len());
        let of_prompt = gradient.chunks_exact_mut(pixels * masks).zip(values.values().chunks_exact(pixels * masks));
        let of_prompt =
            of_prompt.zip(targets.chunks_exact(pixels)).zip(sums.chunks_exact(masks).zip(output.chunks_exact(masks)));
        for (((gradient, logits), targets), (sums, output)) in of_prompt {
            let slopes: Vec<_> = sums.iter().map(Sums::dice_slopes).collect();
            vectorised(
                #[inline(always)]
                || {
                    let rows = gradient.chunks_exact_mut(masks).zip(logits.chunks_exact(masks)).zip(targets);
                    for ((gradient, logits), &t) in rows {
                        for (((g, &x), &[per_target, constant]), &dy) in
                            gradient.iter_mut().zip(logits).zip(&slopes).zip(output)
                        {
                            let Pixel { p, entropy } = Pixel::of(x, t);
                            let (error, slope) = (p - t, p * (1.0 - p));
                            let share = (2.0 * FOCAL_ALPHA - 1.0) * t + (1.0 - FOCAL_ALPHA);
                            let focal = share * error * (2.0 * slope * entropy + error * error);
                            let dice = slope * (constant + per_target * t);
                            *g = dy * (FOCAL_WEIGHT * focal / pixels as f32 + dice);
                        }
                    }
                },
            );
        }
        [Some(gradient)]
    };
    differentiable([(node, vec![prompts, pixels, masks])], output, [prompts, masks], gradient)
}

/// A logit and its target.
struct Pixel {
    /// The probability that the logit stands for.
    p: f32,
    /// -ln of the probability of what is true.
    entropy: f32,
}

impl Pixel {
    #[inline(always)]
    fn of(x: f32, t: f32) -> Self {
        // Of the smaller exponential, so that nothing overflows; ln(1 + e) by its series in e / (2 + e).
        let e = exp(-x.abs());
        let ratio = e / (2.0 + e);
        let square = ratio * ratio;
        let series = [1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0];
        let logarithm = 2.0 * ratio * super::simd::polynomial(square, series);
        let p = (if x < 0.0 { e } else { 1.0 }) / (1.0 + e);
        Self { p, entropy: x.max(0.0) + logarithm - x * t }
    }
}

/// Sums over the pixels of a mask.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    focal: f32,
    /// Σ p t, Σ p and Σ t.
    common: f32,
    predicted: f32,
    target: f32,
}

impl Sums {
    fn dice(&self) -> f32 {
        1.0 - (2.0 * self.common + 1.0) / (self.predicted + self.target + 1.0)
    }

    /// What the slope of the dice loss by p is, times t and without it.
    fn dice_slopes(&self) -> [f32; 2] {
        let either = self.predicted + self.target + 1.0;
        [-2.0 / either, (2.0 * self.common + 1.0) / (either * either)]
    }
}

/// # Shapes
/// - logits: `[pixels, masks]`
/// - targets: `[pixels]`
fn sums_of(logits: &[f32], targets: &[f32], masks: usize) -> Vec<Sums> {
    /// Pixels that are summed apart, so that small numbers are not added to large ones.
    const CHUNK: usize = 512;
    let mut total = vec![Sums::default(); masks];
    for (logits, targets) in logits.chunks(CHUNK * masks).zip(targets.chunks(CHUNK)) {
        let mut sums = vec![Sums::default(); masks];
        vectorised(
            #[inline(always)]
            || {
                for (logits, &t) in logits.chunks_exact(masks).zip(targets) {
                    for (sums, &x) in sums.iter_mut().zip(logits) {
                        let Pixel { p, entropy } = Pixel::of(x, t);
                        let share = (2.0 * FOCAL_ALPHA - 1.0) * t + (1.0 - FOCAL_ALPHA);
                        sums.focal += share * (p - t) * (p - t) * entropy;
                        sums.common += p * t;
                        sums.predicted += p;
                        sums.target += t;
                    }
                }
            },
        );
        for (total, sums) in total.iter_mut().zip(sums) {
            total.focal += sums.focal;
            total.common += sums.common;
            total.predicted += sums.predicted;
            total.target += sums.target;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::activation;

    use super::*;
    use crate::golden::{input, relative_error};

    /// Of the losses and their gradient. Measured: at most 3.5e-7.
    const TOLERANCE: f64 = 2e-6;

    /// The same with burn's operators.
    fn by_operators(logits: Tensor<3>, truth: Tensor<3>) -> Tensor<2> {
        let [prompts, _, masks] = logits.dims();
        let p = activation::sigmoid(logits.clone());
        let entropy = activation::softplus(logits.clone(), 1.0) - logits * truth.clone();
        let share = truth.clone() * (2.0 * FOCAL_ALPHA - 1.0) + (1.0 - FOCAL_ALPHA);
        let focal = ((p.clone() - truth.clone()).square() * entropy * share).mean_dim(1);
        let common = (p.clone() * truth.clone()).sum_dim(1) * 2.0 + 1.0;
        let dice = -(common / (p.sum_dim(1) + truth.sum_dim(1) + 1.0)) + 1.0;
        (focal * FOCAL_WEIGHT + dice).reshape([prompts, masks])
    }

    #[test]
    fn losses_and_their_gradient_agree_with_burn() {
        let [prompts, pixels, masks] = [3, 700, 4];
        let leaf = || input("logits", [prompts, pixels, masks], 4.0).autodiff().require_grad();
        let targets = activation::sigmoid(input("targets", [prompts, pixels, 1], 5.0));
        let values = |x: Tensor<3>| x.into_data().try_into_vec::<f32>().unwrap();
        let output = || input("output", [prompts, masks], 1.0).autodiff();

        let (ours, burns) = (leaf(), leaf());
        let losses = mask_losses(&ours, values(targets.clone()));
        let expected = by_operators(burns.clone(), targets.autodiff());
        let gradient =
            |leaf: &Tensor<3>, losses: &Tensor<2>| leaf.grad(&(losses.clone() * output()).sum().backward()).unwrap();
        let gradients = [gradient(&ours, &losses), gradient(&burns, &expected)];
        let flat = |x: Tensor<2>| x.without_autodiff().into_data().try_into_vec::<f32>().unwrap();
        let [found, wanted] = gradients;
        let errors =
            [relative_error(losses.without_autodiff(), &flat(expected)), relative_error(found, &values(wanted))];
        assert!(errors.iter().all(|&error| error < TOLERANCE), "{errors:?}");
    }
}
