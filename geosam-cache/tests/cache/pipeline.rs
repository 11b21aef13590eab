//! The stages together: what they hold, in which order they work, how they stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use geosam_cache::{BuildReport, FeatureCacheBuilder, FeatureCacheConfig, FeatureFolder, describe_feature_source};
use geosam_core::{
    BoundingBox, ChipSource, Crs, CrsDescription, CrsTransform, EncodedImageFeatures, Error, FeaturePayload,
    FeatureStore, FeatureTensor, GeoGrid, ModelImage, ModelSpec, NoProgress, Progress, PromptSession, RasterSample,
    Result, SameCrsOnly, Segmenter, Shape, Tiling, ValueRange, ValueRangeChoice, Window, WorldPoint, encode_and_open,
};

use crate::support::{CancelAfter, FakeModel, FakeRaster, IMAGE_SIZE, builder_with, names};

/// Chips of 64 × 64 pixels whose features fill the family's 4 MiB in proportion to the input: 12 KiB and 256 bytes.
const CHIP: Shape = Shape::square(64);
const CHIP_BYTES: usize = 3 * 64 * 64 + 256 * size_of::<f32>();
const CHIPS: usize = 40;

/// What the stages are about, counted where a chip enters and where its file appears.
#[derive(Debug)]
struct Watch {
    raster: FakeRaster,
    model: FakeModel,
    folder: PathBuf,
    read_pause: Duration,
    encode_pause: Duration,
    most: AtomicUsize,
    reading: AtomicUsize,
    most_reading: AtomicUsize,
}

impl Watch {
    fn new(folder: &Path, read_pause: u64, encode_pause: u64) -> Arc<Self> {
        Arc::new(Self {
            raster: FakeRaster::new(CHIP.height, CHIP.width + CHIPS - 1),
            model: FakeModel::new(),
            folder: folder.join("features"),
            read_pause: Duration::from_millis(read_pause),
            encode_pause: Duration::from_millis(encode_pause),
            most: AtomicUsize::new(0),
            reading: AtomicUsize::new(0),
            most_reading: AtomicUsize::new(0),
        })
    }

    /// Chips that have been read and are not on disk. A chip is counted before it is read and until its file has appeared,
    /// so that this is never too few.
    fn look(&self) {
        let begun = self.raster.reads.load(Ordering::SeqCst);
        let on_disk = names(&self.folder).iter().filter(|name| name.starts_with("chip_")).count();
        self.most.fetch_max(begun - on_disk, Ordering::SeqCst);
    }

    fn build(self: &Arc<Self>, folder: &Path, max_memory: usize, batch_size: usize) -> Result<BuildReport> {
        self.build_with(folder, max_memory, &FeatureCacheConfig { batch_size: Some(batch_size), ..Default::default() })
    }

    fn build_with(
        self: &Arc<Self>,
        folder: &Path,
        max_memory: usize,
        config: &FeatureCacheConfig,
    ) -> Result<BuildReport> {
        let tiling = Tiling::Stride(Shape::new(CHIP.height, 1));
        let config = FeatureCacheConfig { chip: Some(CHIP), tiling, max_memory: Some(max_memory), ..config.clone() };
        FeatureCacheBuilder::new(self.clone(), self.clone(), Arc::new(SameCrsOnly), folder, config).build(&NoProgress)
    }
}

impl ChipSource for Watch {
    fn grid(&self) -> &GeoGrid {
        self.raster.grid()
    }

    fn source_path(&self) -> &str {
        self.raster.source_path()
    }

    fn bands(&self) -> &[usize] {
        self.raster.bands()
    }

    fn read(&self, window: Window) -> Result<RasterSample> {
        self.most_reading.fetch_max(self.reading.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Of three chips the first takes longest: several readers have the others earlier.
        std::thread::sleep(if window.column % 3 == 0 { 2 * self.read_pause } else { self.read_pause });
        let sample = self.raster.read(window);
        self.reading.fetch_sub(1, Ordering::SeqCst);
        self.look();
        sample
    }

    fn value_range(&self, choice: ValueRangeChoice, extent: Window, progress: &dyn Progress) -> Result<ValueRange> {
        self.raster.value_range(choice, extent, progress)
    }
}

impl Segmenter for Watch {
    fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        std::thread::sleep(self.encode_pause);
        self.look();
        let mut features = self.model.encode(images)?;
        for features in &mut features {
            // As many as `IMAGE_SIZE` pixels make in SAM: one place of 256 values.
            features.payload = FeaturePayload::Sam(FeatureTensor::new(vec![1, 256, 1, 1], vec![0.5; 256])?);
        }
        Ok(features)
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        self.model.open(features)
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

#[test]
fn chips_on_their_way_never_exceed_the_bound() {
    assert_eq!(IMAGE_SIZE.div_ceil(16), 1);
    // Whichever stage is slow; a batch of four; the least that is accepted.
    for (read_pause, encode_pause, batch, chips) in
        [(0, 1, 1, 8), (1, 0, 1, 8), (0, 1, 4, 8), (0, 1, 1, 3), (0, 0, 4, 6)]
    {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::new(folder.path(), read_pause, encode_pause);
        let report = watch.build(folder.path(), chips * CHIP_BYTES + CHIP_BYTES / 2, batch).unwrap();
        assert_eq!(report.written, CHIPS);
        let most = watch.most.load(Ordering::SeqCst);
        assert!((1..=chips).contains(&most), "{most} chips at once, {chips} fit");
        assert_eq!(watch.most_reading.load(Ordering::SeqCst), 1, "a model that needs the processor has one reader");
    }
}

#[test]
fn several_readers_keep_the_bound_and_do_not_wait_for_each_other() {
    // More readers than there is room for, too.
    for (readers, batch, chips) in [(3, 1, 8), (3, 4, 6), (8, 1, 3)] {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::new(folder.path(), 2, 0);
        let config = FeatureCacheConfig {
            readers: Some(readers),
            batch_size: Some(batch),
            writers: Some(3),
            ..Default::default()
        };
        let report = watch.build_with(folder.path(), chips * CHIP_BYTES, &config).unwrap();
        assert_eq!(report.written, CHIPS);
        let most = watch.most.load(Ordering::SeqCst);
        assert!((1..=chips).contains(&most), "{most} chips at once, {chips} fit");
        let most_reading = watch.most_reading.load(Ordering::SeqCst);
        assert!((2..=readers.min(chips)).contains(&most_reading), "{most_reading} of {readers} readers at once");
    }
}

#[test]
fn the_bound_is_used_where_the_encoder_is_slow() {
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch::new(folder.path(), 0, 5);
    watch.build(folder.path(), 8 * CHIP_BYTES, 1).unwrap();
    assert!(watch.most.load(Ordering::SeqCst) > 3, "the readers never got ahead of the encoder");
}

#[test]
fn a_bound_below_one_chip_in_each_stage_is_refused_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new");
    let watch = Watch::new(&out, 0, 0);
    let error = watch.build(&out, 3 * CHIP_BYTES - 1, 1).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { parameter: "max memory", .. }), "{error}");
    assert!(error.to_string().contains("for 3 chips"), "{error}");
    assert!(watch.build(&out, 4 * CHIP_BYTES, 3).is_err(), "five chips, with a batch of three");
    assert!(!out.exists());
    assert_eq!(watch.build(&out, 3 * CHIP_BYTES, 1).unwrap().written, CHIPS);
}

#[test]
fn a_second_encoder_is_done_without_where_memory_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let model = OutOfMemory::new(usize::MAX);
    let build = |max_memory, encoders| {
        let max_memory = Some(max_memory);
        let config = FeatureCacheConfig { max_memory, encoders, batch_size: Some(3), ..FeatureCacheConfig::default() };
        let raster = Arc::new(FakeRaster::new(8, 44));
        FeatureCacheBuilder::new(raster, model.clone(), Arc::new(SameCrsOnly), folder.path(), config).build(&NoProgress)
    };
    let bytes = 3 * 8 * 8 + model.spec().feature_bytes();
    let error = build(5 * bytes - 1, None).unwrap_err().to_string();
    assert!(error.contains("for 5 chips"), "{error}");
    let error = build(5 * bytes, Some(2)).unwrap_err().to_string();
    assert!(error.contains("for 8 chips"), "{error}");
    assert_eq!(build(5 * bytes, None).unwrap().written, 10);
}

/// Notes the first byte of each image: with [`FakeRaster`] its first column.
#[derive(Debug)]
struct Order(FakeModel, std::sync::Mutex<Vec<u8>>);

impl Segmenter for Order {
    fn spec(&self) -> &ModelSpec {
        self.0.spec()
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        self.1.lock().unwrap().extend(images.iter().map(|image| image.rgb()[0]));
        self.0.encode(images)
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        self.0.open(features)
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

#[test]
fn chips_are_encoded_and_listed_in_the_order_of_the_windows() {
    for readers in [1, 4] {
        let folder = tempfile::tempdir().unwrap();
        let raster = Watch::new(folder.path(), 1, 0);
        let model = Arc::new(Order(FakeModel::new(), Default::default()));
        let crs = Arc::new(SameCrsOnly);
        let config = FeatureCacheConfig {
            chip: Some(CHIP),
            tiling: Tiling::Stride(Shape::new(CHIP.height, 1)),
            readers: Some(readers),
            ..FeatureCacheConfig::default()
        };
        FeatureCacheBuilder::new(raster, model.clone(), crs, folder.path(), config).build(&NoProgress).unwrap();
        assert_eq!(*model.1.lock().unwrap(), (0..CHIPS as u8).collect::<Vec<_>>());
        let chips = FeatureFolder::open(folder.path()).unwrap().chips().unwrap();
        let ids: Vec<_> = chips.iter().map(|chip| chip.chip_id.clone()).collect();
        assert_eq!(ids, (0..CHIPS).map(|i| format!("chip_{i:06}")).collect::<Vec<_>>());
    }
}

/// A model of which each call waits, up to ten seconds, until two have been under way at once.
#[derive(Debug)]
struct Together {
    model: FakeModel,
    batch: usize,
    inside: Mutex<[usize; 2]>,
    changed: Condvar,
}

impl Segmenter for Together {
    fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        let mut state = self.inside.lock().unwrap();
        state[0] += 1;
        state[1] = state[1].max(state[0]);
        self.changed.notify_all();
        let alone = |[_, most]: &mut [usize; 2]| *most < 2;
        drop(self.changed.wait_timeout_while(state, Duration::from_secs(10), alone).unwrap());
        let features = self.model.encode(images);
        self.inside.lock().unwrap()[0] -= 1;
        features
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn leaves_cpu_free(&self) -> bool {
        true
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        self.model.open(features)
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

/// Notes what it is told, and by whom.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<(ThreadId, f64)>>);

impl Progress for Notes {
    fn set_progress(&self, percent: f64) {
        self.0.lock().unwrap().push((std::thread::current().id(), percent));
    }

    fn push_info(&self, _message: &str) {}

    fn is_canceled(&self) -> bool {
        false
    }
}

#[test]
fn a_model_that_leaves_the_processor_free_has_two_batches_under_way_and_the_folder_is_the_same() {
    let build = |folder: &Path, batch, encoders| {
        let (inside, changed) = Default::default();
        let model = Arc::new(Together { model: FakeModel::new(), batch, inside, changed });
        let raster = Watch::new(folder, 0, 0);
        let config = FeatureCacheConfig {
            chip: Some(CHIP),
            tiling: Tiling::Stride(Shape::new(CHIP.height, 1)),
            encoders,
            ..FeatureCacheConfig::default()
        };
        let progress = Notes::default();
        let report = FeatureCacheBuilder::new(raster, model.clone(), Arc::new(SameCrsOnly), folder, config)
            .build(&progress)
            .unwrap();
        assert_eq!((report.written, report.skipped), (CHIPS, 0));
        assert!(report.timings.encode < report.timings.wall);
        let notes = progress.0.into_inner().unwrap();
        assert!(notes.iter().all(|(thread, _)| *thread == std::thread::current().id()));
        assert!(notes.is_sorted_by(|a, b| a.1 <= b.1) && notes.len() == CHIPS + 1, "{notes:?}");
        let most = model.inside.lock().unwrap()[1];
        (most, FeatureFolder::open(folder).unwrap())
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (most, two) = build(folders[0].path(), 4, None);
    assert_eq!(most, 2);
    let (most, three) = build(folders[1].path(), 4, Some(3));
    assert!((2..=3).contains(&most), "{most}");
    let (most, single) = build(folders[2].path(), 1, None);
    assert_eq!(most, 2, "of a chip each");
    assert_eq!(two.chips().unwrap().len(), CHIPS);
    for other in [three, single] {
        assert_eq!(two.chips().unwrap(), other.chips().unwrap());
        for chip in two.chips().unwrap() {
            assert_eq!(two.get(&chip.chip_id).unwrap(), other.get(&chip.chip_id).unwrap());
        }
    }
}

/// A CRS database that fails in the middle of a run, where only writers ask it.
#[derive(Debug)]
struct FailingCrs {
    asked: AtomicUsize,
    fail_at: Option<usize>,
}

impl CrsTransform for FailingCrs {
    fn describe(&self, crs: &Crs) -> Result<CrsDescription> {
        if Some(self.asked.fetch_add(1, Ordering::SeqCst)) == self.fail_at {
            return Err(Error::Crs { crs: crs.to_string(), reason: "the database is gone".to_string(), source: None });
        }
        SameCrsOnly.describe(crs)
    }

    fn equivalent(&self, a: &Crs, b: &Crs) -> Result<bool> {
        SameCrsOnly.equivalent(a, b)
    }

    fn transform_points(&self, from: &Crs, to: &Crs, points: &mut [WorldPoint]) -> Result<()> {
        SameCrsOnly.transform_points(from, to, points)
    }

    fn transform_bounds(&self, bounds: &BoundingBox, to: &Crs) -> Result<BoundingBox> {
        SameCrsOnly.transform_bounds(bounds, to)
    }
}

/// Encode ten chips into `folder`, stopped by what is named; with several readers or encoders if it is one of them.
fn build_stopped_by(what: &str, folder: &Path) -> Result<BuildReport> {
    let fail_at = |who: &str, number| (what == who).then_some(number);
    let [readers, encoders] = ["readers", "encoders"].map(|who| what == format!("one of several {who}"));
    let raster = FakeRaster { fail_at: (readers || what == "reader").then_some(4), ..FakeRaster::new(8, 44) };
    let model = FakeModel { fail_at: (encoders || what == "encoder").then_some(4), ..FakeModel::new() };
    let crs = FailingCrs { asked: AtomicUsize::new(0), fail_at: fail_at("writer", 5) };
    let progress = CancelAfter::new(fail_at("caller", 4).unwrap_or(usize::MAX));
    let config = FeatureCacheConfig {
        readers: readers.then_some(3),
        encoders: encoders.then_some(3),
        ..FeatureCacheConfig::default()
    };
    FeatureCacheBuilder::new(Arc::new(raster), Arc::new(model), Arc::new(crs), folder, config).build(&progress)
}

#[test]
fn a_run_that_stops_in_any_stage_says_why_and_is_continued() {
    let whole = tempfile::tempdir().unwrap();
    build_stopped_by("nothing", whole.path()).unwrap();
    let expected = FeatureFolder::open(whole.path()).unwrap();

    let reasons = [
        ("reader", "truncated"),
        ("one of several readers", "truncated"),
        ("encoder", "this chip"),
        ("one of several encoders", "this chip"),
        ("writer", "database is gone"),
        ("caller", "cancelled"),
    ];
    for (what, reason) in reasons {
        let folder = tempfile::tempdir().unwrap();
        let error = build_stopped_by(what, folder.path()).unwrap_err().to_string();
        assert!(error.contains(reason), "{what}: {error}");
        // What was encoded is kept. How much that was when the raster or the disk failed, is chance.
        let kept = describe_feature_source(folder.path()).map_or(0, |kept| {
            assert!(!kept.complete, "{what}");
            kept.chip_count
        });
        let expected_kept = match what {
            "reader" => 0..=4,
            // Two others may have gone ahead, to windows before the one that failed.
            "one of several readers" => 0..=6,
            // Nor do the others stop in the middle of a chip.
            "one of several encoders" => 4..=9,
            "writer" => 1..=9,
            _ => 4..=4,
        };
        assert!(expected_kept.contains(&kept), "{what}: {kept} chips kept");
        let features = folder.path().join("features");
        assert!(features.exists() || kept == 0, "{what}: a folder without chips is not left");
        let files = if features.exists() { names(&features) } else { Vec::new() };
        assert!(files.iter().all(|name| !name.ends_with(".tmp")), "{what}: {files:?}");

        let report = build_stopped_by("nothing", folder.path()).unwrap();
        assert_eq!((report.resumed, report.written), (kept, 10 - kept), "{what}");
        assert!(describe_feature_source(folder.path()).unwrap().complete);
        let continued = FeatureFolder::open(folder.path()).unwrap();
        assert_eq!(continued.chips().unwrap(), expected.chips().unwrap());
        for chip in expected.chips().unwrap() {
            assert_eq!(continued.get(&chip.chip_id).unwrap(), expected.get(&chip.chip_id).unwrap());
        }
    }
}

/// A model that panics: a program's own may.
#[derive(Debug)]
struct Panicking(FakeModel);

impl Segmenter for Panicking {
    fn spec(&self) -> &ModelSpec {
        self.0.spec()
    }

    fn encode(&self, _images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        std::panic::resume_unwind(Box::new("without a message"))
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        self.0.open(features)
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

#[test]
fn a_panic_ends_the_run_and_does_not_hang() {
    let folder = tempfile::tempdir().unwrap();
    let (raster, model) = (Arc::new(FakeRaster::new(8, 44)), Arc::new(Panicking(FakeModel::new())));
    let config = FeatureCacheConfig { max_memory: Some(4 << 10), ..FeatureCacheConfig::default() };
    let builder = FeatureCacheBuilder::new(raster, model, Arc::new(SameCrsOnly), folder.path(), config);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.build(&NoProgress)));
    assert!(caught.is_err());
}

/// A model on a device whose memory holds so many chips at once, whoever asks for them, though it thinks of more.
#[derive(Debug)]
struct OutOfMemory {
    model: FakeModel,
    holds: usize,
    inside: AtomicUsize,
    asked: Mutex<Vec<usize>>,
}

impl OutOfMemory {
    fn new(holds: usize) -> Arc<Self> {
        let (inside, asked) = Default::default();
        Arc::new(Self { model: FakeModel::new(), holds, inside, asked })
    }
}

impl Segmenter for OutOfMemory {
    fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        self.asked.lock().unwrap().push(images.len());
        let inside = self.inside.fetch_add(images.len(), Ordering::SeqCst) + images.len();
        // Long enough for others to come.
        std::thread::sleep(Duration::from_millis(2));
        let features = if inside > self.holds {
            Err(Error::TooLarge {
                what: format!("encoding {} chips at once", images.len()),
                found: "its tensors".to_string(),
                limit: "the memory of a test".to_string(),
                remedy: "give it fewer",
            })
        } else {
            self.model.encode(images)
        };
        self.inside.fetch_sub(images.len(), Ordering::SeqCst);
        features
    }

    fn batch(&self) -> usize {
        8
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        self.model.open(features)
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

#[test]
fn batches_are_halved_until_the_device_holds_them() {
    let build = |holds, folder: &Path| {
        let model = OutOfMemory::new(holds);
        let raster = Arc::new(FakeRaster::new(20, 20));
        let config =
            FeatureCacheConfig { chip: Some(Shape::square(8)), encoders: Some(1), ..FeatureCacheConfig::default() };
        let builder = FeatureCacheBuilder::new(raster, model.clone(), Arc::new(SameCrsOnly), folder, config);
        let report = builder.build(&NoProgress);
        (report, std::mem::take(&mut *model.asked.lock().unwrap()))
    };
    let (plenty, three, none) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (report, asked) = build(usize::MAX, plenty.path());
    let chips = report.unwrap().written;
    assert!(asked.iter().all(|&count| count <= 8) && asked.iter().sum::<usize>() == chips, "{asked:?}");
    assert!(asked.contains(&8), "chips are waited for, up to the batch: {asked:?}");

    let (report, asked) = build(3, three.path());
    assert_eq!(report.unwrap().written, chips);
    // What failed once is not tried again.
    assert!(asked.starts_with(&[8, 4, 2]) && asked[3..].iter().all(|&count| count <= 2), "{asked:?}");
    let folders = [plenty.path(), three.path()].map(|path| FeatureFolder::open(path).unwrap());
    for chip in folders[0].chips().unwrap() {
        let [plenty, three] = folders.each_ref().map(|folder| folder.get(&chip.chip_id).unwrap());
        assert_eq!(plenty, three);
    }

    let (report, asked) = build(0, none.path());
    assert!(matches!(&report, Err(Error::TooLarge { what, .. }) if what == "encoding 1 chips at once"), "{report:?}");
    assert_eq!(asked, [8, 4, 2, 1]);
}

#[test]
fn encoders_of_which_the_device_does_not_hold_a_chip_each_take_turns() {
    let model = OutOfMemory::new(1);
    let raster = Arc::new(FakeRaster::new(20, 20));
    let (chip, batch_size) = (Some(Shape::square(8)), Some(1));
    let config = FeatureCacheConfig { chip, batch_size, ..FeatureCacheConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let builder = FeatureCacheBuilder::new(raster, model.clone(), Arc::new(SameCrsOnly), folder.path(), config);
    let chips = builder.build(&NoProgress).unwrap().written;
    let asked = model.asked.lock().unwrap().len();
    assert!(asked > chips, "{asked} calls for {chips} chips: none was refused beside the other");
}

#[test]
fn the_stages_timings_are_consistent() {
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch::new(folder.path(), 2, 3);
    let timings = watch.build(folder.path(), 8 * CHIP_BYTES, 1).unwrap().timings;
    // Sleeping takes at least as long as it is told, and the encoder works on one thread.
    assert!(timings.read >= CHIPS as u32 * Duration::from_millis(2));
    assert!(timings.encode >= CHIPS as u32 * Duration::from_millis(3));
    assert!(timings.prepare > Duration::ZERO && timings.write > Duration::ZERO);
    assert!(timings.encode < timings.wall && timings.statistics < timings.wall);
    assert_eq!(timings.encoder_idle() + timings.encode, timings.wall);

    // Nothing to do: nothing read, encoded or prepared.
    let raster = Arc::new(FakeRaster::new(8, 20));
    let again =
        || builder_with(raster.clone(), Arc::new(FakeModel::new()), &folder.path().join("b"), Default::default());
    again().build(&NoProgress).unwrap();
    let timings = again().build(&NoProgress).unwrap().timings;
    assert_eq!((timings.read, timings.prepare, timings.encode), Default::default());
    assert_eq!(timings.encoder_idle(), timings.wall);
}
