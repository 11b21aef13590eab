//! What SAM is trained to make small: focal and dice loss of the masks, error of the predicted IoU.
//!
//! Source: "Segment Anything" (<https://arxiv.org/abs/2304.02643>), section 3 and
//! appendix A; the weight of the focal loss is another, see [`kernels::mask_losses`].

use burn::tensor::{DType, Tensor, TensorData};

use crate::kernels;
use crate::runtime_panic::read;

/// The masks that are decoded for a prompt: one for unambiguous prompts, then three for ambiguous ones.
const MASKS: usize = 4;

/// The sum over some prompts.
#[derive(Debug)]
pub(crate) struct Loss {
    /// With its history.
    pub(crate) total: Tensor<1>,
    /// The parts, and what came out.
    pub(crate) report: LossSums,
}

/// Sums over prompts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LossSums {
    pub(crate) prompts: usize,
    pub(crate) total: f64,
    /// IoU of the mask for unambiguous prompts.
    pub(crate) single_iou: f64,
    /// Best IoU of the three others.
    pub(crate) best_iou: f64,
    /// Absolute error of the predicted IoU of the first.
    pub(crate) score_error: f64,
    /// Loss of [`Neighbours`](super::neighbours::Neighbours), as often as there are prompts.
    pub(crate) neighbours: f64,
}

impl std::ops::AddAssign for LossSums {
    fn add_assign(&mut self, other: Self) {
        self.prompts += other.prompts;
        self.total += other.total;
        self.single_iou += other.single_iou;
        self.best_iou += other.best_iou;
        self.score_error += other.score_error;
        self.neighbours += other.neighbours;
    }
}

/// The loss of the mask for unambiguous prompts and of the best of the three others.
///
/// # Shapes
/// - logits: `[prompts, pixels, 4]`
/// - scores: `[prompts, 4]`, the predicted IoU
/// - targets: `[prompts, pixels]`, how much of each pixel belongs to the object
pub(crate) fn loss(logits: &Tensor<3>, scores: Tensor<2>, targets: Vec<f32>) -> Loss {
    let [prompts, pixels, _] = logits.dims();
    let device = logits.device();
    let ious = ious(&read(logits.clone().without_autodiff()), &targets, pixels);
    let masks = kernels::mask_losses(logits, targets);

    let weights = best_of_three(&read(masks.clone().without_autodiff()));
    let weights = Tensor::from_data(TensorData::new(weights, [prompts, MASKS]), (&device, DType::F32));
    let actual = Tensor::from_data(TensorData::new(ious.clone(), [prompts, MASKS]), (&device, DType::F32));
    let predicted = read(scores.clone().without_autodiff());
    let total = (masks * weights).sum() + (scores - actual).square().sum();
    let each = || ious.chunks_exact(MASKS);
    let report = LossSums {
        prompts,
        total: f64::from(read(total.clone().without_autodiff())[0]),
        single_iou: each().map(|ious| f64::from(ious[0])).sum(),
        best_iou: each().map(|ious| f64::from(ious[1..].iter().copied().fold(0.0, f32::max))).sum(),
        score_error: each().zip(predicted.chunks_exact(MASKS)).map(|(a, b)| f64::from((a[0] - b[0]).abs())).sum(),
        neighbours: 0.0,
    };
    Loss { total, report }
}

/// One for the first mask and for the best of the three others.
fn best_of_three(losses: &[f32]) -> Vec<f32> {
    let weights = losses.chunks_exact(MASKS).flat_map(|losses| {
        let best = (2..MASKS).fold(1, |best, mask| if losses[mask] < losses[best] { mask } else { best });
        (0..MASKS).map(move |mask| if mask == 0 || mask == best { 1.0 } else { 0.0 })
    });
    weights.collect()
}

/// IoU of each mask with the pixels of which half belongs to the object.
///
/// # Shapes
/// - logits: `[prompts, pixels, 4]`
/// - targets: `[prompts, pixels]`
/// - output: `[prompts, 4]`
fn ious(logits: &[f32], targets: &[f32], pixels: usize) -> Vec<f32> {
    let prompts = logits.chunks_exact(pixels * MASKS).zip(targets.chunks_exact(pixels));
    let ious = prompts.flat_map(|(logits, targets)| {
        let (mut common, mut either) = ([0u32; MASKS], [0u32; MASKS]);
        for (logits, &target) in logits.chunks_exact(MASKS).zip(targets) {
            let inside = target >= 0.5;
            for mask in 0..MASKS {
                let predicted = logits[mask] > 0.0;
                common[mask] += u32::from(predicted && inside);
                either[mask] += u32::from(predicted || inside);
            }
        }
        (0..MASKS).map(move |mask| if either[mask] == 0 { 1.0 } else { common[mask] as f32 / either[mask] as f32 })
    });
    ious.collect()
}
