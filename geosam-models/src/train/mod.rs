//! Training: a model from nothing, or the mask decoder of a trained one on somebody's own labels.
//!
//! [`Trainer`] makes a model from random weights, [`FineTune`] changes the mask decoder of a trained one. Both learn from images
//! with masks as SAM did (<https://arxiv.org/abs/2304.02643>, appendix A): from clicks, boxes, and further clicks where the
//! answer is wrong. [`evaluate`] says what a model knows.

mod clicks;
mod evaluate;
mod fine_tune;
mod first_weights;
mod lesson;
mod loss;
mod neighbours;
mod parameters;
mod random;
mod step;
mod trainer;
mod view;

pub use evaluate::{ObjectIou, evaluate};
pub use fine_tune::{FineTune, FineTuneConfig};
pub use step::StepReport;
pub use trainer::{Example, TrainConfig, Trainer};

#[cfg(test)]
mod tests;
