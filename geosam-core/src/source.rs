//! The seam to where pixels come from.

use crate::coordinates::Window;
use crate::error::Result;
use crate::grid::GeoGrid;
use crate::progress::Progress;
use crate::sample::RasterSample;
use crate::value_range::{ValueRange, ValueRangeChoice};

/// A raster that is read window by window.
///
/// # Contract
/// - `read` returns a sample whose shape is the window's and whose transform is the grid's, shifted; a window that
///   reaches past the raster is filled there and marked invalid, one that misses it is [`crate::Error::OutOfBounds`].
/// - Reading twice gives the same values.
/// - The number of bands and the element type are the same for every window.
/// - Safe to call from several threads at once.
pub trait ChipSource: Send + Sync + std::fmt::Debug {
    /// The whole raster's grid, after warping if it is warped.
    fn grid(&self) -> &GeoGrid;

    /// Path or connection string.
    fn source_path(&self) -> &str;

    /// The bands read, 1-based numbers in the source, in the order they come out.
    fn bands(&self) -> &[usize];

    /// The kernel that pixels are made with where they are not those of the raster, e.g. `bilinear` where it is warped: with
    /// another one chips are other chips.
    fn resampling(&self) -> Option<&str> {
        None
    }

    /// Read a window.
    ///
    /// # Errors
    /// [`crate::Error::OutOfBounds`], [`crate::Error::Dataset`]
    fn read(&self, window: Window) -> Result<RasterSample>;

    /// Settle which values become 0 and 255, from the pixels of `extent` that hold data where statistics are needed. That
    /// may take minutes: `progress` is told of it, and asked whether to go on.
    ///
    /// # Errors
    /// As [`ChipSource::read`]; [`crate::Error::InvalidArgument`] for an unusable choice, [`crate::Error::Cancelled`] when
    /// `progress` says so.
    fn value_range(&self, choice: ValueRangeChoice, extent: Window, progress: &dyn Progress) -> Result<ValueRange>;
}
