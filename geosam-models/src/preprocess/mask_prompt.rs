//! A mask prompt of any shape at the resolution the prompt encoder reads.

use geosam_core::MaskPrompt;

use super::Letterbox;

/// `mask` letterboxed to the network's square by nearest neighbours, zeros in the padding, and brought from there to
/// `side` × `side` by bilinear interpolation without antialiasing, as ultralytics 8.4.190 does. Logits of an earlier
/// prediction, which have the right shape already, come out as they are, but for rounding.
///
/// # Shapes
/// - output: `[side, side]` row-major; `image_size` is at least twice `side`
pub(crate) fn mask_input(mask: &MaskPrompt, image_size: usize, side: usize) -> Vec<f32> {
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
    // The two network pixels around the centre of an output pixel, and their weights.
    let taps = |at: usize| {
        let centre = (at as f64 + 0.5) * image_size as f64 / side as f64 - 0.5;
        let (first, second) = (centre as usize, centre.fract() as f32);
        [(first, 1.0 - second), (first + 1, second)]
    };
    let mean = |index: usize| {
        let (in_rows, in_columns) = (taps(index / side), taps(index % side));
        let along_row = |row: usize| -> f32 {
            in_columns.iter().map(|&(column, weight)| weight * logit(rows[row], columns[column])).sum()
        };
        in_rows.iter().map(|&(row, weight)| weight * along_row(row)).sum()
    };
    (0..side * side).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use geosam_core::Shape;

    use super::*;

    #[test]
    fn low_res_logits_pass_unchanged() {
        // With patches of 16 pixels and of 14.
        for image_size in [128, 112] {
            let shape = Shape::square(32);
            let logits: Vec<f32> = (0..shape.area()).map(|i| (i as f32 * 0.37).sin() * 9.0).collect();
            let input = mask_input(&MaskPrompt { shape, logits: logits.clone() }, image_size, 32);
            assert!(input.iter().zip(&logits).all(|(a, b)| (a - b).abs() < 1e-5), "{image_size}");
        }
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
