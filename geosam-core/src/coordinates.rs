//! Pixel and world coordinates, shapes and windows.
//!
//! World coordinates are x before y in the CRS they come with. Pixel coordinates are column before row, continuous,
//! with (0, 0) at the top-left **corner** of the top-left pixel, so its centre is (0.5, 0.5).

use crate::error::{Error, Result};

/// Height and width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// A shape of `height` rows and `width` columns.
    #[must_use]
    pub const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    /// A square of `side` pixels.
    #[must_use]
    pub const fn square(side: usize) -> Self {
        Self::new(side, side)
    }

    /// Number of pixels; the largest `usize` if there are more.
    #[must_use]
    pub const fn area(self) -> usize {
        self.height.saturating_mul(self.width)
    }
}

impl std::fmt::Display for Shape {
    /// `height×width`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}", self.height, self.width)
    }
}

/// A position on the map, in the units of some CRS.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct WorldPoint {
    /// Easting or longitude.
    pub x: f64,
    /// Northing or latitude.
    pub y: f64,
}

impl WorldPoint {
    /// The point (`x`, `y`).
    #[must_use]
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }
}

/// A continuous position on a pixel grid, (0, 0) at the top-left corner of the top-left pixel.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PixelPoint {
    /// Distance from the left edge, in pixels.
    pub column: f64,
    /// Distance from the top edge, in pixels.
    pub row: f64,
}

impl PixelPoint {
    /// The point at `column`, `row`.
    #[must_use]
    pub const fn new(column: f64, row: f64) -> Self {
        Self { column, row }
    }
}

/// An axis-aligned box on a pixel grid, edges in continuous pixel coordinates.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PixelBox {
    /// Left edge (column).
    pub left: f64,
    /// Top edge (row).
    pub top: f64,
    /// Right edge (column).
    pub right: f64,
    /// Bottom edge (row).
    pub bottom: f64,
}

/// A rectangle of whole pixels of a raster; its offset may be negative and it may reach past the raster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// First column.
    pub column: i64,
    /// First row.
    pub row: i64,
    /// Size in pixels, both sides at least 1.
    pub shape: Shape,
}

impl Window {
    /// The window of `shape` whose first pixel is (`column`, `row`).
    #[must_use]
    pub const fn new(column: i64, row: i64, shape: Shape) -> Self {
        Self { column, row, shape }
    }

    /// The window that covers a raster of `shape`.
    #[must_use]
    pub const fn whole(shape: Shape) -> Self {
        Self::new(0, 0, shape)
    }

    /// First column past the window.
    #[must_use]
    pub const fn column_end(&self) -> i64 {
        self.column.saturating_add_unsigned(self.shape.width as u64)
    }

    /// First row past the window.
    #[must_use]
    pub const fn row_end(&self) -> i64 {
        self.row.saturating_add_unsigned(self.shape.height as u64)
    }

    /// The part of the window that lies on a raster of `shape`, or `None` if there is none.
    #[must_use]
    pub fn clip(&self, shape: Shape) -> Option<Self> {
        let column = self.column.max(0);
        let row = self.row.max(0);
        let width = self.column_end().min(shape.width as i64) - column;
        let height = self.row_end().min(shape.height as i64) - row;
        (width > 0 && height > 0).then(|| Self::new(column, row, Shape::new(height as usize, width as usize)))
    }

    /// # Errors
    /// [`Error::InvalidArgument`] if a side is zero.
    pub fn validate(&self) -> Result<()> {
        if self.shape.area() == 0 {
            return Err(Error::invalid_argument("window", "at least one pixel on each side", self));
        }
        Ok(())
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pixels at column {}, row {}", self.shape, self.column, self.row)
    }
}
