//! Chips that are ready for prompts, the least recently used of them dropped.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use geosam_core::{PixelPrompt, PredictOptions, Prediction, PromptSession, Result};
use lru::LruCache;

/// A chip's features on the model's device.
#[derive(Debug)]
pub(crate) struct OpenedChip {
    session: Mutex<Box<dyn PromptSession>>,
    bytes: usize,
}

impl OpenedChip {
    pub(crate) fn new(session: Box<dyn PromptSession>) -> Arc<Self> {
        let bytes = session.size_in_bytes();
        Arc::new(Self { session: Mutex::new(session), bytes })
    }

    /// Answer prompts; one caller at a time.
    pub(crate) fn predict(&self, prompts: &[PixelPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).predict(prompts, options)
    }
}

/// Opened chips up to a number of bytes, and always at least the one used last.
#[derive(Debug)]
pub(crate) struct OpenedChips<K: Hash + Eq> {
    chips: LruCache<K, Arc<OpenedChip>>,
    bytes: usize,
    max_bytes: usize,
}

impl<K: Hash + Eq> OpenedChips<K> {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { chips: LruCache::unbounded(), bytes: 0, max_bytes }
    }

    /// The chip, which becomes the one used last.
    pub(crate) fn get(&mut self, key: &K) -> Option<Arc<OpenedChip>> {
        self.chips.get(key).cloned()
    }

    /// The keys of the chips, the one used last first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.chips.iter().map(|(key, _)| key)
    }

    pub(crate) fn insert(&mut self, key: K, chip: Arc<OpenedChip>) {
        self.bytes += chip.bytes;
        if let Some(replaced) = self.chips.put(key, chip) {
            self.bytes -= replaced.bytes;
        }
        while self.bytes > self.max_bytes && self.chips.len() > 1 {
            if let Some((_, oldest)) = self.chips.pop_lru() {
                self.bytes -= oldest.bytes;
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.chips.clear();
        self.bytes = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.chips.len()
    }

    pub(crate) fn size_in_bytes(&self) -> usize {
        self.bytes
    }
}
