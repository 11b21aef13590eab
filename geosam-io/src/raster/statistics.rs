//! Statistics over an extent.

use geosam_core::{
    ChipSource, GeoGrid, Progress, RasterSample, Result, ValueRange, ValueRangeChoice, Window, statistics,
};

use super::dataset::RasterDataset;
use super::validity::Rule;

/// A raster whose samples leave out every pixel in which a band lacks data: its no-data value must not become the minimum
/// of that band.
#[derive(Debug)]
pub(super) struct WithDataInEveryBand<'a>(pub(super) &'a RasterDataset);

impl ChipSource for WithDataInEveryBand<'_> {
    fn grid(&self) -> &GeoGrid {
        self.0.grid()
    }

    fn source_path(&self) -> &str {
        self.0.source_path()
    }

    fn bands(&self) -> &[usize] {
        self.0.bands()
    }

    fn read(&self, window: Window) -> Result<RasterSample> {
        self.0.read_window_with(window, window.shape, Rule::EveryBand)
    }

    fn value_range(&self, choice: ValueRangeChoice, extent: Window, progress: &dyn Progress) -> Result<ValueRange> {
        statistics::value_range(self, choice, extent, progress)
    }
}
