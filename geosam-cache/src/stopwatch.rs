//! Time that work on several threads took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time that a kind of work took, on all threads together.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    nanoseconds: AtomicU64,
}

impl Stopwatch {
    /// Do `work` and add the time it takes.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        result
    }

    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

/// The time in which a kind of work was under way, on one thread or more.
#[derive(Debug, Default)]
pub(crate) struct BusyTime {
    state: Mutex<Busy>,
}

#[derive(Debug, Default)]
struct Busy {
    threads: usize,
    since: Option<Instant>,
    before: Duration,
}

impl BusyTime {
    /// Do `work`.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        {
            let mut state = self.state();
            state.threads += 1;
            state.since.get_or_insert_with(Instant::now);
        }
        let result = work();
        let mut state = self.state();
        state.threads -= 1;
        if state.threads == 0
            && let Some(since) = state.since.take()
        {
            state.before += since.elapsed();
        }
        result
    }

    /// As far as it is over.
    pub(crate) fn total(&self) -> Duration {
        self.state().before
    }

    fn state(&self) -> MutexGuard<'_, Busy> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
