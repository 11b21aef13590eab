//! Encoding a raster into a feature folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use geosam_core::{
    ChipSource, CrsTransform, Error, FeaturePrecision, GridGeoSampler, Progress, Result, Segmenter, Shape, Tiling,
    ValueRange, ValueRangeChoice, Window,
};

use crate::existing::{self, ExistingFolder};
use crate::folder::{FeatureFolder, FolderOptions};
use crate::memory::{ChipBudget, default_max_memory, image_bytes};
use crate::pipeline::Pipeline;
use crate::settings::{FolderSettings, source_state};

/// How a raster is cut into chips and encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureCacheConfig {
    /// Size of a chip in pixels; default the model's image size.
    pub chip: Option<Shape>,
    /// How far apart chips lie; default half a chip.
    pub tiling: Tiling,
    /// The part of the raster to encode; default all of it.
    pub extent: Option<Window>,
    /// Which values become 0 and 255. Settled once, from the extent, as [`ValueRangeChoice::for_preprocess`] has it.
    pub value_range: ValueRangeChoice,
    /// Most bytes of chips that are between raster and disk at once. By default
    /// [`FeatureCacheConfig::DEFAULT_MAX_MEMORY`], or, where the model leaves the processor free ([`Segmenter::leaves_cpu_free`]),
    /// three times what is encoded, up to [`FeatureCacheConfig::MOST_DEFAULT_MEMORY`].
    ///
    /// A chip counts with its image, three bytes a pixel, and its features ([`ModelType::feature_bytes`]) from its reading
    /// until it is on disk: 7 MiB with SAM, 19 MiB with SAM 2, 23.2 MiB with SAM 3. However many chips the raster has, no
    /// more than fit are read ahead and wait to be written; the least is room for three, one in each stage.
    ///
    /// Beside the bound each stage needs its own memory, which does not grow with the number of chips either: reading
    /// one window in the raster's type for each thread and what the raster's library caches, the model its weights and
    /// activations, the writers a file each.
    ///
    /// [`ModelType::feature_bytes`]: geosam_core::ModelType::feature_bytes
    pub max_memory: Option<usize>,
    /// Most chips that are encoded in one call; fewer if no more have been read, or if the model's device turns out not to
    /// hold so many. By default as many as the model asks for ([`Segmenter::batch`]: 1 on a CPU), as long as what is being
    /// encoded is within a third of `max_memory`, so that others are read and written meanwhile.
    pub batch_size: Option<usize>,
    /// Threads that encode, a batch each. By default one, or two where the model leaves the processor free: while the features
    /// of a batch are copied from the device, it computes the next.
    pub encoders: Option<usize>,
    /// Threads that read, each with a handle of its own on the raster: what neighbouring chips share, each decodes or warps
    /// again. By default one, or a quarter of the cores, at most 8, where the model leaves them free.
    pub readers: Option<usize>,
    /// Threads that write: while one waits for the disk, another puts the next file together. By default two, or as many as
    /// read if these are more.
    pub writers: Option<usize>,
    /// Precision of the chip files; the Python systems read [`FeaturePrecision::F32`], the default.
    pub precision: FeaturePrecision,
    /// What becomes of a folder that has features already.
    pub existing: ExistingFolder,
}

impl FeatureCacheConfig {
    /// 256 MiB: 36 chips of SAM, 13 of SAM 2, 11 of SAM 3.
    pub const DEFAULT_MAX_MEMORY: usize = 256 << 20;
    /// 3 GiB: the largest batches that models ask for, 16 chips of SAM 3, twice, take 2.2 with those before and after.
    pub const MOST_DEFAULT_MEMORY: usize = 3 << 30;
}

/// Encodes a raster, chip by chip, into a [`FeatureFolder`].
///
/// Chips without a valid pixel are left out. Which pixels are valid, the raster says: zero is a value like any other unless
/// it is the no-data value.
///
/// Chips are read ahead and written behind on threads of their own while the calling thread encodes, alone or with others, within
/// [`FeatureCacheConfig::max_memory`]. They are taken in row-major order. What is done stays done: the manifest is
/// brought up to date as the work proceeds, and at its end, after an error and after a cancellation too. The next run with
/// the same settings continues there.
#[derive(Debug)]
pub struct FeatureCacheBuilder {
    source: Arc<dyn ChipSource>,
    segmenter: Arc<dyn Segmenter>,
    crs: Arc<dyn CrsTransform>,
    folder: PathBuf,
    config: FeatureCacheConfig,
}

/// What a build did. Of the grid's chips, those without a valid pixel are left out: `chips` are `written`, `skipped` and
/// `resumed` together.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildReport {
    /// The manifest, absolute.
    pub manifest_path: PathBuf,
    /// Chips of the grid.
    pub chips: usize,
    /// Chips encoded and written by this run.
    pub written: usize,
    /// Chips without a valid pixel.
    pub skipped: usize,
    /// Chips that an earlier run had made.
    pub resumed: usize,
    /// Bytes of the chip files written.
    pub bytes: u64,
    /// Where the time went.
    pub timings: StageTimings,
}

/// Where the time of a build went.
///
/// The stages work at the same time, reading and writing on several threads, whose times are added up: so the stages together
/// take more than `wall`. What limits a build is the stage that is always busy, which should be the
/// encoder: [`StageTimings::encoder_idle`] is the number to watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimings {
    /// The whole build, by the clock.
    pub wall: Duration,
    /// Settling the value range, before the first chip.
    pub statistics: Duration,
    /// Reading windows of the raster, warping included.
    pub read: Duration,
    /// Making images of three bytes a pixel of them.
    pub prepare: Duration,
    /// In which the model was at work, its own resizing included, on one thread or several.
    pub encode: Duration,
    /// Writing chips and manifests until they are on disk.
    pub write: Duration,
}

impl StageTimings {
    /// How long the encoder had nothing to do: before the first chip, while chips were read or written too slowly, and
    /// after the last one.
    #[must_use]
    pub fn encoder_idle(&self) -> Duration {
        self.wall.saturating_sub(self.encode)
    }
}

impl FeatureCacheBuilder {
    /// A builder of the folder `folder`.
    pub fn new(
        source: Arc<dyn ChipSource>,
        segmenter: Arc<dyn Segmenter>,
        crs: Arc<dyn CrsTransform>,
        folder: impl AsRef<Path>,
        config: FeatureCacheConfig,
    ) -> Self {
        Self { source, segmenter, crs, folder: folder.as_ref().to_path_buf(), config }
    }

    /// Where the chips will lie.
    ///
    /// # Errors
    /// As [`GridGeoSampler::new`]; [`Error::OutOfBounds`] if the extent leaves the raster.
    pub fn sampler(&self) -> Result<GridGeoSampler> {
        let (extent, chip, stride) = self.layout()?;
        GridGeoSampler::new(extent, chip, stride)
    }

    /// Encode what is missing. `progress` is called from this thread.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when `progress` says so; what reading, encoding and writing return; [`Error::Dataset`] if
    /// no chip holds a valid pixel; [`Error::InvalidArgument`] for a batch size or a number of threads of 0, or a
    /// `max_memory` that is too small, naming the least; see [`FeatureFolder::create`] for folders that exist. In every case
    /// the folder holds what was finished; where that is nothing, no folder is left that was not there before.
    pub fn build(&self, progress: &dyn Progress) -> Result<BuildReport> {
        let FeatureCacheConfig { batch_size, encoders, readers, writers, .. } = self.config;
        let numbers = [("batch size", batch_size), ("encoders", encoders), ("readers", readers), ("writers", writers)];
        for (what, number) in numbers {
            if number == Some(0) {
                return Err(Error::invalid_argument(what, "at least 1", 0));
            }
        }
        let start = Instant::now();
        let sampler = self.sampler()?;
        let bytes_per_chip = image_bytes(sampler.window(0).shape) + self.segmenter.spec().feature_bytes();
        let cpu_is_free = self.segmenter.leaves_cpu_free();
        let several = encoders.unwrap_or(if cpu_is_free { 2 } else { 1 });
        let max_memory = self.config.max_memory.unwrap_or_else(|| {
            let together =
                if cpu_is_free { batch_size.unwrap_or(self.segmenter.batch()).saturating_mul(several) } else { 1 };
            default_max_memory(together, bytes_per_chip)
        });
        let batch_size = batch_size.unwrap_or_else(|| {
            let third = max_memory / bytes_per_chip / 3;
            self.segmenter.batch().min(third / several).max(1)
        });
        let budget = |encoders: usize| ChipBudget::new(max_memory, bytes_per_chip, batch_size.saturating_mul(encoders));
        let (encoders, budget) = match (encoders, budget(several)) {
            (None, Err(_)) => (1, budget(1)?),
            (_, budget) => (several, budget?),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let readers = readers.unwrap_or(if cpu_is_free { (cores / 4).clamp(1, 8) } else { 1 });
        let settings = self.settings(progress).map_err(|error| match error {
            Error::Cancelled { .. } => Error::Cancelled { done: 0, total: sampler.len() },
            other => other,
        })?;
        let statistics = start.elapsed();
        let range = settings.value_range.clone();
        let options = FolderOptions {
            precision: self.config.precision,
            existing: self.config.existing,
            settings: Some(settings),
        };
        let is_new = !self.folder.exists();
        let folder = FeatureFolder::create(&self.folder, self.crs.clone(), options)?;
        let report = Pipeline {
            source: &*self.source,
            segmenter: &*self.segmenter,
            folder: &folder,
            sampler: &sampler,
            range: &range,
            budget: &budget,
            batch_size,
            encoders,
            readers,
            writers: writers.unwrap_or(readers.max(2)),
            progress,
            start,
            statistics,
        }
        .run();
        if report.is_err() {
            existing::remove_empty(&self.folder, is_new);
        }
        report
    }

    fn layout(&self) -> Result<(Window, Shape, Shape)> {
        let grid = self.source.grid();
        let extent = self.config.extent.unwrap_or(Window::whole(grid.shape));
        grid.window(extent)?;
        let chip = self.config.chip.unwrap_or(Shape::square(self.segmenter.spec().image_size));
        Ok((extent, chip, self.config.tiling.stride(chip)))
    }

    fn settings(&self, progress: &dyn Progress) -> Result<FolderSettings> {
        let spec = self.segmenter.spec();
        let (extent, chip, stride) = self.layout()?;
        let choice = self.config.value_range.for_preprocess(spec.preprocess);
        choice.validate()?;
        // Before anything is read: what is read of a raster that changes meanwhile is not of the one found here.
        let source_state = source_state(self.source.source_path());
        let value_range = match self.value_range_of_then(choice, extent, source_state.as_deref()) {
            Some(range) => range,
            None => self.source.value_range(choice, extent, progress)?,
        };
        Ok(FolderSettings {
            source_path: self.source.source_path().to_string(),
            source_state,
            grid: self.source.grid().clone(),
            bands: self.source.bands().to_vec(),
            resampling: self.source.resampling().map(str::to_string),
            value_range,
            value_range_choice: Some(choice),
            model_id: spec.model_id.clone(),
            model_type: spec.model_type,
            origin_checkpoint: spec.checkpoint_path.to_string_lossy().into_owned(),
            fingerprint: spec.fingerprint.clone(),
            preprocess: spec.preprocess,
            encoder_precision: spec.precision,
            extent,
            chip,
            stride,
        })
    }

    /// What an earlier run of this folder settled on, if it read the same file in the same `state` for the same choice.
    ///
    /// A VRT, or a folder that is a raster, stays as it is when files behind it change: those are read again.
    fn value_range_of_then(&self, choice: ValueRangeChoice, extent: Window, state: Option<&str>) -> Option<ValueRange> {
        let path = Path::new(self.source.source_path());
        let is_alone =
            path.is_file() && !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("vrt"));
        if self.config.existing == ExistingFolder::Overwrite || !is_alone {
            return None;
        }
        let then = existing::settings(&self.folder)?;
        let same = then.source_state.as_deref() == state
            && then.value_range_choice == Some(choice)
            && Path::new(&then.source_path) == path
            && then.grid == *self.source.grid()
            && then.bands == self.source.bands()
            && then.resampling.as_deref() == self.source.resampling()
            && then.extent == extent;
        same.then_some(then.value_range)
    }
}
