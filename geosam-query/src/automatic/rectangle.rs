//! Rectangles of whole pixels, for the arithmetic of boxes.

use geosam_core::{Shape, Window};

/// Columns `left..right` and rows `top..bottom` of the raster; empty ones do not occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rectangle {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) right: i32,
    pub(super) bottom: i32,
}

impl Rectangle {
    /// GDAL's rasters have no more columns and rows than an `i32` counts.
    pub(super) fn of(window: Window) -> Self {
        Self {
            left: window.column as i32,
            top: window.row as i32,
            right: window.column_end() as i32,
            bottom: window.row_end() as i32,
        }
    }

    pub(super) fn window(&self) -> Window {
        Window::new(self.left.into(), self.top.into(), self.shape())
    }

    pub(super) fn shape(&self) -> Shape {
        Shape::new((self.bottom - self.top) as usize, (self.right - self.left) as usize)
    }

    pub(super) fn area(&self) -> u64 {
        self.shape().area() as u64
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    pub(super) fn intersection(&self, other: &Self) -> Option<Self> {
        let (left, top) = (self.left.max(other.left), self.top.max(other.top));
        let (right, bottom) = (self.right.min(other.right), self.bottom.min(other.bottom));
        (left < right && top < bottom).then_some(Self { left, top, right, bottom })
    }

    /// Whether they share a pixel or lie side by side.
    pub(super) fn touches(&self, other: &Self) -> bool {
        self.left <= other.right && other.left <= self.right && self.top <= other.bottom && other.top <= self.bottom
    }

    /// Intersection over union.
    pub(super) fn iou(&self, other: &Self) -> f64 {
        let shared = self.intersection(other).map_or(0, |shared| shared.area());
        shared as f64 / (self.area() + other.area() - shared) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlap_of_boxes() {
        let a = Rectangle { left: 0, top: 0, right: 4, bottom: 2 };
        let b = Rectangle { left: 2, top: 0, right: 6, bottom: 2 };
        assert_eq!(a.iou(&b), 4.0 / 12.0);
        assert_eq!(a.iou(&a), 1.0);
        let beside = Rectangle { left: 4, top: 0, right: 5, bottom: 1 };
        assert_eq!((a.intersection(&beside), a.touches(&beside)), (None, true));
        assert_eq!(a.union(&beside), Rectangle { right: 5, ..a });
        assert_eq!(Rectangle::of(b.window()), b);
    }
}
