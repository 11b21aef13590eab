//! Searching a scene, in this process or one of its own.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use geosam::{
    AutomaticMasks, AutomaticMasksConfig, AutomaticMasksRaster, Error, GridGeoSampler, ModelOptions, NoProgress,
    RasterDataset, RasterOptions, Result, Segmenter, Shape, Tiling, Window, load_model, load_nano, write_raster,
};

use crate::oracle::{Oracle, numbered};
use crate::scene::Scene;
use crate::score::Found;

pub(crate) fn name(tiling: Tiling) -> &'static str {
    if tiling == Tiling::NonOverlapping { "non-overlapping" } else { "overlapping" }
}

/// What the oracle knows of the scene.
pub(crate) fn with_oracle(scene: &Scene, config: AutomaticMasksConfig, tiling: Tiling) -> Result<Found> {
    let model = Arc::new(Oracle::new(scene));
    let side = model.spec().image_size;
    let raster = AutomaticMasksRaster { tiling, ..AutomaticMasksRaster::default() };
    let masks = AutomaticMasks::from_raster(Arc::new(numbered(scene)?), model, raster, config)?;
    let start = Instant::now();
    let mut found = Vec::new();
    let report = masks.for_each(&NoProgress, |mask| {
        found.push((mask.window, mask.mask.mask(0).to_vec()));
        Ok(())
    })?;
    let (points, most_waiting, seconds) = (report.points, report.most_waiting, start.elapsed().as_secs_f64());
    let borders = borders(scene.grid.shape, side, tiling)?;
    Ok(Found { masks: found, borders, points, most_waiting, seconds, peak: None })
}

/// Where chips end, columns and rows.
fn borders(raster: Shape, side: usize, tiling: Tiling) -> Result<[Vec<i64>; 2]> {
    let chips = GridGeoSampler::with_tiling(Window::whole(raster), Shape::square(side), tiling)?;
    let inside =
        |edges: BTreeSet<i64>, size: usize| edges.into_iter().filter(|at| (1..size as i64).contains(at)).collect();
    let columns = chips.windows().flat_map(|chip| [chip.column, chip.column_end()]).collect();
    let rows = chips.windows().flat_map(|chip| [chip.row, chip.row_end()]).collect();
    Ok([inside(columns, raster.width), inside(rows, raster.height)])
}

/// What a model finds, and how much memory that takes.
pub(crate) fn in_own_process(
    scene: &Scene,
    checkpoint: Option<&Path>,
    config: AutomaticMasksConfig,
    tiling: Tiling,
) -> Result<Found> {
    let folder = std::env::temp_dir().join(format!("geosam-automatic-masks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|source| Error::io("create", &folder, source))?;
    let search = || {
        let (raster, out) = (folder.join("scene.tif"), folder.join("masks"));
        write_raster(&raster, &scene.grid, &scene.pixels, Scene::BANDS, None)?;
        let program = std::env::current_exe().map_err(|source| Error::io("find", "the bench", source))?;
        let points = config.points_per_side.to_string();
        let pred_iou_thresh = config.pred_iou_thresh.map_or("default".to_string(), |share| share.to_string());
        let thresholds =
            [config.box_nms_thresh, f64::from(config.stability_score_thresh)].map(|share| share.to_string());
        let mut job = Command::new(&program);
        job.arg("--search")
            .args([&raster, Path::new(name(tiling)), &out])
            .args([points, pred_iou_thresh])
            .args(thresholds)
            .args(checkpoint);
        let done = job.output();
        let done = done.map_err(|source| Error::io("run", &program, source))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(Error::invalid_argument("search", "a process that succeeds", said.trim()));
        }
        let said = String::from_utf8_lossy(&done.stdout);
        let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [side, points, most_waiting, seconds, peak] = numbers[..] else {
            return Err(Error::invalid_argument("search", "five numbers", said.trim()));
        };
        Ok(Found {
            masks: read_masks(&out).map_err(|source| Error::io("read", &out, source))?,
            borders: borders(scene.grid.shape, side as usize, tiling)?,
            points: points as usize,
            most_waiting: most_waiting as usize,
            seconds,
            peak: (peak > 0.0).then_some(peak as u64),
        })
    };
    let found = search();
    std::fs::remove_dir_all(&folder).map_err(|source| Error::io("remove", &folder, source))?;
    found
}

/// Raster, tiling, where the masks go, points on a side, thresholds of the predicted IoU, of boxes and of
/// stability, and the checkpoint. Prints the side of a chip, points, most masks waiting, seconds, peak.
pub(crate) fn in_this_process(job: &[&str]) -> Result<()> {
    let [raster, tiling, out, points, pred_iou_thresh, nms, stability, checkpoint @ ..] = job else {
        return Err(Error::invalid_argument("search", "at least seven arguments", job.len()));
    };
    let mut config = AutomaticMasksConfig { pred_iou_thresh: pred_iou_thresh.parse().ok(), ..Default::default() };
    config.points_per_side = points.parse().unwrap_or(config.points_per_side);
    config.box_nms_thresh = nms.parse().unwrap_or(config.box_nms_thresh);
    config.stability_score_thresh = stability.parse().unwrap_or(config.stability_score_thresh);
    let options = ModelOptions::default();
    let model = match checkpoint {
        [] => load_nano(&options)?,
        [checkpoint, ..] => load_model(checkpoint, &options)?,
    };
    let model = Arc::new(model);
    let side = model.spec().image_size;
    let raster = Arc::new(RasterDataset::open(raster, &RasterOptions::default())?);
    let tiling = if *tiling == name(Tiling::NonOverlapping) { Tiling::NonOverlapping } else { Tiling::HalfOverlap };
    let chips = AutomaticMasksRaster { tiling, ..AutomaticMasksRaster::default() };
    let start = Instant::now();
    let masks = AutomaticMasks::from_raster(raster, model, chips, config)?;
    let failed = |source| Error::io("write", *out, source);
    let mut file = File::create(out).map(BufWriter::new).map_err(failed)?;
    let report =
        masks.for_each(&NoProgress, |mask| write_mask(&mut file, mask.window, mask.mask.mask(0)).map_err(failed))?;
    file.flush().map_err(failed)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{side} {} {} {seconds} {}", report.points, report.most_waiting, peak_memory().unwrap_or(0));
    Ok(())
}

fn write_mask(file: &mut impl Write, window: Window, mask: &[bool]) -> std::io::Result<()> {
    let Window { column, row, shape } = window;
    for number in [column, row, shape.height as i64, shape.width as i64] {
        file.write_all(&number.to_le_bytes())?;
    }
    file.write_all(&mask.iter().map(|inside| u8::from(*inside)).collect::<Vec<_>>())
}

fn read_masks(path: &Path) -> std::io::Result<Vec<(Window, Vec<bool>)>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut masks = Vec::new();
    let mut head = [0; 32];
    while file.read_exact(&mut head).is_ok() {
        let number = |at: usize| head[8 * at..][..8].iter().rev().fold(0_i64, |n, byte| n << 8 | i64::from(*byte));
        let window = Window::new(number(0), number(1), Shape::new(number(2) as usize, number(3) as usize));
        let mut pixels = vec![0; window.shape.area()];
        file.read_exact(&mut pixels)?;
        masks.push((window, pixels.into_iter().map(|byte| byte == 1).collect()));
    }
    Ok(masks)
}

/// Peak resident memory of this process, where the system says it (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
