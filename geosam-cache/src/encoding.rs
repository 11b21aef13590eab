//! The stage in the middle: images become features, in batches, on one thread or several.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use geosam_core::{ChipRecord, EncodedImageFeatures, Error, ModelImage, Progress, Result, Segmenter};

use crate::memory::{ChipBudget, image_bytes};
use crate::read_ahead::{Chip, InOrder, Read};
use crate::stopwatch::BusyTime;
use crate::write_behind::Encoded;

/// How often a caller that waits for a slow read is asked whether to go on.
const CANCEL_INTERVAL: Duration = Duration::from_millis(100);

/// What the caller is told.
pub(crate) enum Event {
    /// A chip was handed to the writers.
    Encoded(String),
    /// A chip holds no valid pixel.
    Skipped(String),
    /// Batches are smaller from now on.
    Halved(String),
}

/// Why an encoder stopped, other than by an error.
#[derive(PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    Cancelled,
    /// Another stage failed.
    Stopped,
}

/// Encodes chips, on as many threads as call [`Encoding::run`]. They take batches in turn, in the order of the windows.
pub(crate) struct Encoding<'a> {
    segmenter: &'a dyn Segmenter,
    budget: &'a ChipBudget,
    /// Asked whether to go on, and told nothing: that is the calling thread's.
    progress: &'a dyn Progress,
    from_readers: Mutex<InOrder<'a>>,
    /// What it was at first, or what was left of it when the device's memory ran out.
    batch_size: AtomicUsize,
    pub(crate) encoding: BusyTime,
}

impl<'a> Encoding<'a> {
    pub(crate) fn new(
        segmenter: &'a dyn Segmenter,
        budget: &'a ChipBudget,
        progress: &'a dyn Progress,
        from_readers: InOrder<'a>,
        batch_size: usize,
    ) -> Self {
        let (from_readers, batch_size) = (Mutex::new(from_readers), AtomicUsize::new(batch_size));
        Self { segmenter, budget, progress, from_readers, batch_size, encoding: BusyTime::default() }
    }

    /// Encode what is read and hand it to the writers.
    #[allow(clippy::needless_pass_by_value)] // dropping its end of a channel is how a stage says that it has stopped
    pub(crate) fn run(&self, to_writers: Sender<Encoded<'a>>, mut report: impl FnMut(Event)) -> Result<End> {
        loop {
            let batch = match self.next_batch(&mut report) {
                Batch::Chips(batch) => batch,
                Batch::End(end) => return Ok(end),
            };
            let mut images = Vec::with_capacity(batch.len());
            let mut places = Vec::with_capacity(batch.len());
            for Chip { id, grid, source_path, image, permit } in batch {
                images.push(image);
                places.push((id, grid, source_path, permit));
            }
            let encoded = self.features_of(&images, &mut report)?;
            drop(images);
            for ((chip_id, grid, source_path, permit), features) in places.into_iter().zip(encoded) {
                self.budget.chip_took(image_bytes(grid.shape) + features.size_in_bytes());
                let record = ChipRecord {
                    chip_id,
                    grid,
                    dst_shape: features.dst_shape,
                    source_path,
                    model_type: features.model_type,
                    checkpoint_path: features.checkpoint_path.clone(),
                    fingerprint: self.segmenter.spec().fingerprint.clone(),
                };
                let event = Event::Encoded(record.chip_id.clone());
                if to_writers.send(Encoded { record, features, permit }).is_err() {
                    return Ok(End::Stopped);
                }
                report(event);
            }
        }
    }

    /// Features of images, as many at once as the device holds: when they are too many, half as many from then on.
    fn features_of(&self, images: &[ModelImage], report: &mut impl FnMut(Event)) -> Result<Vec<EncodedImageFeatures>> {
        let mut encoded = Vec::with_capacity(images.len());
        while encoded.len() < images.len() {
            let left = &images[encoded.len()..];
            let together = &left[..self.batch_size().min(left.len())];
            match self.encoding.time(|| self.segmenter.encode(together)) {
                Err(Error::TooLarge { .. }) if together.len() > 1 => {
                    let half = together.len() / 2;
                    self.batch_size.fetch_min(half, Ordering::SeqCst);
                    let message = format!("{} chips at once are too many; {half} from now on", together.len());
                    report(Event::Halved(message));
                }
                result => {
                    let features = result?;
                    if features.len() != together.len() {
                        let expected = format!("features of {} chips from the segmenter", together.len());
                        return Err(Error::invalid_argument("segmenter", expected, features.len()));
                    }
                    encoded.extend(features);
                }
            }
        }
        Ok(encoded)
    }

    /// Wait for a chip, and for those that follow at once, up to the batch size: a GPU takes as long for half a batch.
    fn next_batch(&self, report: &mut impl FnMut(Event)) -> Batch<'a> {
        let mut from_readers = self.from_readers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        while batch.len() < self.batch_size() {
            if self.progress.is_canceled() {
                return Batch::End(End::Cancelled);
            }
            if self.budget.is_closed() {
                return Batch::End(End::Stopped);
            }
            match from_readers.recv_timeout(CANCEL_INTERVAL) {
                Ok(Read::Chip(chip)) => batch.push(chip),
                Ok(Read::Empty { id }) => report(Event::Skipped(id)),
                Err(_) if !batch.is_empty() => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.budget.is_closed() => return Batch::End(End::Stopped),
                Err(RecvTimeoutError::Disconnected) => return Batch::End(End::Finished),
            }
        }
        Batch::Chips(batch)
    }

    fn batch_size(&self) -> usize {
        self.batch_size.load(Ordering::SeqCst)
    }
}

enum Batch<'b> {
    Chips(Vec<Chip<'b>>),
    End(End),
}
