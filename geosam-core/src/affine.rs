//! The affine transform between pixel and world coordinates.

use crate::coordinates::{PixelPoint, WorldPoint};
use crate::error::{Error, Result};

/// `x = a·column + b·row + c`, `y = d·column + e·row + f`: the order of Python's `affine` package, not GDAL's.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Affine {
    /// World x per column.
    pub a: f64,
    /// World x per row (0 unless rotated).
    pub b: f64,
    /// World x of the top-left corner.
    pub c: f64,
    /// World y per column (0 unless rotated).
    pub d: f64,
    /// World y per row (negative for north-up rasters).
    pub e: f64,
    /// World y of the top-left corner.
    pub f: f64,
}

impl Affine {
    /// From coefficients in affine order `[a, b, c, d, e, f]`.
    #[must_use]
    pub const fn new([a, b, c, d, e, f]: [f64; 6]) -> Self {
        Self { a, b, c, d, e, f }
    }

    /// North-up grid: top-left corner at (`left`, `top`), pixels of `x_size` × `y_size` (both positive).
    #[must_use]
    pub const fn from_origin(left: f64, top: f64, x_size: f64, y_size: f64) -> Self {
        Self::new([x_size, 0.0, left, 0.0, -y_size, top])
    }

    /// From GDAL's order `[c, a, b, f, d, e]`.
    #[must_use]
    pub const fn from_gdal([c, a, b, f, d, e]: [f64; 6]) -> Self {
        Self { a, b, c, d, e, f }
    }

    /// In GDAL's order `[c, a, b, f, d, e]`.
    #[must_use]
    pub const fn to_gdal(self) -> [f64; 6] {
        [self.c, self.a, self.b, self.f, self.d, self.e]
    }

    /// In affine order `[a, b, c, d, e, f]`, as manifests store it.
    #[must_use]
    pub const fn to_array(self) -> [f64; 6] {
        [self.a, self.b, self.c, self.d, self.e, self.f]
    }

    /// Pixel → world.
    #[must_use]
    pub fn to_world(self, p: PixelPoint) -> WorldPoint {
        WorldPoint::new(p.column * self.a + p.row * self.b + self.c, p.column * self.d + p.row * self.e + self.f)
    }

    /// World → pixel, by the inverse transform with rasterio's formula; the last digits may differ from rasterio's, whose
    /// matrix product rounds less often on some processors.
    ///
    /// The transform must be invertible; [`Affine::validate`] checks it.
    #[must_use]
    pub fn to_pixel(self, p: WorldPoint) -> PixelPoint {
        let inverse = self.inverse();
        PixelPoint::new(p.x * inverse.a + p.y * inverse.b + inverse.c, p.x * inverse.d + p.y * inverse.e + inverse.f)
    }

    /// The transform of a window whose first pixel is (`column`, `row`).
    #[must_use]
    pub fn shifted(self, column: f64, row: f64) -> Self {
        let origin = self.to_world(PixelPoint::new(column, row));
        // rasterio composes a translation by the difference; so do we, or the last digit differs.
        Self { c: self.c + (origin.x - self.c), f: self.f + (origin.y - self.f), ..self }
    }

    /// The transform of the same extent with pixels `x_factor` × `y_factor` as large.
    #[must_use]
    pub fn scaled(self, x_factor: f64, y_factor: f64) -> Self {
        Self { a: self.a * x_factor, b: self.b * y_factor, d: self.d * x_factor, e: self.e * y_factor, ..self }
    }

    /// Area of one pixel in squared world units.
    #[must_use]
    pub fn pixel_area(self) -> f64 {
        (self.a * self.e - self.b * self.d).abs()
    }

    fn inverse(self) -> Self {
        let scale = 1.0 / (self.a * self.e - self.b * self.d);
        let (a, b, d, e) = (self.e * scale, -self.b * scale, -self.d * scale, self.a * scale);
        Self { a, b, c: -self.c * a - self.f * b, d, e, f: -self.c * d - self.f * e }
    }

    /// # Errors
    /// [`Error::InvalidArgument`] if a coefficient is not finite or the transform is singular.
    pub fn validate(self) -> Result<()> {
        let determinant = self.a * self.e - self.b * self.d;
        if !self.to_array().iter().all(|v| v.is_finite()) || determinant == 0.0 {
            return Err(Error::invalid_argument(
                "transform",
                "six finite coefficients with a non-zero determinant",
                format_args!("{:?}", self.to_array()),
            ));
        }
        Ok(())
    }
}
