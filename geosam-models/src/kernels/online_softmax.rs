//! The softmax of a query whose keys come in blocks: <https://arxiv.org/abs/1805.02867>.

use super::simd::{exp_and_sum, max};

/// The softmax of one query over the keys so far. What was attended to is kept beside it, not yet divided by [`sum`].
///
/// [`sum`]: OnlineSoftmax::sum
#[derive(Clone, Copy)]
pub(super) struct OnlineSoftmax {
    max: f32,
    sum: f32,
}

impl Default for OnlineSoftmax {
    fn default() -> Self {
        Self { max: f32::NEG_INFINITY, sum: 0.0 }
    }
}

impl OnlineSoftmax {
    /// Makes weights of the logits of another block of keys, relative to the largest logit so far, and brings what was
    /// attended to before to the same measure.
    #[inline(always)]
    pub(super) fn take_in(&mut self, logits: &mut [f32], attended: &mut [f32]) {
        let largest = max(logits).max(self.max);
        let shrink = (self.max - largest).exp();
        self.sum = self.sum * shrink + exp_and_sum(logits, largest);
        self.max = largest;
        attended.iter_mut().for_each(|value| *value *= shrink);
    }

    /// Of all weights.
    pub(super) fn sum(&self) -> f32 {
        self.sum
    }
}
