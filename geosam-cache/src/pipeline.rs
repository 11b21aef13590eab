//! Raster → encoder → disk, the three at once.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use geosam_core::{
    ChipRecord, ChipSource, EncodedImageFeatures, Error, FeatureStore, GridGeoSampler, ModelImage, Progress, Result,
    Segmenter, ValueRange,
};

use crate::builder::{BuildReport, StageTimings};
use crate::folder::FeatureFolder;
use crate::memory::{ChipBudget, image_bytes};
use crate::read_ahead::{Chip, InOrder, Read, ReadAhead};
use crate::stopwatch::Stopwatch;
use crate::write_behind::{Encoded, WriteBehind};

/// How often a caller that waits for a slow read is asked whether to go on.
const CANCEL_INTERVAL: Duration = Duration::from_millis(100);

/// One build. Readers and writers have threads of their own; the encoder runs on the calling thread, the only one that
/// talks to `progress`. Whoever fails closes the budget, and readers and encoder stop when they see it. What is encoded is
/// still written, unless it is a writer that failed.
pub(crate) struct Pipeline<'a> {
    pub(crate) source: &'a dyn ChipSource,
    pub(crate) segmenter: &'a dyn Segmenter,
    pub(crate) folder: &'a FeatureFolder,
    pub(crate) sampler: &'a GridGeoSampler,
    pub(crate) range: &'a ValueRange,
    pub(crate) budget: &'a ChipBudget,
    /// Chips that are encoded at once, as long as the model's device holds them.
    pub(crate) batch_size: usize,
    /// Threads that read.
    pub(crate) readers: usize,
    /// Threads that write.
    pub(crate) writers: usize,
    pub(crate) progress: &'a dyn Progress,
    /// When the build began, and the part of it that went into statistics since.
    pub(crate) start: Instant,
    pub(crate) statistics: Duration,
}

/// How far the encoder has come.
#[derive(Default)]
struct Encoding {
    resumed: usize,
    handed_over: usize,
    skipped: usize,
    /// [`Pipeline::batch_size`], or what was left of it when the device's memory ran out.
    batch_size: usize,
    encoding: Stopwatch,
}

/// Why the encoder stopped, other than by an error.
#[derive(PartialEq, Eq)]
enum End {
    Finished,
    Cancelled,
    /// Another stage failed.
    Stopped,
}

impl Pipeline<'_> {
    /// Encode every chip that the folder lacks.
    pub(crate) fn run(&self) -> Result<BuildReport> {
        let kept: HashSet<String> = self.folder.chips()?.iter().map(|record| record.chip_id.clone()).collect();
        let is_missing = |id: &str| !kept.contains(id);
        let readers = ReadAhead::new(self.source, self.sampler, self.range, self.budget, is_missing);
        let writers = WriteBehind::new(self.folder, self.budget);
        let mut encoder = Encoding { resumed: kept.len(), batch_size: self.batch_size, ..Encoding::default() };

        let end = {
            let (to_encoder, from_readers) = channel();
            let (to_writers, from_encoder) = channel();
            let from_encoder = Mutex::new(from_encoder);
            let (readers, writers, from_encoder) = (&readers, &writers, &from_encoder);
            std::thread::scope(|scope| {
                let _guard = self.budget.close_on_panic();
                for _ in 0..self.readers {
                    let to_encoder = to_encoder.clone();
                    scope.spawn(move || readers.run(to_encoder));
                }
                drop(to_encoder);
                for _ in 0..self.writers {
                    scope.spawn(move || writers.run(from_encoder));
                }
                let end = self.encode(InOrder::new(from_readers), to_writers, &mut encoder);
                self.budget.close();
                end.unwrap_or_else(|error| {
                    self.budget.fail(error);
                    End::Stopped
                })
            })
        };

        let error = self.budget.take_error();
        let finished = end == End::Finished && error.is_none();
        let committed = writers.writing.time(|| self.folder.commit_run(finished));
        let write = writers.writing.total();
        let written = writers.finish();
        if let Some(error) = error {
            return Err(error);
        }
        committed?;
        let done = kept.len() + encoder.skipped + written.chips;
        if end == End::Cancelled {
            return Err(Error::Cancelled { done, total: self.sampler.len() });
        }
        if kept.len() + written.chips == 0 {
            return Err(Error::Dataset {
                operation: "encode",
                dataset: self.source.source_path().to_string(),
                reason: format!("none of its {} chips holds a valid pixel; choose another extent", self.sampler.len()),
                source: None,
            });
        }
        self.progress.set_progress(100.0);
        Ok(BuildReport {
            manifest_path: self.folder.manifest_path().to_path_buf(),
            chips: self.sampler.len(),
            written: written.chips,
            skipped: encoder.skipped,
            resumed: kept.len(),
            bytes: written.bytes,
            timings: StageTimings {
                wall: self.start.elapsed(),
                statistics: self.statistics,
                read: readers.reading.total(),
                prepare: readers.preparing.total(),
                encode: encoder.encoding.total(),
                write,
            },
        })
    }

    /// Encode what is read and hand it to the writers.
    #[allow(clippy::needless_pass_by_value)] // dropping its end of a channel is how a stage says that it has stopped
    fn encode<'b>(
        &self,
        mut from_readers: InOrder<'b>,
        to_writers: Sender<Encoded<'b>>,
        counts: &mut Encoding,
    ) -> Result<End> {
        let total = self.sampler.len() as f64;
        loop {
            let batch = match self.next_batch(&mut from_readers, counts) {
                Batch::Chips(batch) => batch,
                Batch::End(end) => return Ok(end),
            };
            let mut images = Vec::with_capacity(batch.len());
            let mut places = Vec::with_capacity(batch.len());
            for Chip { id, grid, source_path, image, permit } in batch {
                images.push(image);
                places.push((id, grid, source_path, permit));
            }
            let encoded = self.features_of(&images, counts)?;
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
                let message = format!("encoded {}", record.chip_id);
                if to_writers.send(Encoded { record, features, permit }).is_err() {
                    return Ok(End::Stopped);
                }
                counts.handed_over += 1;
                let done = counts.resumed + counts.skipped + counts.handed_over;
                // 100 is for when everything is on disk.
                self.progress.set_progress((100.0 * done as f64 / total).min(99.0));
                self.progress.push_info(&message);
            }
        }
    }

    /// Features of images, as many at once as the device holds: when they are too many, half as many from then on.
    fn features_of(&self, images: &[ModelImage], counts: &mut Encoding) -> Result<Vec<EncodedImageFeatures>> {
        let mut encoded = Vec::with_capacity(images.len());
        while encoded.len() < images.len() {
            let left = &images[encoded.len()..];
            let together = &left[..counts.batch_size.min(left.len())];
            match counts.encoding.time(|| self.segmenter.encode(together)) {
                Err(Error::TooLarge { .. }) if together.len() > 1 => {
                    counts.batch_size = together.len() / 2;
                    let message =
                        format!("{} chips at once are too many; {} from now on", together.len(), counts.batch_size);
                    self.progress.push_info(&message);
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
    fn next_batch<'b>(&self, from_readers: &mut InOrder<'b>, counts: &mut Encoding) -> Batch<'b> {
        let mut batch = Vec::new();
        while batch.len() < counts.batch_size {
            if self.progress.is_canceled() {
                return Batch::End(End::Cancelled);
            }
            if self.budget.is_closed() {
                return Batch::End(End::Stopped);
            }
            match from_readers.recv_timeout(CANCEL_INTERVAL) {
                Ok(Read::Chip(chip)) => batch.push(chip),
                Ok(Read::Empty { id }) => {
                    counts.skipped += 1;
                    self.progress.push_info(&format!("skipped {id}: it holds no valid pixel"));
                }
                Err(_) if !batch.is_empty() => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.budget.is_closed() => return Batch::End(End::Stopped),
                Err(RecvTimeoutError::Disconnected) => return Batch::End(End::Finished),
            }
        }
        Batch::Chips(batch)
    }
}

enum Batch<'b> {
    Chips(Vec<Chip<'b>>),
    End(End),
}
