//! How many chips may be between raster and disk at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use geosam_core::{Error, Result, Shape};

use crate::builder::FeatureCacheConfig;

/// Bytes of a chip as an image of three bytes a pixel.
pub(crate) const fn image_bytes(chip: Shape) -> usize {
    3 * chip.area()
}

/// Room for three times the chips that are encoded together: those before, these, and those after.
pub(crate) fn default_max_memory(together: usize, bytes_per_chip: usize) -> usize {
    let thrice = together.saturating_mul(bytes_per_chip).saturating_mul(3);
    thrice.clamp(FeatureCacheConfig::DEFAULT_MAX_MEMORY, FeatureCacheConfig::MOST_DEFAULT_MEMORY)
}

/// Lets chips in as long as they stay within a number of bytes together, and others when some have left.
///
/// A chip enters before it is read and leaves when it is on disk. It counts in full all the way, so that no later stage
/// ever waits for memory: what is under way can always be finished.
#[derive(Debug)]
pub(crate) struct ChipBudget {
    max_bytes: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    chips: usize,
    bytes_per_chip: usize,
    closed: bool,
    error: Option<Error>,
}

impl ChipBudget {
    /// # Errors
    /// [`Error::InvalidArgument`] if a chip that is read, `encoding` that are encoded and one that is written exceed
    /// `max_bytes` together.
    pub(crate) fn new(max_bytes: usize, bytes_per_chip: usize, encoding: usize) -> Result<Self> {
        let least = bytes_per_chip.saturating_mul(encoding.saturating_add(2));
        if max_bytes < least {
            let expected = format!(
                "at least {}, for {} chips of {}: one being read, {encoding} being encoded and one being written",
                size(least),
                encoding.saturating_add(2),
                size(bytes_per_chip)
            );
            return Err(Error::invalid_argument("max memory", expected, format_args!("{max_bytes} bytes")));
        }
        let state = State { chips: 0, bytes_per_chip, closed: false, error: None };
        Ok(Self { max_bytes, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Wait until one more chip fits; `None` once the budget is closed.
    pub(crate) fn enter(&self) -> Option<Permit<'_>> {
        let full = |s: &mut State| !s.closed && s.chips > 0 && (s.chips + 1) * s.bytes_per_chip > self.max_bytes;
        let mut state = self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        state.chips += 1;
        Some(Permit(self))
    }

    /// A chip turned out to take `bytes`: a program's own model may make larger features than its family does.
    pub(crate) fn chip_took(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes_per_chip = state.bytes_per_chip.max(bytes);
    }

    /// Let nobody in any more; who waits returns empty-handed. This is how a stage tells those before it to stop.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Close because of `error`. The first is the one that is reported: others may follow from it.
    pub(crate) fn fail(&self, error: Error) {
        self.lock().error.get_or_insert(error);
        self.close();
    }

    pub(crate) fn take_error(&self) -> Option<Error> {
        self.lock().error.take()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Closes the budget if its thread panics, so that nobody waits for ever.
    pub(crate) fn close_on_panic(&self) -> CloseOnPanic<'_> {
        CloseOnPanic(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A chip's place in the budget; free again when dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a ChipBudget);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.lock().chips -= 1;
        self.0.changed.notify_one();
    }
}

#[derive(Debug)]
pub(crate) struct CloseOnPanic<'a>(&'a ChipBudget);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}

/// A number of bytes for people; never less than it is.
fn size(bytes: usize) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use geosam_core::{ModelSpec, ModelType, Precision, Preprocess};

    use super::*;

    #[test]
    fn large_batches_have_room_by_default() {
        const SAM_3: usize = 24 << 20;
        assert_eq!(default_max_memory(1, SAM_3), FeatureCacheConfig::DEFAULT_MAX_MEMORY);
        assert_eq!(default_max_memory(32, SAM_3), 96 * SAM_3);
        assert_eq!(default_max_memory(usize::MAX, SAM_3), FeatureCacheConfig::MOST_DEFAULT_MEMORY);
    }

    #[test]
    fn images_and_features_have_the_size_of_their_family() {
        let model = |model_type: ModelType, image_size| ModelSpec {
            model_id: "m".to_string(),
            model_type,
            checkpoint_path: "m.pt".into(),
            image_size,
            fingerprint: None,
            preprocess: Preprocess::Standard,
            precision: Precision::F32,
        };
        assert_eq!(image_bytes(Shape::square(1024)), 3 << 20);
        for family in [ModelType::Sam, ModelType::Sam2, ModelType::Sam3] {
            assert_eq!(model(family, family.image_size()).feature_bytes(), family.feature_bytes());
        }
        assert_eq!(model(ModelType::Sam, 512).feature_bytes(), 1 << 20);
    }

    #[test]
    fn the_limit_is_never_exceeded_and_everything_gets_through() {
        const LIMIT: usize = 10;
        let budget = ChipBudget::new(LIMIT, 3, 1).unwrap();
        let (inside, most, passed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let permit = budget.enter().unwrap();
                        most.fetch_max(3 * (inside.fetch_add(1, Ordering::SeqCst) + 1), Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        // How many met inside is up to the scheduler; that as many fit as the limit says is not.
        assert!(most.into_inner() <= LIMIT);
        assert_eq!(passed.into_inner(), 800);
        let together: Vec<_> = (0..LIMIT / 3).map(|_| budget.enter().unwrap()).collect();
        assert_eq!(together.len(), 3);
    }

    #[test]
    fn chips_that_turn_out_larger_go_through_one_by_one() {
        let budget = ChipBudget::new(10, 3, 1).unwrap();
        let first = budget.enter().unwrap();
        budget.chip_took(11);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| budget.enter().map(|_permit| budget.lock().chips));
            drop(first);
            assert_eq!(second.join().unwrap(), Some(1));
        });
    }

    #[test]
    fn closing_wakes_those_who_wait_and_a_panic_closes() {
        let budget = ChipBudget::new(3, 1, 1).unwrap();
        let _inside = [budget.enter(), budget.enter(), budget.enter()];
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.enter().is_none());
            let panicking = scope.spawn(|| {
                let _guard = budget.close_on_panic();
                std::panic::resume_unwind(Box::new("without a message"));
            });
            assert!(panicking.join().is_err());
            assert!(waiting.join().unwrap());
        });
        assert!(budget.is_closed());
    }

    #[test]
    fn a_bound_too_small_for_each_stage_names_the_least() {
        assert!(ChipBudget::new(57 << 20, 19 << 20, 1).is_ok());
        let error = ChipBudget::new(56 << 20, 19 << 20, 1).unwrap_err().to_string();
        let said = "invalid max memory: expected at least 57 MiB, for 3 chips of 19 MiB: one being read, 1 being \
                    encoded and one being written, found 58720256 bytes";
        assert_eq!(error, said);
        assert!(ChipBudget::new(usize::MAX, usize::MAX, usize::MAX).is_ok());
    }
}
