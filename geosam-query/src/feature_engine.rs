//! Queries against features that were encoded before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use geosam_core::{
    ChipRecord, Crs, CrsTransform, Error, FeatureStore, ModelSpec, PixelPrompt, PredictOptions, Prediction,
    PromptSession, PromptSet, Result, Segmenter,
};

use crate::chip_index::ChipIndex;
use crate::opened_chips::{OpenedChip, OpenedChips};
use crate::result::QueryResult;

/// Most prompts that one call of the decoder answers: it bounds the memory of its output.
const PROMPTS_PER_CALL: usize = 16;

/// How a [`FeatureQueryEngine`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureQueryOptions {
    /// Most bytes that opened chips hold between queries, on the model's device, default 512 MiB: 36 chips of SAM, 19
    /// of SAM 2, 15 of SAM 3. The chip used last always stays.
    pub max_opened_bytes: usize,
}

impl Default for FeatureQueryOptions {
    fn default() -> Self {
        Self { max_opened_bytes: 512 << 20 }
    }
}

/// Answers prompts from a feature store, without the raster and without encoding.
///
/// Among the chips that cover a prompt the one whose centre is nearest to the prompt's answers it. It may be shared by
/// several threads.
#[derive(Debug)]
pub struct FeatureQueryEngine {
    store: Arc<dyn FeatureStore>,
    segmenter: Arc<dyn Segmenter>,
    transform: Arc<dyn CrsTransform>,
    crs: Crs,
    index: ChipIndex,
    opened: Mutex<OpenedChips<usize>>,
}

impl FeatureQueryEngine {
    /// An engine on the chips that `store` lists now.
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] if another model made a chip: another hash of the weights where both are known, else
    /// another checkpoint file name or family. [`Error::InvalidArgument`] for a store without chips or with several
    /// CRSs.
    pub fn new(
        store: Arc<dyn FeatureStore>,
        segmenter: Arc<dyn Segmenter>,
        transform: Arc<dyn CrsTransform>,
        options: FeatureQueryOptions,
    ) -> Result<Self> {
        let chips = store.chips()?;
        let Some(first) = chips.first() else {
            return Err(Error::invalid_argument("feature store", "at least one chip", "none"));
        };
        let crs = first.grid.crs.clone();
        if let Some(other) = chips.iter().find(|chip| chip.grid.crs != crs) {
            let found = format!("{crs} and {}", other.grid.crs);
            return Err(Error::invalid_argument("feature store", "one CRS for all chips", found));
        }
        chips.iter().try_for_each(|chip| check_model(chip, segmenter.spec()))?;
        let opened = Mutex::new(OpenedChips::new(options.max_opened_bytes));
        Ok(Self { store, segmenter, transform, crs, index: ChipIndex::new(chips), opened })
    }

    /// CRS of the chips, in which results come.
    #[must_use]
    pub fn crs(&self) -> &Crs {
        &self.crs
    }

    /// The chips, ordered by identifier.
    #[must_use]
    pub fn chips(&self) -> &[Arc<ChipRecord>] {
        self.index.chips()
    }

    /// The chip that answers a prompt.
    ///
    /// # Errors
    /// As [`FeatureQueryEngine::query`], before anything is read.
    pub fn chip_for(&self, prompt: &PromptSet) -> Result<Arc<ChipRecord>> {
        let placed = self.place(0, prompt)?;
        Ok(self.index.chips()[placed.chip].clone())
    }

    /// Answer one prompt.
    ///
    /// # Errors
    /// [`Error::MissingCrs`] for a prompt without CRS, [`Error::Crs`] if it cannot be reprojected,
    /// [`Error::NotCovered`] if no chip covers it, [`Error::InvalidArgument`] if the chip that its mask belongs to does not,
    /// and what reading the chip and decoding return.
    pub fn query(&self, prompt: &PromptSet, options: PredictOptions) -> Result<QueryResult> {
        let placed = self.place(0, prompt)?;
        let chip = self.open(placed.chip)?;
        let prediction = predict_one(&chip, &placed.pixels, options)?;
        Ok(self.result(&placed, prediction))
    }

    /// Answer many prompts, each chip opened once. One result for each prompt, in order.
    ///
    /// Every result holds masks of a whole chip, one byte a pixel; [`FeatureQueryEngine::query_each`] hands them over
    /// one by one.
    pub fn query_many(&self, prompts: &[PromptSet], options: PredictOptions) -> Vec<Result<QueryResult>> {
        let mut results: Vec<Option<Result<QueryResult>>> = prompts.iter().map(|_| None).collect();
        self.query_each(prompts, options, |index, result| results[index] = Some(result));
        // Every prompt is answered.
        results.into_iter().flatten().collect()
    }

    /// Answer many prompts, each chip opened once, and hand each result with its prompt's index to `take`: first the
    /// prompts that no chip answers, then chip by chip.
    pub fn query_each(
        &self,
        prompts: &[PromptSet],
        options: PredictOptions,
        mut take: impl FnMut(usize, Result<QueryResult>),
    ) {
        let mut by_chip: BTreeMap<usize, Vec<Placed>> = BTreeMap::new();
        for (index, prompt) in prompts.iter().enumerate() {
            match self.place(index, prompt) {
                Ok(placed) => by_chip.entry(placed.chip).or_default().push(placed),
                Err(error) => take(index, Err(error)),
            }
        }
        for (chip, placed) in by_chip {
            // Errors are not copied: where the chip does not open, every prompt tries.
            let opened = self.open(chip);
            for some in placed.chunks(PROMPTS_PER_CALL) {
                match &opened {
                    Ok(opened) => self.answer(opened, some, options, &mut take),
                    Err(_) => some.iter().for_each(|placed| {
                        take(placed.index, self.query(&prompts[placed.index], options));
                    }),
                }
            }
        }
    }

    /// All prompts in one call of the decoder; one by one if one of them makes it fail, so that the others are
    /// answered.
    fn answer(
        &self,
        chip: &OpenedChip,
        placed: &[Placed],
        options: PredictOptions,
        take: &mut impl FnMut(usize, Result<QueryResult>),
    ) {
        let pixels: Vec<_> = placed.iter().map(|placed| placed.pixels.clone()).collect();
        match chip.predict(&pixels, options) {
            Ok(predictions) if predictions.len() == placed.len() => {
                for (placed, prediction) in placed.iter().zip(predictions) {
                    take(placed.index, Ok(self.result(placed, prediction)));
                }
            }
            _ => {
                for placed in placed {
                    let prediction = predict_one(chip, &placed.pixels, options);
                    take(placed.index, prediction.map(|prediction| self.result(placed, prediction)));
                }
            }
        }
    }

    fn place(&self, index: usize, prompt: &PromptSet) -> Result<Placed> {
        let prompt = prompt.to_crs(&self.crs, &*self.transform)?;
        let (chip, pixels) = self.index.find(&prompt, &*self.transform)?;
        Ok(Placed { index, chip, prompt, pixels })
    }

    fn open(&self, chip: usize) -> Result<Arc<OpenedChip>> {
        let cached = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = cached().get(&chip) {
            return Ok(opened);
        }
        // Not under the lock: other chips can be asked meanwhile.
        let session = open_features(&*self.store, &self.index.chips()[chip], &*self.segmenter)?;
        let opened = OpenedChip::new(session);
        cached().insert(chip, opened.clone());
        Ok(opened)
    }

    fn result(&self, placed: &Placed, prediction: Prediction) -> QueryResult {
        let chip = &self.index.chips()[placed.chip];
        let id = Some(&*chip.chip_id);
        QueryResult::new(prediction, &placed.prompt, &chip.grid, &chip.source_path, id, chip.model_type)
    }
}

/// A prompt on the chip that answers it.
#[derive(Debug)]
struct Placed {
    /// Of the prompt, as the caller counts.
    index: usize,
    chip: usize,
    /// In the chips' CRS.
    prompt: PromptSet,
    pixels: PixelPrompt,
}

/// The answer to one prompt.
pub(crate) fn predict_one(chip: &OpenedChip, pixels: &PixelPrompt, options: PredictOptions) -> Result<Prediction> {
    let mut predictions = chip.predict(std::slice::from_ref(pixels), options)?;
    match (predictions.pop(), predictions.is_empty()) {
        (Some(prediction), true) => Ok(prediction),
        (None, _) => Err(Error::invalid_argument("segmenter", "one prediction for a prompt", "none")),
        (Some(_), false) => Err(Error::invalid_argument("segmenter", "one prediction for a prompt", "several")),
    }
}

/// The features of a chip, opened. Where hashes say that the model's encoder made them, the name of its file does not count.
pub(crate) fn open_features(
    store: &dyn FeatureStore,
    chip: &ChipRecord,
    segmenter: &dyn Segmenter,
) -> Result<Box<dyn PromptSession>> {
    let (mut features, spec) = (store.get(&chip.chip_id)?, segmenter.spec());
    if chip.fingerprint.is_some() && chip.fingerprint == spec.fingerprint {
        features.checkpoint_path = spec.reference_checkpoint_path().to_string_lossy().into_owned();
    }
    segmenter.open(&features)
}

pub(crate) fn check_model(chip: &ChipRecord, spec: &ModelSpec) -> Result<()> {
    let recorded = Path::new(&chip.checkpoint_path);
    let reference = spec.reference_checkpoint_path();
    let name = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or(path).to_string();
    let (theirs, ours) = (name(&recorded.to_string_lossy()), name(&reference.to_string_lossy()));
    let same_weights = match (&chip.fingerprint, &spec.fingerprint) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => theirs == ours,
    };
    if same_weights && chip.model_type == spec.model_type {
        return Ok(());
    }
    let describe = |name: &str, model_type, fingerprint: &Option<String>| match fingerprint {
        Some(hash) => format!("{name} ({model_type}, encoder {})", hash.get(..12).unwrap_or(hash)),
        None => format!("{name} ({model_type})"),
    };
    Err(Error::ModelMismatch {
        expected: describe(&ours, spec.model_type, &spec.fingerprint),
        found: describe(&theirs, chip.model_type, &chip.fingerprint),
    })
}
