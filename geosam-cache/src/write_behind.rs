//! The last stage: features become files, several at a time, and the manifest follows them.

use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};

use geosam_core::{ChipRecord, EncodedImageFeatures, Result};

use crate::folder::FeatureFolder;
use crate::memory::{ChipBudget, Permit};
use crate::stopwatch::Stopwatch;

/// A chip to be written.
pub(crate) struct Encoded<'b> {
    pub(crate) record: ChipRecord,
    pub(crate) features: EncodedImageFeatures,
    pub(crate) permit: Permit<'b>,
}

/// Writes chips, on as many threads as call [`WriteBehind::run`].
pub(crate) struct WriteBehind<'a> {
    folder: &'a FeatureFolder,
    budget: &'a ChipBudget,
    written: Mutex<Written>,
    committing: Mutex<()>,
    pub(crate) writing: Stopwatch,
}

/// What has been written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) chips: usize,
    pub(crate) bytes: u64,
    failed: bool,
}

impl<'a> WriteBehind<'a> {
    pub(crate) fn new(folder: &'a FeatureFolder, budget: &'a ChipBudget) -> Self {
        let (written, committing, writing) = Default::default();
        Self { folder, budget, written, committing, writing }
    }

    /// Write what the encoder hands over until there is no more or a writer has failed.
    pub(crate) fn run(&self, from_encoder: &Mutex<Receiver<Encoded<'a>>>) {
        let _guard = self.budget.close_on_panic();
        while !self.written().failed {
            let next = from_encoder.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(chip) = next else { return };
            if let Err(error) = self.writing.time(|| self.write(chip)) {
                self.written().failed = true;
                self.budget.fail(error);
            }
        }
    }

    /// What has been written, when the writers have stopped.
    pub(crate) fn finish(self) -> Written {
        self.written.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, Encoded { record, features, permit }: Encoded<'_>) -> Result<()> {
        let bytes = self.folder.put_chip(&record, &features)?;
        drop((features, permit));
        let mut written = self.written();
        written.chips += 1;
        written.bytes += bytes;
        drop(written);
        // One writer at a time: what the others have put since, it takes along, or the next one does.
        if let Ok(_committing) = self.committing.try_lock() {
            let (pending, committed) = self.folder.pending_and_committed();
            if commit_is_due(pending, committed) {
                self.folder.commit_run(false)?;
            }
        }
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After the first chip, then as the folder doubles, then every 64 chips; in a large folder each sixteenth, so that
/// rewriting the manifest never costs more than the chips do.
fn commit_is_due(pending: usize, committed: usize) -> bool {
    pending >= committed.clamp(1, 64).max(committed / 16)
}
