//! Where chips lie on a raster.

use crate::bbox::BoundingBox;
use crate::coordinates::{Shape, Window};
use crate::error::{Error, Result};
use crate::grid::GeoGrid;

/// How far apart chips lie. Whatever it is, they cover the extent and none leaves it: the last row and column are moved
/// inwards to end at its edge, and an extent smaller than a chip is taken whole.
///
/// # Examples
/// ```
/// use geosam_core::{GridGeoSampler, Shape, Tiling, Window};
///
/// let (raster, chip) = (Window::whole(Shape::new(1500, 2500)), Shape::square(1024));
/// let chips = |tiling| GridGeoSampler::with_tiling(raster, chip, tiling);
///
/// // A chip every 512 pixels: 2 rows of 4.
/// assert_eq!(chips(Tiling::HalfOverlap)?.len(), 8);
///
/// // Side by side: 2 rows of 3, of which the last row and column are moved inwards.
/// let chips = chips(Tiling::NonOverlapping)?;
/// let starts: Vec<_> = chips.windows().map(|window| (window.row, window.column)).collect();
/// assert_eq!(starts, [(0, 0), (0, 1024), (0, 1476), (476, 0), (476, 1024), (476, 1476)]);
/// assert!(chips.windows().all(|window| window.shape == chip));
/// # Ok::<(), geosam_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tiling {
    /// A chip every half chip, the default: every object smaller than half a chip lies whole in some chip.
    #[default]
    HalfOverlap,
    /// A chip every so many pixels, at most a chip.
    Stride(Shape),
    /// Chips side by side, as Geo-SAM2 lays them: as few as cover the extent, about a quarter of [`Tiling::HalfOverlap`]'s,
    /// but an object on a seam lies whole in none of them. Only where the last row and column had to be moved inwards do
    /// they overlap their neighbours.
    NonOverlapping,
}

impl Tiling {
    /// Distance from one chip of `chip` pixels to the next.
    #[must_use]
    pub const fn stride(self, chip: Shape) -> Shape {
        match self {
            Self::HalfOverlap => Shape::new(chip.height.div_ceil(2), chip.width.div_ceil(2)),
            Self::Stride(stride) => stride,
            Self::NonOverlapping => chip,
        }
    }
}

/// Chips of one size in row-major order; the last row and column are moved inwards to end at the raster's edge, and a
/// raster smaller than a chip is one chip. [`Tiling`] says how far apart they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridGeoSampler {
    extent: Window,
    chip: Shape,
    stride: Shape,
}

impl GridGeoSampler {
    /// More chips than this are refused: it is nearly always a wrong resolution or CRS.
    pub const MAX_CHIPS: u64 = 1_000_000;

    /// Chips of `chip` pixels every `stride` pixels over `extent` of a raster.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty chip, stride or extent or a stride larger than the chip (it would leave
    /// gaps), [`Error::TooLarge`] for more than [`GridGeoSampler::MAX_CHIPS`] chips.
    pub fn new(extent: Window, chip: Shape, stride: Shape) -> Result<Self> {
        extent.validate()?;
        if chip.area() == 0 {
            return Err(Error::invalid_argument("chip size", "at least one pixel", chip));
        }
        if stride.area() == 0 || stride.height > chip.height || stride.width > chip.width {
            return Err(Error::invalid_argument("stride", format!("1 to the chip size, {chip}"), stride));
        }
        let sampler = Self { extent, chip, stride };
        let (rows, columns) = sampler.starts_per_axis();
        let count = (rows as u64).saturating_mul(columns as u64);
        if count > Self::MAX_CHIPS {
            return Err(Error::TooLarge {
                what: format!("a grid of {} pixels in chips of {chip} every {stride} pixels", extent.shape),
                found: format!("{count} chips"),
                limit: format!("{} chips", Self::MAX_CHIPS),
                remedy: "choose a smaller extent, a coarser resolution or a larger stride",
            });
        }
        Ok(sampler)
    }

    /// Chips of `chip` pixels over `extent` of a raster, as far apart as `tiling` says.
    ///
    /// # Errors
    /// As [`GridGeoSampler::new`].
    pub fn with_tiling(extent: Window, chip: Shape, tiling: Tiling) -> Result<Self> {
        Self::new(extent, chip, tiling.stride(chip))
    }

    /// Chips that overlap by `overlap` pixels.
    ///
    /// # Errors
    /// As [`GridGeoSampler::new`]; [`Error::InvalidArgument`] for an overlap as large as the chip.
    pub fn with_overlap(extent: Window, chip: Shape, overlap: Shape) -> Result<Self> {
        if overlap.height >= chip.height || overlap.width >= chip.width {
            return Err(Error::invalid_argument("overlap", format!("less than the chip size, {chip}"), overlap));
        }
        Self::new(extent, chip, Shape::new(chip.height - overlap.height, chip.width - overlap.width))
    }

    /// Number of chips.
    #[must_use]
    pub fn len(&self) -> usize {
        let (rows, columns) = self.starts_per_axis();
        rows * columns
    }

    /// Always `false`: an extent has at least one chip.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Window `index`, row-major, in pixels of the raster.
    ///
    /// # Panics
    /// If there is no such window.
    #[must_use]
    pub fn window(&self, index: usize) -> Window {
        let (_, columns) = self.starts_per_axis();
        assert!(index < self.len(), "chip {index} of {}", self.len());
        let start = |i: usize, chip: usize, stride: usize, size: usize| (i * stride).min(size.saturating_sub(chip));
        let shape = self.extent.shape;
        Window::new(
            self.extent.column + start(index % columns, self.chip.width, self.stride.width, shape.width) as i64,
            self.extent.row + start(index / columns, self.chip.height, self.stride.height, shape.height) as i64,
            Shape::new(self.chip.height.min(shape.height), self.chip.width.min(shape.width)),
        )
    }

    /// All windows, row-major.
    pub fn windows(&self) -> impl ExactSizeIterator<Item = Window> + '_ {
        (0..self.len()).map(|index| self.window(index))
    }

    fn starts_per_axis(&self) -> (usize, usize) {
        let count = |size: usize, chip: usize, stride: usize| size.saturating_sub(chip).div_ceil(stride) + 1;
        (
            count(self.extent.shape.height, self.chip.height, self.stride.height),
            count(self.extent.shape.width, self.chip.width, self.stride.width),
        )
    }
}

/// The map rectangles of every chip, to preview coverage before encoding.
///
/// # Errors
/// [`Error::OutOfBounds`] if a window leaves the grid.
pub fn chip_extent_rectangles(grid: &GeoGrid, sampler: &GridGeoSampler) -> Result<Vec<BoundingBox>> {
    sampler.windows().map(|window| Ok(grid.window(window)?.bounds())).collect()
}
