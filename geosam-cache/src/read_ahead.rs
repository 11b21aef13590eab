//! The first stage: windows of the raster become images.

use std::sync::mpsc::Sender;

use geosam_core::{ChipSource, GeoGrid, GridGeoSampler, ModelImage, Result, ValueRange};

use crate::memory::{ChipBudget, Permit};
use crate::stopwatch::Stopwatch;

/// A chip to be encoded.
pub(crate) struct Chip<'b> {
    pub(crate) id: String,
    pub(crate) grid: GeoGrid,
    pub(crate) source_path: String,
    pub(crate) image: ModelImage,
    pub(crate) permit: Permit<'b>,
}

/// What became of a window.
pub(crate) enum Read<'b> {
    Chip(Chip<'b>),
    /// It holds no valid pixel.
    Empty {
        id: String,
    },
}

/// Reads windows in order, on one thread: chips overlap, and what one read decodes or warps, the next one finds in the
/// cache of its handle. A second thread has a handle of its own and does that work again; with a warp it took
/// 1.7 times the processor time and was no faster.
pub(crate) struct ReadAhead<'a> {
    source: &'a dyn ChipSource,
    sampler: &'a GridGeoSampler,
    range: &'a ValueRange,
    budget: &'a ChipBudget,
    pub(crate) reading: Stopwatch,
    pub(crate) preparing: Stopwatch,
}

impl<'a> ReadAhead<'a> {
    pub(crate) fn new(
        source: &'a dyn ChipSource,
        sampler: &'a GridGeoSampler,
        range: &'a ValueRange,
        budget: &'a ChipBudget,
    ) -> Self {
        let (reading, preparing) = Default::default();
        Self { source, sampler, range, budget, reading, preparing }
    }

    /// Read the chips for which `is_missing`, until all are read, one fails, or nobody wants more.
    #[allow(clippy::needless_pass_by_value)] // dropping its end of a channel is how a stage says that it has stopped
    pub(crate) fn run(&self, is_missing: impl Fn(&str) -> bool, to_encoder: Sender<Read<'a>>) {
        let _guard = self.budget.close_on_panic();
        for index in 0..self.sampler.len() {
            let id = format!("chip_{index:06}");
            if !is_missing(&id) {
                continue;
            }
            let Some(permit) = self.budget.enter() else { return };
            let sent = match self.read(index, id, permit) {
                Ok(read) => to_encoder.send(read),
                Err(error) => return self.budget.fail(error),
            };
            if sent.is_err() {
                return;
            }
        }
    }

    fn read(&self, index: usize, id: String, permit: Permit<'a>) -> Result<Read<'a>> {
        let sample = self.reading.time(|| self.source.read(self.sampler.window(index)))?;
        if !sample.has_data() {
            return Ok(Read::Empty { id });
        }
        let image = self.preparing.time(|| sample.to_model_image(self.range))?;
        Ok(Read::Chip(Chip { id, grid: sample.grid, source_path: sample.source_path, image, permit }))
    }
}
