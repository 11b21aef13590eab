//! The one geometry between a chip and the network's square.

use geosam_core::{PixelPoint, Shape};

/// A chip of any shape, scaled by one ratio to touch two sides of a square and put in its top-left corner.
///
/// Prompts and masks use the exact ratio, not the ratio of the rounded shapes, as ultralytics does; feature files of
/// Python geosam depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Letterbox {
    source: Shape,
    size: usize,
}

impl Letterbox {
    /// The letterbox of a chip of shape `source` in a square of `size` pixels.
    pub(crate) fn new(source: Shape, size: usize) -> Self {
        Self { source, size }
    }

    /// Shape of the chip.
    pub(crate) fn source(&self) -> Shape {
        self.source
    }

    /// Side of the square.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Network pixels for one source pixel, on both axes.
    pub(crate) fn ratio(&self) -> f64 {
        let size = self.size as f64;
        (size / self.source.height as f64).min(size / self.source.width as f64)
    }

    /// Shape of the resized chip in the square, each side rounded half to even and at least 1.
    pub(crate) fn content(&self) -> Shape {
        let side = |side: usize| ((side as f64 * self.ratio()).round_ties_even() as usize).max(1);
        Shape::new(side(self.source.height), side(self.source.width))
    }

    /// A position on the chip as a position in the square.
    pub(crate) fn to_network(self, p: PixelPoint) -> PixelPoint {
        PixelPoint::new(p.column * self.ratio(), p.row * self.ratio())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_touches_two_sides_and_rounds_half_to_even() {
        for (source, content) in [
            (Shape::new(480, 640), Shape::new(768, 1024)),
            (Shape::new(333, 500), Shape::new(682, 1024)),
            (Shape::new(1024, 1024), Shape::new(1024, 1024)),
            (Shape::new(5, 2048), Shape::new(2, 1024)),
            (Shape::new(7, 2048), Shape::new(4, 1024)),
            (Shape::new(1, 4096), Shape::new(1, 1024)),
        ] {
            assert_eq!(Letterbox::new(source, 1024).content(), content, "{source}");
        }
    }

    #[test]
    fn one_ratio_for_both_axes() {
        let letterbox = Letterbox::new(Shape::new(333, 500), 1024);
        assert_eq!(letterbox.to_network(PixelPoint::new(500.0, 333.0)), PixelPoint::new(1024.0, 681.984));
    }
}
