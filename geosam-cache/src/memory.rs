//! How much memory the pipeline between raster, encoder and disk may hold, and the gate that keeps to it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What waits in memory while chips are read, encoded and written.
///
/// The bounds are on bytes and are kept: a stage that would exceed one waits. A single chip larger than a bound goes
/// through alone. Beside them the model needs its own memory, and the reader holds one raw window while it converts
/// it to bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryStrategy {
    /// Read ahead and write behind: up to 64 MiB of images (21 chips of 1024×1024) read and not yet encoded, up to
    /// 128 MiB of features (32 chips of SAM, 8 of SAM 2, 6 of SAM 3) encoded and not yet on disk.
    #[default]
    Balanced,
    /// One chip in each stage: a chip is read when the one before is encoded, and handed to the writer when the one
    /// before is on disk.
    LowMemory,
}

impl MemoryStrategy {
    /// Most bytes of images, three a pixel, that are read and not yet encoded; 0 stands for one chip.
    #[must_use]
    pub const fn image_bytes(self) -> usize {
        match self {
            Self::Balanced => 64 << 20,
            Self::LowMemory => 0,
        }
    }

    /// Most bytes of features that are encoded and not yet on disk; 0 stands for one chip.
    #[must_use]
    pub const fn feature_bytes(self) -> usize {
        match self {
            Self::Balanced => 128 << 20,
            Self::LowMemory => 0,
        }
    }
}

/// Lets bytes through until a limit is reached, and more when some are given back.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    closed: bool,
}

impl ByteBudget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Wait until `bytes` fit, or until nothing else is in use; `None` once the budget is closed.
    pub(crate) fn acquire(&self, bytes: usize) -> Option<Permit<'_>> {
        let full = |state: &mut State| !state.closed && state.used > 0 && state.used + bytes > self.limit;
        let mut state = self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        state.used += bytes;
        Some(Permit { budget: self, bytes })
    }

    /// Closes the budget when dropped, on an error and on a panic too, so that nobody waits for ever.
    pub(crate) fn close_on_drop(&self) -> Closing<'_> {
        Closing(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes in use; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    budget: &'a ByteBudget,
    bytes: usize,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.budget.lock().used -= self.bytes;
        self.budget.changed.notify_all();
    }
}

#[derive(Debug)]
pub(crate) struct Closing<'a>(&'a ByteBudget);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_limit_is_never_exceeded_and_everything_gets_through() {
        const LIMIT: usize = 10;
        let budget = ByteBudget::new(LIMIT);
        let (in_use, most, passed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for bytes in [1, 2, 3, 4] {
                let (budget, in_use, most, passed) = (&budget, &in_use, &most, &passed);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let permit = budget.acquire(bytes).unwrap();
                        most.fetch_max(in_use.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                        std::thread::yield_now();
                        in_use.fetch_sub(bytes, Ordering::SeqCst);
                        drop(permit);
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= LIMIT);
        assert_eq!(passed.into_inner(), 800);
    }

    #[test]
    fn one_item_larger_than_the_limit_goes_through_alone() {
        let budget = ByteBudget::new(0);
        drop(budget.acquire(5).unwrap());
        let _permit = budget.acquire(7).unwrap();
        assert_eq!(budget.lock().used, 7);
    }

    #[test]
    fn closing_wakes_those_who_wait() {
        let budget = ByteBudget::new(0);
        let _first = budget.acquire(1).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.acquire(1).is_none());
            drop(budget.close_on_drop());
            assert!(waiting.join().unwrap());
        });
    }
}
