//! How long-running work reports back, and how it is stopped.

use std::sync::atomic::{AtomicBool, Ordering};

/// Percent, messages and cancellation of a long-running call: the seam to a progress bar or a host application.
///
/// # Contract
/// - Called from the thread that called the SDK, and only from it, but must be `Sync`: `is_canceled` may be asked from workers.
/// - `set_progress` never decreases within one call and ends at 100 unless the work failed or was cancelled.
/// - After `is_canceled` has returned `true` it keeps doing so.
pub trait Progress: Sync {
    /// Work done so far, 0 to 100.
    fn set_progress(&self, percent: f64);

    /// One line about what was just done.
    fn push_info(&self, message: &str);

    /// Whether the user asked to stop; what is finished is kept.
    fn is_canceled(&self) -> bool;
}

/// Reports nothing and is never cancelled.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn set_progress(&self, _percent: f64) {}

    fn push_info(&self, _message: &str) {}

    fn is_canceled(&self) -> bool {
        false
    }
}

/// Reports nothing and stops when told to, from any thread or a signal handler.
#[derive(Debug, Default)]
pub struct CancelFlag(AtomicBool);

impl CancelFlag {
    /// A flag that is not set.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Ask the work to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Progress for CancelFlag {
    fn set_progress(&self, _percent: f64) {}

    fn push_info(&self, _message: &str) {}

    fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
