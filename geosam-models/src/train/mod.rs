//! Training: a model from nothing, or the mask decoder of a trained one on somebody's own labels.
//!
//! [`Trainer`] makes steps on images with masks, as SAM was trained (<https://arxiv.org/abs/2304.02643>, appendix A): clicks,
//! boxes, and further clicks where the answer is wrong. [`evaluate`] says what a model has learned.

mod clicks;
mod evaluate;
mod first_weights;
mod lesson;
mod loss;
mod parameters;
mod random;
mod trainer;

pub use evaluate::{ObjectIou, evaluate};
pub use trainer::{Example, StepReport, TrainConfig, Trainer};

#[cfg(test)]
mod tests;
