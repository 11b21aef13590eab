//! Tunes the mask decoder of a model on one's own polygons, and says what that gains where it has not looked.
//!
//! ```sh
//! cargo run --release --features train --example fine_tune -- \
//!     --raster city.tif --polygons roofs.gpkg --checkpoint sam2.1_hiera_tiny.pt --out roofs.safetensors
//! ```
//!
//! Without `--checkpoint` it tunes `geosam_nano`. A quarter of the raster (`--held-out 0.25`), at its southern or eastern end, is
//! not learned from: there the answers before and after are compared with the polygons. `--steps` says how long it learns.
//!
//! Without any arguments it makes up the files of somebody who wants [`KIND`], 50 of them outlined in one raster, and compares
//! on rasters of other places.

#[path = "shared/scene/mod.rs"]
mod scene;

use std::path::{Path, PathBuf};
use std::time::Instant;

use geosam::train::{Example, FineTune, FineTuneConfig, ObjectIou, StepReport, evaluate};
use geosam::{
    Checkpoint, ChipSource, Error, GridGeoSampler, MaskFeatures, MaskVectorizer, Masks, ModelOptions,
    PolygonFileOptions, RasterDataset, RasterOptions, Result, Segmenter, Shape, Tiling, ValueRangeChoice,
    VectorizeOptions, Window, load_model, read_polygons, write_raster, write_vector,
};
use scene::{Landscape, ObjectKind, Scene, SceneConfig};

/// What the demonstration is about: found hard with other scenes than it learns from and is measured by.
const KIND: ObjectKind = ObjectKind::SolarFarm;
const LANDSCAPE: Landscape = Landscape::Solar;
/// Metres a pixel.
const GSD: f32 = 0.5;
/// Polygons to learn from.
const POLYGONS: usize = 50;
/// Of its scenes. `geosam_nano` has seen none from 2⁴⁰ on.
const SEED: u64 = 2 << 40;
/// Pieces of fewer pixels, left where a chip ends, are not asked for.
const MIN_AREA: usize = 64;
/// Steps between two lines of progress.
const LOGGED: usize = 25;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        return demonstrate(Path::new("fine-tune-output"));
    }
    let settings = Settings::parse(&arguments)?;
    let checkpoint = match &settings.checkpoint {
        Some(path) => Checkpoint::open(path)?,
        None => Checkpoint::nano()?,
    };
    let place = Place { raster: settings.raster, polygons: settings.polygons };
    let [training, held_out] = place.split(&checkpoint, settings.held_out)?;
    let config = FineTuneConfig { steps: settings.steps, ..FineTuneConfig::default() };
    tune(&checkpoint, &training, &held_out, config, &settings.out)?;
    Ok(())
}

/// What the command line asks for.
struct Settings {
    raster: PathBuf,
    polygons: PathBuf,
    checkpoint: Option<PathBuf>,
    out: PathBuf,
    steps: usize,
    held_out: f64,
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let usage = |found: &str| {
            let expected = "--raster FILE --polygons FILE --out FILE.safetensors [--checkpoint FILE] [--steps N] \
                            [--held-out SHARE, above 0 and below 1]";
            Error::invalid_argument("arguments", expected, found)
        };
        let [mut raster, mut polygons, mut checkpoint, mut out] = [const { None }; 4];
        let (mut steps, mut held_out) = (FineTuneConfig::default().steps, 0.25);
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { return Err(usage(&pair[0])) };
            let wrong = || usage(&pair.join(" "));
            match name.as_str() {
                "--raster" => raster = Some(value.into()),
                "--polygons" => polygons = Some(value.into()),
                "--checkpoint" => checkpoint = Some(value.into()),
                "--out" => out = Some(value.into()),
                "--steps" => steps = value.parse().map_err(|_| wrong())?,
                "--held-out" => held_out = value.parse().map_err(|_| wrong())?,
                _ => return Err(wrong()),
            }
        }
        let (Some(raster), Some(polygons), Some(out), true) = (raster, polygons, out, held_out > 0.0 && held_out < 1.0)
        else {
            return Err(usage(&arguments.join(" ")));
        };
        Ok(Self { raster, polygons, checkpoint, out, steps, held_out })
    }
}

/// A raster, and a file with the outlines of objects in it.
pub(crate) struct Place {
    pub(crate) raster: PathBuf,
    pub(crate) polygons: PathBuf,
}

impl Place {
    /// What is to be learned from, in chips that overlap by half, and what is held out, in chips side by side. No pixel is in
    /// both.
    pub(crate) fn split(&self, checkpoint: &Checkpoint, held_out: f64) -> Result<[Vec<Example>; 2]> {
        let Shape { height, width } = self.open()?.grid().shape;
        let keep = |side: usize| ((side as f64 * (1.0 - held_out)).round() as usize).clamp(1, side.max(2) - 1);
        let [first, second] = if height >= width {
            let kept = keep(height);
            [(0, 0, kept, width), (0, kept, height - kept, width)]
        } else {
            let kept = keep(width);
            [(0, 0, height, kept), (kept, 0, height, width - kept)]
        }
        .map(|(column, row, height, width)| Window::new(column as i64, row as i64, Shape::new(height, width)));
        Ok([
            self.examples(checkpoint, first, Tiling::HalfOverlap)?,
            self.examples(checkpoint, second, Tiling::NonOverlapping)?,
        ])
    }

    /// The chips of a part of the raster that show an object.
    fn examples(&self, checkpoint: &Checkpoint, extent: Window, tiling: Tiling) -> Result<Vec<Example>> {
        let raster = self.open()?;
        let polygons = read_polygons(&self.polygons, &PolygonFileOptions::default(), &raster.grid().crs)?;
        let range = raster.value_range(ValueRangeChoice::Auto, Window::whole(raster.grid().shape))?;
        let side = checkpoint.recognised().config.image_size();
        let mut examples = Vec::new();
        for window in GridGeoSampler::with_tiling(extent, Shape::square(side), tiling)?.windows() {
            let masks = polygons.masks(&raster.grid().window(window)?)?;
            let large = |mask: &&[bool]| mask.iter().filter(|&&inside| inside).count() >= MIN_AREA;
            let masks: Vec<_> = masks.iter().filter(large).collect();
            if !masks.is_empty() {
                let image = raster.read(window)?.to_model_image(&range)?;
                examples.push(Example { image, masks: Masks::new(window.shape, masks.concat())? });
            }
        }
        Ok(examples)
    }

    fn open(&self) -> Result<RasterDataset> {
        RasterDataset::open(&self.raster.to_string_lossy(), &RasterOptions::default())
    }
}

/// Tunes a model, writes it as a checkpoint, and returns how well it answered before and after.
pub(crate) fn tune(
    checkpoint: &Checkpoint,
    training: &[Example],
    held_out: &[Example],
    config: FineTuneConfig,
    out: &Path,
) -> Result<[MeanIou; 2]> {
    let start = Instant::now();
    let count = |examples: &[Example]| examples.iter().map(|example| example.masks.len()).sum::<usize>();
    for (examples, part) in [(training, "learned from"), (held_out, "held out")] {
        println!("{part}: {} chips, {} masks", examples.len(), count(examples));
    }
    if held_out.is_empty() {
        return Err(Error::invalid_argument("held-out part", "at least one polygon; try a larger share", "none"));
    }

    let steps = config.steps;
    let mut tuning = FineTune::new(checkpoint, training, config)?;
    println!("encoded ({:.0} s)", start.elapsed().as_secs_f64());
    let before = MeanIou::of(&tuning.model()?, held_out)?;
    println!("before: {before} ({:.0} s)", start.elapsed().as_secs_f64());

    let mut reports = Vec::new();
    while tuning.steps() < steps {
        reports.push(tuning.step()?);
        let done = tuning.steps();
        if done.is_multiple_of(LOGGED) || done == steps {
            let mean = |of: fn(&StepReport) -> f64| reports.iter().map(of).sum::<f64>() / reports.len() as f64;
            let (loss, seconds) = (mean(|report| report.loss), start.elapsed().as_secs_f64());
            println!("step {done} of {steps}: loss {loss:.3} ({seconds:.0} s)");
            reports.clear();
        }
    }
    tuning.write_checkpoint(out)?;

    let after = MeanIou::of(&load_model(out, &ModelOptions::default())?, held_out)?;
    println!("after:  {after} ({:.0} s)", start.elapsed().as_secs_f64());
    println!("gain:   {:+.3} with one click", after.click - before.click);
    println!("wrote   {}", out.display());
    Ok([before, after])
}

/// Means over objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MeanIou {
    pub(crate) objects: usize,
    /// One click in the middle, one mask asked for.
    pub(crate) click: f64,
    pub(crate) bbox: f64,
    /// Five clicks, all but the first where the mask was wrong.
    pub(crate) clicks: f64,
}

impl MeanIou {
    fn of(model: &dyn Segmenter, examples: &[Example]) -> Result<Self> {
        let mut found = Vec::new();
        for Example { image, masks } in examples {
            found.extend(evaluate(model, image, masks)?);
        }
        let mean = |of: fn(&ObjectIou) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
        Ok(Self { objects: found.len(), click: mean(|o| o.click), bbox: mean(|o| o.bbox), clicks: mean(|o| o.clicks) })
    }
}

impl std::fmt::Display for MeanIou {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { objects, click, bbox, clicks } = self;
        write!(f, "IoU of {objects} held-out objects: one click {click:.3}, box {bbox:.3}, five clicks {clicks:.3}")
    }
}

/// Tunes `geosam_nano` for one kind of object, in places that are made up.
fn demonstrate(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    let checkpoint = Checkpoint::nano()?;
    let config =
        SceneConfig { gsd: Some(GSD), landscape: Some(LANDSCAPE), ..SceneConfig::new(Shape::square(2048), SEED) };
    let place = draw(folder, "known", &config, KIND, POLYGONS)?;
    let whole = |place: &Place| Ok(Window::whole(place.open()?.grid().shape));
    let training = place.examples(&checkpoint, whole(&place)?, Tiling::HalfOverlap)?;
    let mut held_out = Vec::new();
    for index in 1..=12 {
        let config = SceneConfig { shape: Shape::square(512), seed: SEED + index, ..config };
        if let Ok(place) = draw(folder, &format!("held-out-{index}"), &config, KIND, usize::MAX) {
            held_out.extend(place.examples(&checkpoint, whole(&place)?, Tiling::NonOverlapping)?);
        }
    }
    println!("tunes geosam_nano for {KIND:?}, {POLYGONS} polygons in {}", place.raster.display());
    let out = folder.join("tuned.safetensors");
    let [before, after] = tune(&checkpoint, &training, &held_out, FineTuneConfig::default(), &out)?;
    assert!(after.click >= before.click + 0.1, "what an example claims, it checks");
    Ok(())
}

/// Writes a scene as a raster, and the outlines of the first objects of a kind as polygons: somebody's own files.
pub(crate) fn draw(
    folder: &Path,
    name: &str,
    config: &SceneConfig,
    kind: ObjectKind,
    polygons: usize,
) -> Result<Place> {
    let scene = Scene::draw_with(config)?;
    let place = Place { raster: folder.join(format!("{name}.tif")), polygons: folder.join(format!("{name}.gpkg")) };
    write_raster(&place.raster, &scene.grid, &scene.pixels, Scene::BANDS, Some(0.0))?;
    let mut outlines = MaskFeatures { crs: scene.grid.crs.clone(), features: Vec::new() };
    for object in scene.objects.iter().filter(|object| object.kind == kind).take(polygons) {
        let masks = Masks::new(object.window.shape, object.mask.clone())?;
        let grid = scene.grid.window(object.window)?;
        outlines.features.extend(MaskVectorizer::new(&masks, &grid)?.features(&VectorizeOptions::default())?.features);
    }
    write_vector(&place.polygons, &outlines)?;
    Ok(place)
}
