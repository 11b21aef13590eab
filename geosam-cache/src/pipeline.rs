//! Raster → encoder → disk, the three at once.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use geosam_core::{
    ChipRecord, ChipSource, EncodedImageFeatures, Error, FeatureStore, GeoGrid, GridGeoSampler, ModelImage, Progress,
    Result, Segmenter, ValueRange,
};

use crate::builder::{BuildReport, StageTimings};
use crate::folder::FeatureFolder;
use crate::memory::{ByteBudget, MemoryStrategy, Permit};

/// How often a caller that waits for a slow read is asked whether to go on.
const CANCEL_INTERVAL: Duration = Duration::from_millis(100);

/// One build. The reader and the writer have a thread each; the encoder runs on the calling thread, the only one that
/// talks to `progress`. Whoever stops first closes its channels and budgets, and the others come to their end.
pub(crate) struct Pipeline<'a> {
    pub(crate) source: &'a dyn ChipSource,
    pub(crate) segmenter: &'a dyn Segmenter,
    pub(crate) folder: &'a FeatureFolder,
    pub(crate) sampler: &'a GridGeoSampler,
    pub(crate) range: &'a ValueRange,
    pub(crate) memory: MemoryStrategy,
    pub(crate) batch_size: usize,
    pub(crate) progress: &'a dyn Progress,
}

/// What the reader hands over.
enum Read<'b> {
    Chip(Chip<'b>),
    Empty(String),
}

/// A chip to be encoded.
struct Chip<'b> {
    id: String,
    grid: GeoGrid,
    source_path: String,
    image: ModelImage,
    _permit: Permit<'b>,
}

/// A chip to be written.
struct Encoded<'b> {
    record: ChipRecord,
    features: EncodedImageFeatures,
    _permit: Permit<'b>,
}

#[derive(Default)]
struct Reading {
    read: Duration,
    prepare: Duration,
}

#[derive(Default)]
struct Encoding {
    handed_over: usize,
    skipped: usize,
    encode: Duration,
    waiting_for_reader: Duration,
    waiting_for_writer: Duration,
}

#[derive(Default)]
struct Writing {
    written: usize,
    bytes: u64,
    write: Duration,
}

impl Pipeline<'_> {
    /// Encode every chip that the folder lacks.
    pub(crate) fn run(&self) -> Result<BuildReport> {
        let start = Instant::now();
        let kept: HashSet<String> = self.folder.chips()?.iter().map(|record| record.chip_id.clone()).collect();
        let images = ByteBudget::new(self.memory.image_bytes());
        let features = ByteBudget::new(self.memory.feature_bytes());
        let (mut reading, mut encoding, mut writing) = (Reading::default(), Encoding::default(), Writing::default());

        let (encoded, written) = std::thread::scope(|scope| {
            let (to_encoder, from_reader) = channel();
            let (to_writer, from_encoder) = channel();
            scope.spawn(|| self.read(&kept, &images, to_encoder, &mut reading));
            let writer = scope.spawn(|| {
                let _closing = features.close_on_drop();
                self.write(from_encoder, &mut writing)
            });
            let encoded = {
                let _closing = images.close_on_drop();
                self.encode(kept.len(), from_reader, to_writer, &features, &mut encoding)
            };
            let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (encoded, written)
        });

        let done = kept.len() + encoding.skipped + writing.written;
        let committed = self.folder.commit_run(matches!(encoded, Ok(true)) && written.is_ok());
        // If the writer failed, that is why the encoder stopped, and not the other way round.
        written?;
        let finished = encoded?;
        committed?;
        if !finished {
            return Err(Error::Cancelled { done, total: self.sampler.len() });
        }
        if kept.len() + writing.written == 0 {
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
            written: writing.written,
            skipped: encoding.skipped,
            resumed: kept.len(),
            bytes: writing.bytes,
            timings: StageTimings {
                total: start.elapsed(),
                read: reading.read,
                prepare: reading.prepare,
                encode: encoding.encode,
                write: writing.write,
                waiting_for_reader: encoding.waiting_for_reader,
                waiting_for_writer: encoding.waiting_for_writer,
            },
        })
    }
    /// Read chips until all are read, one fails, or nobody wants more.
    #[allow(clippy::needless_pass_by_value)] // dropping its end of a channel is how a stage says that it has stopped
    fn read<'b>(
        &self,
        kept: &HashSet<String>,
        images: &'b ByteBudget,
        to_encoder: Sender<Result<Read<'b>>>,
        times: &mut Reading,
    ) {
        for (index, window) in self.sampler.windows().enumerate() {
            let id = format!("chip_{index:06}");
            if kept.contains(&id) {
                continue;
            }
            let Some(permit) = images.acquire(3 * window.shape.area()) else { return };
            let chip = (|| {
                let sample = timed(&mut times.read, || self.source.read(window))?;
                if !sample.has_data() {
                    return Ok(Read::Empty(id));
                }
                let image = timed(&mut times.prepare, || sample.to_model_image(self.range))?;
                Ok(Read::Chip(Chip { id, grid: sample.grid, source_path: sample.source_path, image, _permit: permit }))
            })();
            let failed = chip.is_err();
            if to_encoder.send(chip).is_err() || failed {
                return;
            }
        }
    }

    /// Encode what is read and hand it to the writer. `Ok(true)` when there is no more, `Ok(false)` when cancelled.
    #[allow(clippy::needless_pass_by_value)] // dropping its end of a channel is how a stage says that it has stopped
    fn encode<'b>(
        &self,
        kept: usize,
        from_reader: Receiver<Result<Read<'_>>>,
        to_writer: Sender<Encoded<'b>>,
        features: &'b ByteBudget,
        counts: &mut Encoding,
    ) -> Result<bool> {
        let total = self.sampler.len() as f64;
        loop {
            let batch = match self.next_batch(&from_reader, counts)? {
                Batch::Chips(batch) => batch,
                Batch::Cancelled => return Ok(false),
                Batch::End => return Ok(true),
            };
            let mut images = Vec::with_capacity(batch.len());
            let mut places = Vec::with_capacity(batch.len());
            for Chip { id, grid, source_path, image, _permit } in batch {
                images.push(image);
                places.push((id, grid, source_path, _permit));
            }
            let encoded = timed(&mut counts.encode, || self.segmenter.encode(&images))?;
            drop(images);
            if encoded.len() != places.len() {
                let expected = format!("features of {} chips from the segmenter", places.len());
                return Err(Error::invalid_argument("segmenter", expected, encoded.len()));
            }
            for ((chip_id, grid, source_path, image_permit), features_of_chip) in places.into_iter().zip(encoded) {
                drop(image_permit);
                let bytes = features_of_chip.size_in_bytes();
                let permit = timed(&mut counts.waiting_for_writer, || features.acquire(bytes));
                let record = ChipRecord {
                    chip_id,
                    grid,
                    dst_shape: features_of_chip.dst_shape,
                    source_path,
                    model_type: features_of_chip.model_type,
                    checkpoint_path: features_of_chip.checkpoint_path.clone(),
                    fingerprint: self.segmenter.spec().fingerprint.clone(),
                };
                let message = format!("encoded {}", record.chip_id);
                let handed_over = permit.is_some_and(|_permit| {
                    to_writer.send(Encoded { record, features: features_of_chip, _permit }).is_ok()
                });
                if !handed_over {
                    return Ok(true); // the writer has failed, and its error is reported
                }
                counts.handed_over += 1;
                let done = kept + counts.skipped + counts.handed_over;
                // 100 is for when everything is on disk.
                self.progress.set_progress((100.0 * done as f64 / total).min(99.0));
                self.progress.push_info(&message);
            }
        }
    }

    /// Wait for a chip, and take along what else has been read, up to the batch size.
    fn next_batch<'b>(&self, from_reader: &Receiver<Result<Read<'b>>>, counts: &mut Encoding) -> Result<Batch<'b>> {
        let start = Instant::now();
        let mut batch = Vec::new();
        let mut end = false;
        while batch.len() < self.batch_size {
            if self.progress.is_canceled() {
                return Ok(Batch::Cancelled);
            }
            let next = if batch.is_empty() {
                from_reader.recv_timeout(CANCEL_INTERVAL)
            } else {
                from_reader.try_recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match next {
                Ok(Ok(Read::Chip(chip))) => batch.push(chip),
                Ok(Ok(Read::Empty(id))) => {
                    counts.skipped += 1;
                    self.progress.push_info(&format!("skipped {id}: it holds no valid pixel"));
                }
                Ok(Err(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    end = batch.is_empty();
                    break;
                }
            }
        }
        counts.waiting_for_reader += start.elapsed();
        Ok(if end { Batch::End } else { Batch::Chips(batch) })
    }

    /// Write chips until there are no more, and commit as the folder grows.
    fn write(&self, from_encoder: Receiver<Encoded<'_>>, counts: &mut Writing) -> Result<()> {
        for Encoded { record, features, _permit } in from_encoder {
            counts.bytes += timed(&mut counts.write, || self.folder.put_chip(&record, &features))?;
            counts.written += 1;
            let (pending, committed) = self.folder.pending_and_committed();
            if commit_is_due(pending, committed) {
                timed(&mut counts.write, || self.folder.commit_run(false))?;
            }
        }
        Ok(())
    }
}

enum Batch<'b> {
    Chips(Vec<Chip<'b>>),
    Cancelled,
    End,
}

/// After the first chip, then as the folder doubles, then every 64 chips; in a large folder each sixteenth, so that
/// rewriting the manifest never costs more than the chips do.
fn commit_is_due(pending: usize, committed: usize) -> bool {
    pending >= committed.clamp(1, 64).max(committed / 16)
}

fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *total += start.elapsed();
    result
}
