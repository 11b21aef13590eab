//! The pipeline of encoding alone: raster → stub encoder of a fixed duration → feature folder, and how long the encoder
//! has to wait.
//!
//! ```sh
//! cargo bench --bench pipeline                    # every case, some minutes, needs 5 GB of disk
//! cargo bench --bench pipeline -- --dir /mnt/data # elsewhere than in the system's folder for temporary files
//! cargo bench --bench pipeline -- --alone         # reading alone and writing alone, on one, two and four threads
//! ```
//!
//! A raster of 8192 × 8192 pixels (8-bit RGB, a tiled and deflated GeoTIFF), read as it is and warped to another CRS, is
//! cut into 225 chips of 1024 every 512. Each case has a process of its own, whose peak resident memory is its own too; a
//! quarter, a half and all of the chips tell whether it grows with their number. The files are flushed to the disk like
//! those of `geosam encode`, and deleted after each case. Of the time that the encoder was idle, `before + after` is what
//! passed before the first chip and after the last; read, prepare and write are for each chip.

#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use geosam::{
    Affine, ChipRecord, ChipSource, Crs, EncodedImageFeatures, Error, FeatureCacheBuilder, FeatureCacheConfig,
    FeatureFolder, FeaturePayload, FeatureStore, FeatureTensor, FolderOptions, GeoGrid, GridGeoSampler, ModelImage,
    ModelSpec, ModelType, NoProgress, Osr, Pixels, Precision, Preprocess, PromptSession, RasterDataset, RasterOptions,
    Result, Segmenter, Shape, Tiling, ValueRange, Window, encode_and_open, set_cache_size, write_raster,
};

const RASTER: Shape = Shape::square(8192);
const STRIDE: Shape = Shape::square(512);
/// Blocks that GDAL keeps, decoded and warped: a row of chips and more, but so few that a quarter of the raster fills the
/// cache.
const CACHE_BYTES: u64 = 32 << 20;
const CACHE_BYTES_WARPED: u64 = 96 << 20;
/// Threads of a stage by itself.
const THREADS: [usize; 3] = [1, 2, 4];

/// One measurement.
#[derive(Clone, Copy)]
struct Case {
    warped: bool,
    model: ModelType,
    encode: Duration,
    /// Rows of chips, of 15.
    rows: usize,
}

fn main() -> Result<()> {
    // cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => in_folder(&std::env::temp_dir(), compare),
        ["--dir", folder] => in_folder(Path::new(folder), compare),
        ["--alone"] => in_folder(&std::env::temp_dir(), stages_alone),
        ["--alone", "--dir", folder] => in_folder(Path::new(folder), stages_alone),
        ["--case", folder, warped, model, encode, rows] => {
            let number = |text: &str| text.parse().map_err(|_| Error::invalid_argument("case", "a number", text));
            run(
                Path::new(folder),
                Case {
                    warped: warped == "true",
                    model: model.parse()?,
                    encode: Duration::from_millis(number(encode)? as u64),
                    rows: number(rows)?,
                },
            )
        }
        _ => Err(Error::invalid_argument("argument", "--alone, --dir DIR or nothing", arguments.join(" "))),
    }
}

/// Run `measure` in a folder below `parent` that has the raster, and remove it.
fn in_folder(parent: &Path, measure: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = parent.join(format!("geosam-pipeline-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|source| Error::io("create", &folder, source))?;
    let result = draw(&raster_path(&folder)).and_then(|()| measure(&folder));
    std::fs::remove_dir_all(&folder).map_err(|source| Error::io("remove", &folder, source))?;
    result
}

/// Every case in a process of its own, and a table of them.
fn compare(folder: &Path) -> Result<()> {
    println!(
        "| raster | features | encoder | chips | wall | idle | before + after | read | prepare | write | peak memory |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    cases().into_iter().try_for_each(|case| in_own_process(folder, case))
}

/// Chips a second of reading alone and of writing alone, by the number of threads.
fn stages_alone(folder: &Path) -> Result<()> {
    println!("| chips a second | 1 thread | 2 threads | 4 threads |\n|---|--:|--:|--:|");
    let row = |what: String, rates: [Result<f64>; 3]| {
        let [one, two, four] = rates;
        println!("| {what} | {:.1} | {:.1} | {:.1} |", one?, two?, four?);
        Ok(())
    };
    for warped in [false, true] {
        let rates = THREADS.map(|threads| rate_of_reading(folder, warped, threads));
        row(format!("read, {}", if warped { "warped" } else { "as it is" }), rates)?;
    }
    for model in [ModelType::Sam, ModelType::Sam2] {
        let rates = THREADS.map(|threads| rate_of_writing(folder, model, threads));
        row(format!("written, {:.0} MiB each", mib(model.feature_bytes() as u64)), rates)?;
    }
    Ok(())
}

/// From opening the raster to the last image of three bytes a pixel.
fn rate_of_reading(folder: &Path, warped: bool, threads: usize) -> Result<f64> {
    let raster = open(folder, warped)?;
    let (chip, whole) = (Shape::square(1024), raster.grid().shape);
    let extent = middle(whole, Shape::new(chip.height + 7 * STRIDE.height, RASTER.width));
    let sampler = GridGeoSampler::new(extent, chip, STRIDE)?;
    rate(sampler.len(), threads, |index| {
        raster.read(sampler.window(index))?.to_model_image(&ValueRange::AsIs).map(drop)
    })
}

/// From features in memory to a folder on disk.
fn rate_of_writing(folder: &Path, model: ModelType, threads: usize) -> Result<f64> {
    let out = folder.join("features");
    let features_folder = FeatureFolder::create(&out, Arc::new(Osr), FolderOptions::default())?;
    let stub = Stub::new(Case { warped: false, model, encode: Duration::ZERO, rows: 0 });
    let shape = Shape::square(model.image_size());
    let features = stub.features(&ModelImage::new(shape, vec![0; 3 * shape.area()])?)?;
    let grid = raster_grid()?;
    let rate = rate(128, threads, |index| {
        let record = ChipRecord {
            chip_id: format!("chip_{index:06}"),
            grid: grid.window(Window::new(0, 8 * index as i64, shape))?,
            dst_shape: features.dst_shape,
            source_path: "raster.tif".to_string(),
            model_type: model,
            checkpoint_path: features.checkpoint_path.clone(),
            fingerprint: None,
        };
        features_folder.put(&record, &features)
    })?;
    features_folder.commit()?;
    std::fs::remove_dir_all(&out).map_err(|source| Error::io("remove", &out, source))?;
    Ok(rate)
}

/// How often a second `work` is done for the numbers up to `count`, on so many threads.
fn rate(count: usize, threads: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mine = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
                    mine.take_while(|index| *index < count).try_for_each(&work)
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a stage does not panic"))
    })?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for warped in [false, true] {
        for model in [ModelType::Sam, ModelType::Sam2] {
            for (encode, rows) in [(50, 15), (150, 15), (50, 8), (50, 4)] {
                cases.push(Case { warped, model, encode: Duration::from_millis(encode), rows });
            }
        }
    }
    cases
}

fn in_own_process(folder: &Path, case: Case) -> Result<()> {
    let program = std::env::current_exe().map_err(|source| Error::io("find", "this program", source))?;
    let status = Command::new(&program)
        .arg("--case")
        .arg(folder)
        .args([case.warped.to_string(), case.model.to_string()])
        .args([case.encode.as_millis().to_string(), case.rows.to_string()])
        .stderr(Stdio::inherit())
        .status()
        .map_err(|source| Error::io("run", &program, source))?;
    assert!(status.success(), "a case failed");
    Ok(())
}

/// One case; prints its row of the table.
fn run(folder: &Path, case: Case) -> Result<()> {
    let raster = Arc::new(open(folder, case.warped)?);
    let chip = Shape::square(case.model.image_size());
    let extent = Shape::new(chip.height + (case.rows - 1) * STRIDE.height, RASTER.width);
    let config = FeatureCacheConfig {
        chip: Some(chip),
        tiling: Tiling::Stride(STRIDE),
        extent: Some(middle(raster.grid().shape, extent)),
        ..FeatureCacheConfig::default()
    };
    let out = folder.join("features");
    let stub = Arc::new(Stub::new(case));
    let start = Instant::now();
    let report = FeatureCacheBuilder::new(raster, stub.clone(), Arc::new(Osr), &out, config).build(&NoProgress)?;
    let end = Instant::now();
    std::fs::remove_dir_all(&out).map_err(|source| Error::io("remove", &out, source))?;
    let t = report.timings;
    let share = |idle: Duration| 100.0 * idle.as_secs_f64() / t.wall.as_secs_f64();
    let (first, last) = stub.busy.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or((end, end));
    let each = |stage: Duration| format!("{:.0} ms", stage.as_secs_f64() * 1e3 / report.chips as f64);
    println!(
        "| {} | {:.0} MiB | {} ms | {} | {:.1} s | {:.1} % | {:.1} % + {:.1} % | {} | {} | {} | {} |",
        if case.warped { "warped" } else { "as it is" },
        mib(case.model.feature_bytes() as u64),
        case.encode.as_millis(),
        report.chips,
        t.wall.as_secs_f64(),
        share(t.encoder_idle()),
        share(first - start),
        share(end - last),
        each(t.read),
        each(t.prepare),
        each(t.write),
        peak_memory().map_or_else(|| "unknown".to_string(), |bytes| format!("{:.0} MiB", mib(bytes))),
    );
    Ok(())
}

/// An encoder that takes as long as it is told, on no core, and returns features of its family's size.
#[derive(Debug)]
struct Stub {
    spec: ModelSpec,
    duration: Duration,
    /// Start of the first and end of the last call.
    busy: Mutex<Option<(Instant, Instant)>>,
}

impl Stub {
    fn new(case: Case) -> Self {
        let spec = ModelSpec {
            model_id: "stub".to_string(),
            model_type: case.model,
            checkpoint_path: "stub".into(),
            image_size: case.model.image_size(),
            fingerprint: None,
            preprocess: Preprocess::Standard,
            precision: Precision::F32,
        };
        Self { spec, duration: case.encode, busy: Mutex::new(None) }
    }

    fn features(&self, image: &ModelImage) -> Result<EncodedImageFeatures> {
        // Not zeros, which are no memory until they are written.
        let map = |channels: usize, side: usize| {
            FeatureTensor::new(vec![1, channels, side, side], vec![0.5; channels * side * side])
        };
        let side = self.spec.image_size / self.spec.model_type.patch_size();
        let payload = match self.spec.model_type {
            ModelType::Sam => FeaturePayload::Sam(map(256, side)?),
            ModelType::Sam2 | ModelType::Sam3 => FeaturePayload::Sam2 {
                image_embed: map(256, side)?,
                high_res_feats: vec![map(32, 4 * side)?, map(64, 2 * side)?],
            },
        };
        Ok(EncodedImageFeatures {
            model_type: self.spec.model_type,
            checkpoint_path: self.spec.reference_checkpoint_path().to_string_lossy().into_owned(),
            src_shape: image.shape(),
            dst_shape: Shape::square(self.spec.image_size),
            payload,
        })
    }
}

impl Segmenter for Stub {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        let start = Instant::now();
        let features = images.iter().map(|image| self.features(image)).collect();
        std::thread::sleep((self.duration * images.len() as u32).saturating_sub(start.elapsed()));
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        *busy = Some((busy.map_or(start, |(first, _)| first), Instant::now()));
        features
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, _features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        Err(Error::Unsupported { what: "a prompt".to_string(), reason: "the stub only encodes".to_string() })
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

fn raster_path(folder: &Path) -> PathBuf {
    folder.join("raster.tif")
}

fn open(folder: &Path, warped: bool) -> Result<RasterDataset> {
    set_cache_size(if warped { CACHE_BYTES_WARPED } else { CACHE_BYTES });
    let options = RasterOptions { crs: warped.then(|| Crs::new("EPSG:32632")), ..RasterOptions::default() };
    RasterDataset::open(&raster_path(folder).to_string_lossy(), &options)
}

/// Rows in the middle of a raster: the neighbouring zone is turned by some degrees, and there what it holds is full.
fn middle(whole: Shape, extent: Shape) -> Window {
    let edge = |whole: usize| (whole - RASTER.width) as i64 / 2;
    Window::new(edge(whole.width), edge(whole.height), extent)
}

fn raster_grid() -> Result<GeoGrid> {
    GeoGrid::new(Affine::from_origin(500_000.0, 5_340_000.0, 0.5, 0.5), RASTER, Crs::new("EPSG:32633"))
}

/// Slow waves with noise on top: it deflates about as well as an orthophoto, to somewhat more than half.
fn draw(path: &Path) -> Result<()> {
    let grid = raster_grid()?;
    let mut noise = 1u32;
    let mut values = Vec::with_capacity(3 * RASTER.area());
    for band in 0..3 {
        for pixel in 0..RASTER.area() {
            let (row, column) = (pixel / RASTER.width, pixel % RASTER.width);
            let wave = ((row / 8 + band * 40) % 256).abs_diff(column / 8 % 256);
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            values.push((wave / 2 + 64) as u8 + (noise >> 28) as u8);
        }
    }
    write_raster(path, &grid, &Pixels::U8(values), 3, None)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Peak resident memory of this process, where the system says it (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
