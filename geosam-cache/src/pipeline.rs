//! Raster → encoder → disk, the three at once.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use geosam_core::{ChipSource, Error, FeatureStore, GridGeoSampler, Progress, Result, Segmenter, ValueRange};

use crate::builder::{BuildReport, StageTimings};
use crate::encoding::{Encoding, End, Event};
use crate::folder::FeatureFolder;
use crate::memory::ChipBudget;
use crate::read_ahead::{InOrder, ReadAhead};
use crate::write_behind::WriteBehind;

/// One build. Readers and writers have threads of their own; the calling thread encodes, perhaps with others, and is the only
/// one that talks to `progress`. Whoever fails closes the budget, and readers and encoders stop when they see it. What is
/// encoded is still written, unless it is a writer that failed.
pub(crate) struct Pipeline<'a> {
    pub(crate) source: &'a dyn ChipSource,
    pub(crate) segmenter: &'a dyn Segmenter,
    pub(crate) folder: &'a FeatureFolder,
    pub(crate) sampler: &'a GridGeoSampler,
    pub(crate) range: &'a ValueRange,
    pub(crate) budget: &'a ChipBudget,
    /// Chips that are encoded at once, as long as the model's device holds them.
    pub(crate) batch_size: usize,
    /// Threads that encode.
    pub(crate) encoders: usize,
    /// Threads that read.
    pub(crate) readers: usize,
    /// Threads that write.
    pub(crate) writers: usize,
    pub(crate) progress: &'a dyn Progress,
    /// When the build began, and the part of it that went into statistics since.
    pub(crate) start: Instant,
    pub(crate) statistics: Duration,
}

/// How far the encoders have come.
struct Counts<'a> {
    progress: &'a dyn Progress,
    total: usize,
    resumed: usize,
    encoded: usize,
    skipped: usize,
}

impl Counts<'_> {
    /// Count what happened and tell the caller.
    fn report(&mut self, event: Event) {
        match event {
            Event::Encoded(id) => {
                self.encoded += 1;
                let done = self.resumed + self.skipped + self.encoded;
                // 100 is for when everything is on disk.
                self.progress.set_progress((100.0 * done as f64 / self.total as f64).min(99.0));
                self.progress.push_info(&format!("encoded {id}"));
            }
            Event::Skipped(id) => {
                self.skipped += 1;
                self.progress.push_info(&format!("skipped {id}: it holds no valid pixel"));
            }
            Event::Halved(message) => self.progress.push_info(&message),
        }
    }
}

impl Pipeline<'_> {
    /// Encode every chip that the folder lacks.
    pub(crate) fn run(&self) -> Result<BuildReport> {
        let kept: HashSet<String> = self.folder.chips()?.iter().map(|record| record.chip_id.clone()).collect();
        let is_missing = |id: &str| !kept.contains(id);
        let readers = ReadAhead::new(self.source, self.sampler, self.range, self.budget, is_missing);
        let writers = WriteBehind::new(self.folder, self.budget);
        let (to_encoders, from_readers) = channel();
        let encoders =
            Encoding::new(self.segmenter, self.budget, self.progress, InOrder::new(from_readers), self.batch_size);
        let (progress, total) = (self.progress, self.sampler.len());
        let mut counts = Counts { progress, total, resumed: kept.len(), encoded: 0, skipped: 0 };

        let end = {
            let (to_writers, from_encoders) = channel();
            let from_encoders = Mutex::new(from_encoders);
            let (to_caller, events) = channel();
            let (readers, encoders, writers, from_encoders) = (&readers, &encoders, &writers, &from_encoders);
            std::thread::scope(|scope| {
                let _guard = self.budget.close_on_panic();
                for _ in 0..self.readers {
                    let to_encoders = to_encoders.clone();
                    scope.spawn(move || readers.run(to_encoders));
                }
                drop(to_encoders);
                for _ in 0..self.writers {
                    scope.spawn(move || writers.run(from_encoders));
                }
                for _ in 1..self.encoders {
                    let (to_writers, to_caller) = (to_writers.clone(), to_caller.clone());
                    scope.spawn(move || {
                        let _guard = self.budget.close_on_panic();
                        // Nobody hears of it any more if the caller has panicked.
                        let end = encoders.run(to_writers, |event| _ = to_caller.send(event));
                        end.map_or_else(|error| self.budget.fail(error), drop);
                    });
                }
                drop(to_caller);
                let end = encoders.run(to_writers, |event| {
                    events.try_iter().for_each(|event| counts.report(event));
                    counts.report(event);
                });
                let end = end.unwrap_or_else(|error| {
                    self.budget.fail(error);
                    End::Stopped
                });
                // Until the others have finished, too.
                events.iter().for_each(|event| counts.report(event));
                self.budget.close();
                end
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
        let done = kept.len() + counts.skipped + written.chips;
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
            skipped: counts.skipped,
            resumed: kept.len(),
            bytes: written.bytes,
            timings: StageTimings {
                wall: self.start.elapsed(),
                statistics: self.statistics,
                read: readers.reading.total(),
                prepare: readers.preparing.total(),
                encode: encoders.encoding.total(),
                write,
            },
        })
    }
}
