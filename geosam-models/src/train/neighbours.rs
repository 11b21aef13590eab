//! What an image encoder learns beside the answers to prompts: which places belong to the same object.
//!
//! A few prompts say little about an image; this says something about every place in it, so that an encoder that knows nothing
//! learns edges and textures in a fraction of the steps. Source of the idea: the affinities of "The Mutex Watershed and its
//! Objective" (<https://arxiv.org/abs/1904.12654>). The layers are left out of the trained model.

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{DType, Tensor, TensorData};
use geosam_core::Shape;

use crate::image_features::ImageFeatures;
use crate::nn::Linear;
use crate::preprocess::Letterbox;
use crate::weights::Weights;

/// Below this are the tensors in the state of a training.
pub(super) const PREFIX: &str = "neighbours";

/// Rows and columns from a place to its neighbours, in quarters of a cell of the embedding's grid.
const DIRECTIONS: [[isize; 2]; 4] = [[0, 1], [1, 0], [1, 1], [1, -1]];
/// How many times as far.
const DISTANCES: [isize; 3] = [1, 3, 8];
const PAIRS: usize = DIRECTIONS.len() * DISTANCES.len();

/// Linear layers from features to a logit for each pair of neighbours.
#[derive(Debug)]
pub(super) struct Neighbours {
    embedding: Linear,
    /// Of features four times and twice as fine; SAM 1 has none.
    high_res: Option<[Linear; 2]>,
}

impl Neighbours {
    /// For features of `width` channels.
    pub(super) fn load(weights: &Weights<'_>, width: usize, has_high_res: bool) -> Self {
        let weights = weights.scope(PREFIX);
        let layer = |name, inputs, split: usize| Linear::load(&weights.scope(name), inputs, split.pow(2) * PAIRS);
        let high_res = || [layer("high_res.0", width / 8, 1), layer("high_res.1", width / 4, 2)];
        Self { embedding: layer("embedding", width, 4), high_res: has_high_res.then(high_res) }
    }

    /// The mean cross-entropy of an image, where pairs of the same object and others count alike.
    ///
    /// `objects` are masks of `shape` with their numbers of pixels. Where they overlap the smallest is what is seen.
    pub(super) fn loss(
        &self,
        features: &ImageFeatures,
        objects: &[(&[bool], usize)],
        letterbox: Letterbox,
    ) -> Tensor<1> {
        let logits = self.logits(features);
        let [side, _, _] = logits.dims();
        let (signs, weights) = targets(&seen(objects, letterbox, side), side);
        let tensor = |values| {
            let data = TensorData::new(values, [side, side, PAIRS]);
            Tensor::<3>::from_data(data, (&logits.device(), DType::F32))
        };
        let (signs, weights) = (tensor(signs), tensor(weights));
        -(log_sigmoid(logits * signs) * weights).sum()
    }

    /// # Shapes
    /// - output: `[4·grid, 4·grid, PAIRS]`
    fn logits(&self, features: &ImageFeatures) -> Tensor<3> {
        let logits = spread(&features.embedding, &self.embedding, 4);
        match (&self.high_res, &features.high_res) {
            (Some([fine, coarse]), Some([quarters, halves])) => {
                logits + spread(quarters, fine, 1) + spread(halves, coarse, 2)
            }
            _ => logits,
        }
    }
}

/// A linear layer at every place, whose outputs are those of `split`² finer places.
///
/// # Shapes
/// - map: `[1, inputs, side, side]`
/// - output: `[split·side, split·side, outputs / split²]`
fn spread(map: &Tensor<4>, layer: &Linear, split: usize) -> Tensor<3> {
    let [_, inputs, rows, columns] = map.dims();
    let places = map.clone().reshape([1, inputs, rows * columns]).swap_dims(1, 2);
    let outputs = layer.forward(places).reshape([rows, columns, split, split, PAIRS]);
    outputs.permute([0, 2, 1, 3, 4]).reshape([split * rows, split * columns, PAIRS])
}

/// The smallest object at each place of a grid over the model's input, by its place in `objects`.
fn seen(objects: &[(&[bool], usize)], letterbox: Letterbox, side: usize) -> Vec<Option<usize>> {
    let Shape { height, width } = letterbox.source();
    let step = letterbox.size() as f64 / side as f64 / letterbox.ratio();
    let pixel = |place: usize| ((place as f64 + 0.5) * step) as usize;
    let smallest = |row: usize, column: usize| {
        let here = objects.iter().enumerate().filter(|(_, (mask, _))| mask[row * width + column]);
        here.min_by_key(|(_, (_, area))| *area).map(|(index, _)| index)
    };
    let places = (0..side * side).map(|place| [pixel(place / side), pixel(place % side)]);
    places.map(|[row, column]| if row < height && column < width { smallest(row, column) } else { None }).collect()
}

/// For each place and pair: 1 for the same object and -1 for another, and how much it counts. Where no object is seen in both
/// places it is not known.
fn targets(seen: &[Option<usize>], side: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut signs, mut weights) = (vec![0.0; seen.len() * PAIRS], vec![0.0; seen.len() * PAIRS]);
    let offsets = DISTANCES.iter().flat_map(|far| DIRECTIONS.map(|direction| direction.map(|along| far * along)));
    for (pair, [down, right]) in offsets.enumerate() {
        let neighbour = |place: usize| {
            let row = (place / side).checked_add_signed(down).filter(|row| *row < side)?;
            let column = (place % side).checked_add_signed(right).filter(|column| *column < side)?;
            Some(seen[row * side + column])
        };
        let known = |place: usize| {
            let other = neighbour(place)?;
            (other.is_some() || seen[place].is_some()).then_some(other == seen[place])
        };
        let is_same: Vec<_> = (0..seen.len()).map(known).collect();
        let count = |same| is_same.iter().filter(|&&known| known == Some(same)).count().max(1) as f32;
        let [different, same] = [false, true].map(|same| 0.5 / PAIRS as f32 / count(same));
        for (place, is_same) in is_same.into_iter().enumerate() {
            let Some(is_same) = is_same else { continue };
            signs[place * PAIRS + pair] = if is_same { 1.0 } else { -1.0 };
            weights[place * PAIRS + pair] = if is_same { same } else { different };
        }
    }
    (signs, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_object_is_seen_and_nothing_beyond_the_image() {
        // Two rows of four pixels, all of them in one object, the left half also in another; the input is four by four.
        let (field, pond) = ([true; 8], [true, true, false, false, true, true, false, false]);
        let letterbox = Letterbox::new(Shape::new(2, 4), 4);
        let objects: [(&[bool], usize); 2] = [(&field, 8), (&pond, 4)];
        let row = [Some(1), Some(1), Some(0), Some(0)];
        assert_eq!(seen(&objects, letterbox, 4), [row, row, [None; 4], [None; 4]].concat());
        assert_eq!(seen(&objects, letterbox, 2), [Some(1), Some(0), None, None]);
    }

    #[test]
    fn neighbours_across_an_edge_are_different_and_count_as_much_as_the_others() {
        // The left half is an object, the right one unknown.
        let side = 4;
        let seen: Vec<_> = (0..side * side).map(|place| (place % side < 2).then_some(0)).collect();
        let (signs, weights) = targets(&seen, side);
        let right = |row: usize| (0..side).map(move |column| (row * side + column) * PAIRS);
        for row in 0..side {
            assert_eq!(right(row).map(|at| signs[at]).collect::<Vec<_>>(), [1.0, -1.0, 0.0, 0.0]);
        }
        for pair in 0..PAIRS {
            let sum = |wanted: f32| -> f32 {
                let of_pair = (pair..signs.len()).step_by(PAIRS);
                of_pair.filter(|&at| signs[at] == wanted).map(|at| weights[at]).sum()
            };
            // Places eight times as far away are beyond the image.
            for (sign, sum) in [(1.0, sum(1.0)), (-1.0, sum(-1.0))] {
                let exists = (0..seen.len()).any(|place| signs[place * PAIRS + pair] == sign);
                let expected = if exists { 0.5 / PAIRS as f32 } else { 0.0 };
                assert!((sum - expected).abs() < 1e-6, "pair {pair}, {sign}: {sum}");
            }
            assert_eq!(sum(0.0), 0.0);
        }
    }
}
