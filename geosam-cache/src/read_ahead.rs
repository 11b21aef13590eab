//! The first stage: windows of the raster become images, several at a time.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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

/// Reads windows, on as many threads as call [`ReadAhead::run`]. Chips overlap, and what one read decodes or warps, the
/// next one finds in the cache of its handle: another thread has a handle of its own and does that work again.
pub(crate) struct ReadAhead<'a> {
    source: &'a dyn ChipSource,
    sampler: &'a GridGeoSampler,
    range: &'a ValueRange,
    budget: &'a ChipBudget,
    /// The windows that are to be read, numbered from 0 in their order, and how many of them have been taken.
    missing: Vec<usize>,
    taken: Mutex<usize>,
    pub(crate) reading: Stopwatch,
    pub(crate) preparing: Stopwatch,
}

impl<'a> ReadAhead<'a> {
    /// Reads the chips for which `is_missing`.
    pub(crate) fn new(
        source: &'a dyn ChipSource,
        sampler: &'a GridGeoSampler,
        range: &'a ValueRange,
        budget: &'a ChipBudget,
        is_missing: impl Fn(&str) -> bool,
    ) -> Self {
        let missing = (0..sampler.len()).filter(|index| is_missing(&chip_id(*index))).collect();
        let (taken, reading, preparing) = Default::default();
        Self { source, sampler, range, budget, missing, taken, reading, preparing }
    }

    /// Read until all is read, one fails, or nobody wants more.
    #[allow(clippy::needless_pass_by_value)] // dropping its end of a channel is how a stage says that it has stopped
    pub(crate) fn run(&self, to_encoder: Sender<(usize, Read<'a>)>) {
        let _guard = self.budget.close_on_panic();
        while let Some((number, permit)) = self.take() {
            let sent = match self.read(self.missing[number], permit) {
                Ok(read) => to_encoder.send((number, read)),
                Err(error) => return self.budget.fail(error),
            };
            if sent.is_err() {
                return;
            }
        }
    }

    /// The next window's number and its place in the budget. Places are given in the order of the windows: the one that
    /// the encoder waits for has its place, however many others have been read before it.
    fn take(&self) -> Option<(usize, Permit<'a>)> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken == self.missing.len() {
            return None;
        }
        let permit = self.budget.enter()?;
        *taken += 1;
        Some((*taken - 1, permit))
    }

    fn read(&self, index: usize, permit: Permit<'a>) -> Result<Read<'a>> {
        let id = chip_id(index);
        let sample = self.reading.time(|| self.source.read(self.sampler.window(index)))?;
        if !sample.has_data() {
            return Ok(Read::Empty { id });
        }
        let image = self.preparing.time(|| sample.to_model_image(self.range))?;
        Ok(Read::Chip(Chip { id, grid: sample.grid, source_path: sample.source_path, image, permit }))
    }
}

fn chip_id(index: usize) -> String {
    format!("chip_{index:06}")
}

/// What readers send, in the order of the windows.
pub(crate) struct InOrder<'b> {
    from_readers: Receiver<(usize, Read<'b>)>,
    early: BTreeMap<usize, Read<'b>>,
    /// The number of the window whose turn it is.
    next: usize,
}

impl<'b> InOrder<'b> {
    pub(crate) fn new(from_readers: Receiver<(usize, Read<'b>)>) -> Self {
        Self { from_readers, early: BTreeMap::new(), next: 0 }
    }

    /// Wait for the next one, and longer than `timeout` only if others arrive meanwhile.
    pub(crate) fn recv_timeout(&mut self, timeout: Duration) -> Result<Read<'b>, RecvTimeoutError> {
        loop {
            if let Some(read) = self.early.remove(&self.next) {
                self.next += 1;
                return Ok(read);
            }
            let (number, read) = self.from_readers.recv_timeout(timeout)?;
            self.early.insert(number, read);
        }
    }
}
