//! The pipeline of encoding alone: raster → stub encoder of a fixed duration → feature folder, and how long the encoder
//! has to wait.
//!
//! ```sh
//! cargo bench --bench pipeline                    # every case, some minutes, needs 5 GB of disk
//! cargo bench --bench pipeline -- --dir /mnt/data # elsewhere than in the system's folder for temporary files
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
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use geosam::{
    Affine, ChipSource, Crs, EncodedImageFeatures, Error, FeatureCacheBuilder, FeatureCacheConfig, FeaturePayload,
    FeatureTensor, GeoGrid, ModelImage, ModelSpec, ModelType, NoProgress, Osr, Pixels, Precision, Preprocess,
    PromptSession, RasterDataset, RasterOptions, Result, Segmenter, Shape, Tiling, Window, set_cache_size,
    write_raster,
};

const RASTER: Shape = Shape::square(8192);
const STRIDE: Shape = Shape::square(512);
/// Blocks that GDAL keeps, decoded and warped: a row of chips and more, but so few that a quarter of the raster fills the
/// cache.
const CACHE_BYTES: u64 = 32 << 20;
const CACHE_BYTES_WARPED: u64 = 96 << 20;

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
        [] => compare(&std::env::temp_dir()),
        ["--dir", folder] => compare(Path::new(folder)),
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
        _ => Err(Error::invalid_argument("argument", "none, or --dir DIR", arguments.join(" "))),
    }
}

/// Every case in a process of its own, and a table of them.
fn compare(folder: &Path) -> Result<()> {
    let folder = folder.join(format!("geosam-pipeline-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|source| Error::io("create", &folder, source))?;
    let result = draw(&raster_path(&folder)).and_then(|()| {
        println!("| raster | features | encoder | chips | wall | idle | before + after | read | prepare | write | peak memory |");
        println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
        cases().into_iter().try_for_each(|case| in_own_process(&folder, case))
    });
    std::fs::remove_dir_all(&folder).map_err(|source| Error::io("remove", &folder, source))?;
    result
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
    set_cache_size(if case.warped { CACHE_BYTES_WARPED } else { CACHE_BYTES });
    // The neighbouring zone is turned by some degrees: the middle of what it holds is full.
    let options = RasterOptions { crs: case.warped.then(|| Crs::new("EPSG:32632")), ..RasterOptions::default() };
    let raster = Arc::new(RasterDataset::open(&raster_path(folder).to_string_lossy(), &options)?);
    let chip = Shape::square(case.model.image_size());
    let extent = Shape::new(chip.height + (case.rows - 1) * STRIDE.height, RASTER.width);
    let edge = |whole: usize| (whole - RASTER.width) as i64 / 2;
    let whole = raster.grid().shape;
    let config = FeatureCacheConfig {
        chip: Some(chip),
        tiling: Tiling::Stride(STRIDE),
        extent: Some(Window::new(edge(whole.width), edge(whole.height), extent)),
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

    fn open(&self, _features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        Err(Error::Unsupported { what: "a prompt".to_string(), reason: "the stub only encodes".to_string() })
    }
}

fn raster_path(folder: &Path) -> PathBuf {
    folder.join("raster.tif")
}

/// Slow waves with noise on top: it deflates about as well as an orthophoto, to somewhat more than half.
fn draw(path: &Path) -> Result<()> {
    let grid = GeoGrid::new(Affine::from_origin(500_000.0, 5_340_000.0, 0.5, 0.5), RASTER, Crs::new("EPSG:32633"))?;
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
