//! How raster values become bytes.

use crate::error::{Error, Result};
use crate::model::Preprocess;

/// What the user asked for; resolved against a raster by [`crate::ChipSource::value_range`].
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueRangeChoice {
    /// Bytes as they are; other types from the minimum and maximum of each band over the extent.
    #[default]
    Auto,
    /// The same range for every band.
    Fixed {
        /// Value that becomes 0.
        min: f64,
        /// Value that becomes 255.
        max: f64,
    },
    /// Percentiles over the extent, of each band or of all bands together; bytes are stretched too.
    Percentiles {
        /// Percentile that becomes 0, e.g. 2.
        low: f64,
        /// Percentile that becomes 255, e.g. 98.
        high: f64,
        /// One range for all bands, which keeps their colour balance.
        joint: bool,
    },
    /// Every chip from its own minimum and maximum, as Python geosam 0.1 does; bytes as they are.
    PerChip,
}

impl ValueRangeChoice {
    /// As it is for a model that wants its chips so: with [`Preprocess::Geosam01`] every chip is stretched by itself unless
    /// something else was asked for.
    #[must_use]
    pub fn for_preprocess(self, preprocess: Preprocess) -> Self {
        match (self, preprocess) {
            (Self::Auto, Preprocess::Geosam01) => Self::PerChip,
            (choice, _) => choice,
        }
    }

    /// # Errors
    /// [`Error::InvalidArgument`] unless `min < max`, or `0 ≤ low < high ≤ 100`.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Fixed { min, max } if !(min.is_finite() && max.is_finite() && min < max) => Err(
                Error::invalid_argument("value range", "two numbers, the first smaller", format_args!("{min}, {max}")),
            ),
            Self::Percentiles { low, high, .. } if !(0.0 <= low && low < high && high <= 100.0) => {
                Err(Error::invalid_argument("percentiles", "0 ≤ low < high ≤ 100", format_args!("{low}, {high}")))
            }
            _ => Ok(()),
        }
    }
}

/// The range of values that becomes 0 to 255, settled for a raster and recorded with its features.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueRange {
    /// Bytes as they are; only for `u8` rasters.
    AsIs,
    /// A range for each band, in the order of the bands read.
    PerBand(Vec<BandRange>),
    /// Each chip's own minimum and maximum, band by band; bytes as they are.
    PerChip,
}

/// The values of a band that become 0 and 255.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BandRange {
    /// Becomes 0.
    pub min: f64,
    /// Becomes 255. Equal to `min` where the band is constant; such a band becomes 0 everywhere.
    pub max: f64,
}
