//! The chips that a live engine has encoded and keeps.

use std::sync::Arc;

use geosam_core::{PixelBox, PixelPoint, Window};

use crate::opened_chips::{OpenedChip, OpenedChips};

/// Encoded chips of an [`OnlineQueryEngine`](crate::OnlineQueryEngine), kept from query to query by the caller.
///
/// By default it keeps one chip, as Python geosam's does; [`OnlineQueryCache::with_max_bytes`] keeps more, which pays
/// when a user goes back and forth. A cache serves one engine at a time: given to another one, it starts afresh.
#[derive(Debug)]
pub struct OnlineQueryCache {
    chips: OpenedChips<Window>,
    engine: Option<u64>,
}

impl Default for OnlineQueryCache {
    fn default() -> Self {
        Self::new()
    }
}

impl OnlineQueryCache {
    /// A cache of one chip.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_bytes(0)
    }

    /// A cache of as many chips as take `max_bytes` (14 MiB a chip of SAM, 27 of SAM 2, see
    /// [`PromptSession::size_in_bytes`](geosam_core::PromptSession::size_in_bytes)), the least recently
    /// used dropped, and at least one.
    #[must_use]
    pub fn with_max_bytes(max_bytes: usize) -> Self {
        Self { chips: OpenedChips::new(max_bytes), engine: None }
    }

    /// Number of chips kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chips.len()
    }

    /// Whether no chip is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the opened chips take.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        self.chips.size_in_bytes()
    }

    /// Drop all chips, for example because the raster has changed.
    pub fn clear(&mut self) {
        self.chips.clear();
    }

    /// Belong to `engine` from now on.
    pub(crate) fn serve(&mut self, engine: u64) {
        if self.engine.replace(engine) != Some(engine) {
            self.clear();
        }
    }

    /// Of the chips that cover `prompt` the one whose centre is nearest to `center`, all in pixels of the raster.
    pub(crate) fn find(&mut self, prompt: &PixelBox, center: PixelPoint) -> Option<(Window, Arc<OpenedChip>)> {
        let distance = |window: &Window| {
            let column = window.column as f64 + window.shape.width as f64 / 2.0;
            let row = window.row as f64 + window.shape.height as f64 / 2.0;
            (column - center.column).powi(2) + (row - center.row).powi(2)
        };
        let covering = self.chips.keys().filter(|window| covers(window, prompt));
        let window = *covering.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        self.get(window)
    }

    /// The chip of a window, if it is kept.
    pub(crate) fn get(&mut self, window: Window) -> Option<(Window, Arc<OpenedChip>)> {
        Some((window, self.chips.get(&window)?))
    }

    pub(crate) fn insert(&mut self, window: Window, chip: Arc<OpenedChip>) {
        self.chips.insert(window, chip);
    }
}

/// Whether the box lies in the window, edges included.
pub(crate) fn covers(window: &Window, prompt: &PixelBox) -> bool {
    window.column as f64 <= prompt.left
        && window.row as f64 <= prompt.top
        && window.column_end() as f64 >= prompt.right
        && window.row_end() as f64 >= prompt.bottom
}
