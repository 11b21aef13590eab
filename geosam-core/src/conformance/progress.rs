use std::sync::{Mutex, PoisonError};

use crate::progress::Progress;

/// Assert the contract of [`Progress`] as an implementation has to keep it: it takes every report, and once it says that
/// the user wants to stop it goes on saying so, to every thread.
///
/// # Panics
/// Where the implementation breaks the contract.
pub fn progress(progress: &dyn Progress) {
    let mut canceled = progress.is_canceled();
    for percent in [0.0, 12.5, 12.5, 99.9, 100.0] {
        progress.set_progress(percent);
        progress.push_info(&format!("{percent} percent, with \"quotes\" and ünïcode"));
        let now = progress.is_canceled();
        assert!(now || !canceled, "a cancellation is not taken back");
        canceled = now;
    }
    progress.push_info("");
    std::thread::scope(|scope| {
        let elsewhere = scope.spawn(|| progress.is_canceled()).join().expect("workers may ask");
        assert!(elsewhere || !canceled, "other threads see the cancellation");
    });
}

/// A [`Progress`] that remembers what it was told, to test code that reports.
#[derive(Debug, Default)]
pub struct ProgressLog {
    cancel_at: Option<f64>,
    percents: Mutex<Vec<f64>>,
    messages: Mutex<Vec<String>>,
}

impl ProgressLog {
    /// A log that is never cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A log that asks to stop once `percent` are reached.
    #[must_use]
    pub fn canceling_at(percent: f64) -> Self {
        Self { cancel_at: Some(percent), ..Self::default() }
    }

    /// Every percentage so far, in order.
    #[must_use]
    pub fn percents(&self) -> Vec<f64> {
        self.percents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every message so far, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Assert that the reports of one finished call kept the contract of [`Progress`]: within 0 to 100, never falling,
    /// ending at 100.
    ///
    /// # Panics
    /// If they did not.
    pub fn assert_finished(&self) {
        let percents = self.percents();
        assert!(percents.is_sorted(), "progress never decreases: {percents:?}");
        assert!(percents.iter().all(|p| (0.0..=100.0).contains(p)), "progress is 0 to 100: {percents:?}");
        assert_eq!(percents.last(), Some(&100.0), "progress ends at 100: {percents:?}");
    }
}

impl Progress for ProgressLog {
    fn set_progress(&self, percent: f64) {
        self.percents.lock().unwrap_or_else(PoisonError::into_inner).push(percent);
    }

    fn push_info(&self, message: &str) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_string());
    }

    fn is_canceled(&self) -> bool {
        let reached = self.percents().into_iter().fold(f64::NEG_INFINITY, f64::max);
        self.cancel_at.is_some_and(|at| reached >= at)
    }
}
