//! Raster → encoder → disk, the three at once.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use geosam_core::{ChipSource, Error, FeatureStore, GridGeoSampler, Progress, Result, Segmenter, ValueRange};

use crate::builder::{BuildReport, StageTimings};
use crate::encoding::{Encoding, Event, PATIENCE};
use crate::folder::FeatureFolder;
use crate::memory::ChipBudget;
use crate::read_ahead::{InOrder, ReadAhead};
use crate::write_behind::WriteBehind;

/// One build. Readers, encoders and writers have threads of their own; the calling thread is the only one that talks to
/// `progress`. Whoever fails closes the budget, and readers and encoders stop when they see it. What is encoded is still
/// written, unless it is a writer that failed.
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
            Event::Encoded { id } => {
                self.encoded += 1;
                // 100 is for when everything is on disk.
                self.progress.set_progress((100.0 * self.done() as f64 / self.total as f64).min(99.0));
                self.progress.push_info(&format!("encoded {id}"));
            }
            Event::Skipped { id } => {
                self.skipped += 1;
                self.progress.push_info(&format!("skipped {id}: it holds no valid pixel"));
            }
            Event::Halved { batch, half } => {
                self.progress.push_info(&format!("{batch} chips at once are too many; {half} from now on"));
            }
        }
    }

    fn done(&self) -> usize {
        self.resumed + self.skipped + self.encoded
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
        let from_readers = InOrder::new(from_readers);
        let encoders = Encoding::new(self.segmenter, self.budget, from_readers, self.encoders, self.batch_size);
        let (progress, total) = (self.progress, self.sampler.len());
        let mut counts = Counts { progress, total, resumed: kept.len(), encoded: 0, skipped: 0 };

        let (to_writers, from_encoders) = channel();
        let from_encoders = Mutex::new(from_encoders);
        let (to_caller, events) = channel();
        let heed = || {
            if progress.is_canceled() {
                encoders.cancel();
            }
        };
        heed();
        std::thread::scope(|scope| {
            let (readers, encoders, writers, from_encoders) = (&readers, &encoders, &writers, &from_encoders);
            let _guard = self.budget.close_on_panic();
            for _ in 0..self.readers {
                let to_encoders = to_encoders.clone();
                scope.spawn(move || readers.run(to_encoders));
            }
            for _ in 0..self.encoders {
                let (to_writers, to_caller) = (to_writers.clone(), to_caller.clone());
                scope.spawn(move || encoders.run(to_writers, to_caller));
            }
            for _ in 0..self.writers {
                scope.spawn(move || writers.run(from_encoders));
            }
            drop((to_encoders, to_writers, to_caller));
            // Dropped here if the caller panics, so that nobody waits for it.
            let events = events;
            loop {
                match events.recv_timeout(PATIENCE) {
                    Ok((event, heard)) => {
                        counts.report(event);
                        heed();
                        drop(heard);
                    }
                    Err(RecvTimeoutError::Timeout) => heed(),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            // Readers may be ahead of encoders that were cancelled.
            self.budget.close();
        });

        let error = self.budget.take_error();
        let finished = counts.done() == total && error.is_none();
        let committed = writers.writing.time(|| self.folder.commit_run(finished));
        let write = writers.writing.total();
        let written = writers.finish();
        if let Some(error) = error {
            return Err(error);
        }
        committed?;
        if !finished {
            let done = kept.len() + counts.skipped + written.chips;
            return Err(Error::Cancelled { done, total });
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
