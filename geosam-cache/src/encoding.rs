//! The stage in the middle: images become features, in batches, on one thread or several.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use geosam_core::{ChipRecord, EncodedImageFeatures, Error, ModelImage, Result, Segmenter, in_batches};

use crate::memory::{ChipBudget, image_bytes};
use crate::read_ahead::{Chip, InOrder, Read};
use crate::stopwatch::BusyTime;
use crate::write_behind::Encoded;

/// How often one who waits looks whether to go on.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// What the caller is told, and what it drops when it has heard: it may cancel at any chip, and nobody goes on before.
pub(crate) type Told = (Event, Sender<()>);

/// What happened.
pub(crate) enum Event {
    /// A chip was handed to the writers.
    Encoded { id: String },
    /// A chip holds no valid pixel.
    Skipped { id: String },
    /// Batches are smaller from now on.
    Halved { batch: usize, half: usize },
}

/// Encodes chips, on as many threads as call [`Encoding::run`]. They take batches in turn, in the order of the windows.
pub(crate) struct Encoding<'a> {
    segmenter: &'a dyn Segmenter,
    budget: &'a ChipBudget,
    from_readers: Mutex<InOrder<'a>>,
    /// Threads.
    encoders: usize,
    /// What it was at first, or what was left of it when the device's memory ran out.
    batch_size: AtomicUsize,
    /// Shared by those who encode; held alone by one for whose chip there was no memory beside the others.
    device: RwLock<()>,
    cancelled: AtomicBool,
    pub(crate) encoding: BusyTime,
}

impl<'a> Encoding<'a> {
    pub(crate) fn new(
        segmenter: &'a dyn Segmenter,
        budget: &'a ChipBudget,
        from_readers: InOrder<'a>,
        encoders: usize,
        batch_size: usize,
    ) -> Self {
        let (from_readers, batch_size) = (Mutex::new(from_readers), AtomicUsize::new(batch_size));
        let (device, cancelled, encoding) = Default::default();
        Self { segmenter, budget, from_readers, encoders, batch_size, device, cancelled, encoding }
    }

    /// Have everybody stop after the batch at hand.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// Encode what is read and hand it to the writers, until there is no more, the caller has cancelled, or another stage
    /// has failed.
    #[allow(clippy::needless_pass_by_value)] // dropping its end of a channel is how a stage says that it has stopped
    pub(crate) fn run(&self, to_writers: Sender<Encoded<'a>>, to_caller: Sender<Told>) {
        let _guard = self.budget.close_on_panic();
        // If the caller or the writers are gone, the budget is closed.
        let report = |event| {
            let (heard, until_heard) = channel();
            _ = to_caller.send((event, heard)).map(|()| until_heard.recv());
        };
        loop {
            let batch = self.next_batch(report);
            if batch.is_empty() {
                return;
            }
            let mut images = Vec::with_capacity(batch.len());
            let mut places = Vec::with_capacity(batch.len());
            for Chip { id, grid, source_path, image, permit } in batch {
                images.push(image);
                places.push((id, grid, source_path, permit));
            }
            let encoded = match self.features_of(&images, report) {
                Ok(encoded) => encoded,
                Err(error) => return self.budget.fail(error),
            };
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
                let event = Event::Encoded { id: record.chip_id.clone() };
                _ = to_writers.send(Encoded { record, features, permit });
                report(event);
            }
        }
    }

    /// Features of images, as many at once as the device holds: when they are too many, half as many from then on.
    fn features_of(&self, images: &[ModelImage], report: impl Fn(Event)) -> Result<Vec<EncodedImageFeatures>> {
        let encode = |together: &[ModelImage]| {
            let mut result = {
                let _beside_others = self.device.read().unwrap_or_else(PoisonError::into_inner);
                self.encoding.time(|| self.segmenter.encode(together))
            };
            if let (Err(Error::TooLarge { .. }), 1, 2..) = (&result, together.len(), self.encoders) {
                let _alone = self.device.write().unwrap_or_else(PoisonError::into_inner);
                result = self.encoding.time(|| self.segmenter.encode(together));
            }
            let features = result?;
            if features.len() != together.len() {
                let expected = format!("features of {} chips from the segmenter", together.len());
                return Err(Error::invalid_argument("segmenter", expected, features.len()));
            }
            Ok(features)
        };
        in_batches(images, &self.batch_size, encode, |batch, half| report(Event::Halved { batch, half }))
    }

    /// Wait for a chip, and for those that follow at once, up to the batch size: a GPU takes as long for half a batch. None
    /// if it is time to stop.
    fn next_batch(&self, report: impl Fn(Event)) -> Vec<Chip<'a>> {
        let mut from_readers = self.from_readers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        while batch.len() < self.batch_size() {
            if self.cancelled.load(Ordering::SeqCst) || self.budget.is_closed() {
                return Vec::new();
            }
            match from_readers.recv_timeout(PATIENCE) {
                Ok(Read::Chip(chip)) => batch.push(chip),
                Ok(Read::Empty { id }) => report(Event::Skipped { id }),
                Err(RecvTimeoutError::Timeout) if batch.is_empty() => {}
                Err(_) => break,
            }
        }
        batch
    }

    fn batch_size(&self) -> usize {
        self.batch_size.load(Ordering::SeqCst)
    }
}
