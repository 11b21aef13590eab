//! The seam to where features live.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::coordinates::Shape;
use crate::error::{Error, Result};
use crate::features::EncodedImageFeatures;
use crate::grid::GeoGrid;
use crate::model::ModelType;

/// One chip of a feature store: where it is on the map and what made it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChipRecord {
    /// Identifier within the store, e.g. `chip_000000`.
    pub chip_id: String,
    /// The chip's pixels on the map.
    pub grid: GeoGrid,
    /// Shape of the model's input.
    pub dst_shape: Shape,
    /// The raster.
    pub source_path: String,
    /// Family of the model.
    pub model_type: ModelType,
    /// Its checkpoint as [`crate::ModelSpec::reference_checkpoint_path`] gives it.
    pub checkpoint_path: String,
    /// Hash of the weights that its features depend on, where the store recorded it.
    pub fingerprint: Option<String>,
}

/// Features by chip.
///
/// # Contract
/// - What was `put` can be read back with `get`, bit for bit unless the store's documentation says it rounds.
/// - `chips` lists what is committed, ordered by `chip_id`; a second `put` of the same `chip_id` replaces the first.
/// - A crash between two calls loses at most what was put since the last `commit`.
/// - `get` of an unknown chip is [`Error::InvalidArgument`].
/// - Safe to call from several threads.
pub trait FeatureStore: Send + Sync + std::fmt::Debug {
    /// Add a chip.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; then nothing of it is left.
    fn put(&self, record: &ChipRecord, features: &EncodedImageFeatures) -> Result<()>;

    /// Make everything put so far visible to readers.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; then the store is as it was at the last commit.
    fn commit(&self) -> Result<()>;

    /// All committed chips, ordered by identifier.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::InvalidFile`]
    fn chips(&self) -> Result<Vec<Arc<ChipRecord>>>;

    /// The features of a chip.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::InvalidFile`], [`Error::InvalidArgument`] for a chip the store does not have.
    fn get(&self, chip_id: &str) -> Result<EncodedImageFeatures>;
}

/// Features in memory, committed as they come.
#[derive(Debug, Default)]
pub struct MemoryFeatureStore {
    chips: RwLock<HashMap<String, (Arc<ChipRecord>, EncodedImageFeatures)>>,
}

impl MemoryFeatureStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl FeatureStore for MemoryFeatureStore {
    fn put(&self, record: &ChipRecord, features: &EncodedImageFeatures) -> Result<()> {
        let mut chips = self.chips.write().unwrap_or_else(PoisonError::into_inner);
        chips.insert(record.chip_id.clone(), (Arc::new(record.clone()), features.clone()));
        Ok(())
    }

    fn commit(&self) -> Result<()> {
        Ok(())
    }

    fn chips(&self) -> Result<Vec<Arc<ChipRecord>>> {
        let chips = self.chips.read().unwrap_or_else(PoisonError::into_inner);
        let mut records: Vec<_> = chips.values().map(|(record, _)| record.clone()).collect();
        records.sort_by(|a, b| a.chip_id.cmp(&b.chip_id));
        Ok(records)
    }

    fn get(&self, chip_id: &str) -> Result<EncodedImageFeatures> {
        let chips = self.chips.read().unwrap_or_else(PoisonError::into_inner);
        chips
            .get(chip_id)
            .map(|(_, features)| features.clone())
            .ok_or_else(|| Error::invalid_argument("chip id", "a chip of the store", chip_id))
    }
}
