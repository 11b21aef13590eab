//! What a segmenter sees: three bytes a pixel.

use crate::coordinates::Shape;
use crate::error::{Error, Result};

/// A chip as 8-bit RGB, `[height, width, 3]` row-major.
#[derive(Clone, PartialEq)]
pub struct ModelImage {
    shape: Shape,
    rgb: Vec<u8>,
}

impl ModelImage {
    /// An image of `shape` from interleaved RGB bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the shape is empty or the number of bytes is not three times its area.
    pub fn new(shape: Shape, rgb: Vec<u8>) -> Result<Self> {
        if shape.area() == 0 || rgb.len() != shape.area().saturating_mul(3) {
            return Err(Error::invalid_argument(
                "image",
                format!("three bytes for each of {shape} pixels, at least one of them"),
                rgb.len(),
            ));
        }
        Ok(Self { shape, rgb })
    }

    /// Rows and columns.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Interleaved RGB bytes.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

impl std::fmt::Debug for ModelImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelImage({})", self.shape)
    }
}
