//! A mask prompt of any shape at the resolution the prompt encoder reads.

use geosam_core::MaskPrompt;

use super::Letterbox;

/// `mask` letterboxed to the network's square by nearest neighbours, zeros in the padding, and brought from there to
/// `side` × `side` by bilinear interpolation without antialiasing, as ultralytics 8.4.190 does. Logits of an earlier
/// prediction, which have the right shape already, come out as they are.
///
/// # Shapes
/// - output: `[side, side]` row-major; `image_size` is four times `side`
pub(crate) fn mask_input(mask: &MaskPrompt, image_size: usize, side: usize) -> Vec<f32> {
    debug_assert_eq!(image_size, 4 * side);
    let content = Letterbox::new(mask.shape, image_size).content();
    let nearest = |at: usize, content: usize, length: usize| {
        let index = (at as f64 * (length as f64 / content as f64)) as usize;
        (at < content).then(|| index.min(length - 1))
    };
    let rows: Vec<_> = (0..image_size).map(|row| nearest(row, content.height, mask.shape.height)).collect();
    let columns: Vec<_> = (0..image_size).map(|column| nearest(column, content.width, mask.shape.width)).collect();
    let logit = |row: Option<usize>, column: Option<usize>| match (row, column) {
        (Some(row), Some(column)) => mask.logits[row * mask.shape.width + column],
        _ => 0.0,
    };
    // The centre of a square of 4 × 4 network pixels lies between the middle four.
    let middle = |at: usize| [4 * at + 1, 4 * at + 2];
    let mean = |index: usize| {
        let (rows, columns) = (middle(index / side).map(|at| rows[at]), middle(index % side).map(|at| columns[at]));
        let pairs = rows.map(|row| columns.map(|column| logit(row, column)).iter().sum::<f32>());
        (pairs[0] + pairs[1]) * 0.25
    };
    (0..side * side).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use geosam_core::Shape;

    use super::*;

    #[test]
    fn low_res_logits_pass_unchanged() {
        let shape = Shape::square(32);
        let logits: Vec<f32> = (0..shape.area()).map(|i| (i as f32 * 0.37).sin() * 9.0).collect();
        assert_eq!(mask_input(&MaskPrompt { shape, logits: logits.clone() }, 128, 32), logits);
    }

    #[test]
    fn other_shapes_are_letterboxed() {
        let mask = MaskPrompt { shape: Shape::new(2, 4), logits: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0] };
        let input = mask_input(&mask, 32, 8);
        assert_eq!(input[..8], [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        assert_eq!(input[3 * 8..4 * 8], [5.0, 5.0, 6.0, 6.0, 7.0, 7.0, 8.0, 8.0]);
        assert!(input[4 * 8..].iter().all(|&v| v == 0.0));
    }
}
