//! Chips mirrored and turned: seen from above, nothing has an upper side.

use geosam_core::{Masks, ModelImage, Result, Shape};

/// One of the eight ways to lay a chip down without resampling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Rows become columns, before anything is reversed.
    is_transposed: bool,
    are_rows_reversed: bool,
    are_columns_reversed: bool,
}

impl View {
    /// All of them: the chip as it is, turned by 180, 90 and 270 degrees, and the mirror images.
    pub(super) const ALL: [Self; 8] = [
        Self::new(false, false, false),
        Self::new(false, true, true),
        Self::new(true, false, true),
        Self::new(true, true, false),
        Self::new(false, false, true),
        Self::new(false, true, false),
        Self::new(true, false, false),
        Self::new(true, true, true),
    ];

    const fn new(is_transposed: bool, are_rows_reversed: bool, are_columns_reversed: bool) -> Self {
        Self { is_transposed, are_rows_reversed, are_columns_reversed }
    }

    pub(super) fn of_image(self, image: &ModelImage) -> Result<ModelImage> {
        let (pixels, _) = image.rgb().as_chunks::<3>();
        ModelImage::new(self.shape(image.shape()), self.of(image.shape(), pixels).into_flattened())
    }

    pub(super) fn of_masks(self, masks: &Masks) -> Result<Masks> {
        let seen = masks.iter().flat_map(|mask| self.of(masks.shape(), mask)).collect();
        Masks::new(self.shape(masks.shape()), seen)
    }

    /// What shape a chip of `shape` has then.
    fn shape(self, shape: Shape) -> Shape {
        if self.is_transposed { Shape::new(shape.width, shape.height) } else { shape }
    }

    /// The values of a chip of `shape`, by rows.
    fn of<T: Copy>(self, shape: Shape, values: &[T]) -> Vec<T> {
        let seen = self.shape(shape);
        let at = |row: usize, column: usize| {
            let row = if self.are_rows_reversed { seen.height - 1 - row } else { row };
            let column = if self.are_columns_reversed { seen.width - 1 - column } else { column };
            let (row, column) = if self.is_transposed { (column, row) } else { (row, column) };
            values[row * shape.width + column]
        };
        let rows = 0..seen.height;
        rows.flat_map(|row| (0..seen.width).map(move |column| (row, column))).map(|(r, c)| at(r, c)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn eight_views_all_different_and_the_mask_stays_on_its_object() {
        let shape = Shape::new(2, 3);
        let image = ModelImage::new(shape, (0..6).flat_map(|pixel| [pixel, 10 + pixel, 20 + pixel]).collect()).unwrap();
        let mask = |pixels: [usize; 2]| (0..6).map(move |pixel| pixels.contains(&pixel));
        let masks = Masks::new(shape, mask([0, 5]).chain(mask([1, 1])).collect()).unwrap();
        let mut found = Vec::new();
        for view in View::ALL {
            let (seen, marks) = (view.of_image(&image).unwrap(), view.of_masks(&masks).unwrap());
            assert_eq!((seen.shape(), marks.len()), (marks.shape(), 2));
            let marked = |mask: &[bool]| {
                let pixels = seen.rgb().chunks(3).zip(mask).filter(|(_, on)| **on).map(|(rgb, _)| rgb.to_vec());
                let mut pixels: Vec<_> = pixels.collect();
                pixels.sort();
                pixels
            };
            let marked: Vec<_> = marks.iter().map(marked).collect();
            assert_eq!(marked, [vec![vec![0, 10, 20], vec![5, 15, 25]], vec![vec![1, 11, 21]]]);
            assert!(!found.contains(&seen.rgb().to_vec()), "{view:?}");
            found.push(seen.rgb().to_vec());
        }
        assert_eq!(View::ALL[0].of_image(&image).unwrap(), image);
        // A quarter turn: the first row becomes the last column.
        assert_eq!(View::ALL[2].of_image(&image).unwrap().rgb()[..6], [3, 13, 23, 0, 10, 20]);
    }
}
