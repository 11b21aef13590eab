//! Tunes the mask decoder of a model on one's own polygons, and says what that gains where it has not looked.
//!
//! ```sh
//! cargo run --release --features train --example fine_tune -- \
//!     --raster city.tif --polygons roofs.gpkg --checkpoint sam2.1_hiera_tiny.pt --out roofs.safetensors
//! ```
//!
//! Without `--checkpoint` it tunes `geosam_nano`. A quarter of the raster (`--held-out 0.25`), at its southern or eastern end, is
//! not learned from: there the answers before and after are compared with the polygons. `--steps` and
//! `--learning-rate` say how long it learns, and how fast; with `--views 1` each chip is encoded once in place of up to eight
//! times, turned and mirrored, which a large model takes long for.
//!
//! Without `--raster` and `--polygons` it makes up the files of somebody who wants [`KIND`]: 50 of them outlined in one raster,
//! and rasters of other places to compare with.

#[path = "shared/program.rs"]
mod program;
#[path = "shared/scene/mod.rs"]
pub(crate) mod scene;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use geosam::train::{Example, FineTune, FineTuneConfig, ObjectIou, StepReport, evaluate};
use geosam::{
    Checkpoint, ChipSource, Error, GridGeoSampler, MaskFeatures, MaskVectorizer, Masks, ModelOptions, NoProgress,
    PolygonFileOptions, RasterDataset, RasterOptions, Result, Segmenter, Shape, Tiling, ValueRangeChoice,
    VectorizeOptions, Window, load_model, read_polygons, write_raster, write_vector,
};
use scene::{Landscape, ObjectKind, Scene, SceneConfig};

/// What the demonstration is about: rows of solar panels, of which a click does not say whether the row or the farm is meant.
const KIND: ObjectKind = ObjectKind::SolarRow;
pub(crate) const LANDSCAPE: Landscape = Landscape::Solar;
/// Metres a pixel.
pub(crate) const GSD: f32 = 0.6;
/// The small model learns faster than the published ones, and its steps are short.
const LEARNING_RATE: f64 = 6e-4;
const STEPS: usize = 1000;
/// Polygons to learn from.
const POLYGONS: usize = 50;
/// Pixels on a side of the scene that they are in.
const SIDE: usize = 1536;
/// Scenes that are held out.
const HELD_OUT: u64 = 12;
/// Of the first scene. `geosam_nano` has seen none of those from 2⁴⁰ on.
const SEED: u64 = 2 << 40;
/// Pieces of fewer pixels, left where a chip ends, are not asked for.
const MIN_AREA: usize = 64;
/// Least that the mean IoU of one click gains in the demonstration. Measured: 0.205.
const LEAST_GAIN: f64 = 0.15;
/// Steps between two lines of progress.
const LOGGED: usize = 25;

fn main() -> ExitCode {
    program::exit(run_with_arguments())
}

fn run_with_arguments() -> Result<()> {
    let settings = Settings::parse(&std::env::args().skip(1).collect::<Vec<_>>())?;
    let checkpoint = match &settings.checkpoint {
        Some(path) => Checkpoint::open(path)?,
        None => Checkpoint::nano()?,
    };
    let [training, held_out] = match &settings.place {
        Some(place) => place.split(&checkpoint, settings.held_out)?,
        None => demonstration(Path::new("fine-tune-output"), &checkpoint)?,
    };
    let config = match settings.place {
        Some(_) => FineTuneConfig::default(),
        None => FineTuneConfig { steps: STEPS, learning_rate: LEARNING_RATE, ..FineTuneConfig::default() },
    };
    let steps = settings.steps.unwrap_or(config.steps);
    let learning_rate = settings.learning_rate.unwrap_or(config.learning_rate);
    let views = settings.views.unwrap_or(config.views);
    let config = FineTuneConfig { steps, learning_rate, views, ..config };
    let [before, after] = tune(&checkpoint, &training, &held_out, config, &settings.out)?;
    // What an example claims, it checks.
    assert!(
        settings != Settings { out: settings.out.clone(), ..Settings::default() }
            || after.click >= before.click + LEAST_GAIN,
        "one click gains"
    );
    Ok(())
}

/// What the command line asks for.
#[derive(PartialEq)]
struct Settings {
    place: Option<Place>,
    checkpoint: Option<PathBuf>,
    out: PathBuf,
    steps: Option<usize>,
    learning_rate: Option<f64>,
    views: Option<usize>,
    held_out: f64,
}

impl Default for Settings {
    fn default() -> Self {
        let out = PathBuf::from("tuned.safetensors");
        Self { place: None, checkpoint: None, out, steps: None, learning_rate: None, views: None, held_out: 0.25 }
    }
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let usage = |found: &str| {
            let expected = "--raster FILE --polygons FILE [--out FILE.safetensors] [--checkpoint FILE] [--steps N] \
                            [--learning-rate R] [--views N] [--held-out SHARE, above 0 and below 1]";
            Error::invalid_argument("arguments", expected, found)
        };
        let (mut settings, mut raster, mut polygons) = (Self::default(), None, None);
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { return Err(usage(&pair[0])) };
            let wrong = || usage(&pair.join(" "));
            match name.as_str() {
                "--raster" => raster = Some(PathBuf::from(value)),
                "--polygons" => polygons = Some(PathBuf::from(value)),
                "--checkpoint" => settings.checkpoint = Some(value.into()),
                "--out" => settings.out = value.into(),
                "--steps" => settings.steps = Some(value.parse().map_err(|_| wrong())?),
                "--learning-rate" => settings.learning_rate = Some(value.parse().map_err(|_| wrong())?),
                "--views" => settings.views = Some(value.parse().map_err(|_| wrong())?),
                "--held-out" => {
                    let share = value.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
                    settings.held_out = share.ok_or_else(wrong)?;
                }
                _ => return Err(wrong()),
            }
        }
        settings.place = match (raster, polygons) {
            (Some(raster), Some(polygons)) => Some(Place { raster, polygons }),
            (None, None) => None,
            _ => return Err(usage(&arguments.join(" "))),
        };
        Ok(settings)
    }
}

/// A raster, and a file with the outlines of objects in it.
#[derive(PartialEq)]
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
        let range = raster.value_range(ValueRangeChoice::Auto, Window::whole(raster.grid().shape), &NoProgress)?;
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
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    }
    let count = |examples: &[Example]| examples.iter().map(|example| example.masks.len()).sum::<usize>();
    for (examples, part) in [(training, "learned from"), (held_out, "held out")] {
        println!("{part}: {} chips, {} masks", examples.len(), count(examples));
    }
    if held_out.is_empty() {
        return Err(Error::invalid_argument("held-out part", "at least one polygon; try a larger share", "none"));
    }

    let steps = config.steps;
    let mut tuning = FineTune::new(checkpoint, training, config)?;
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

/// What the demonstration learns from, and what is held out: places that are made up.
fn demonstration(folder: &Path, checkpoint: &Checkpoint) -> Result<[Vec<Example>; 2]> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    let config = |side, seed| {
        let (gsd, landscape) = (Some(GSD), Some(LANDSCAPE));
        SceneConfig { gsd, landscape, ..SceneConfig::new(Shape::square(side), seed) }
    };
    let examples = |place: &Place, tiling| {
        let whole = Window::whole(place.open()?.grid().shape);
        place.examples(checkpoint, whole, tiling)
    };
    let mut held_out = Vec::new();
    for index in 1..=HELD_OUT {
        if let Some(place) = draw(folder, &format!("held-out-{index}"), &config(512, SEED + index), usize::MAX)? {
            held_out.extend(examples(&place, Tiling::NonOverlapping)?);
        }
    }
    let place = draw(folder, "known", &config(SIDE, SEED), POLYGONS)?.expect("the scene has objects of that kind");
    println!("{KIND:?}, outlined in {}", folder.display());
    Ok([examples(&place, Tiling::HalfOverlap)?, held_out])
}

/// Writes a scene as a raster, and the outlines of the first of its objects of [`KIND`] as polygons: somebody's own files. `None`
/// if it has no such object.
pub(crate) fn draw(folder: &Path, name: &str, config: &SceneConfig, polygons: usize) -> Result<Option<Place>> {
    let scene = Scene::draw_with(config)?;
    let [raster, outlines] = ["tif", "gpkg"].map(|extension| folder.join(format!("{name}.{extension}")));
    let mut found = MaskFeatures { crs: scene.grid.crs.clone(), features: Vec::new() };
    for object in scene.objects.iter().filter(|object| object.kind == KIND).take(polygons) {
        let masks = Masks::new(object.window.shape, object.mask.clone())?;
        let grid = scene.grid.window(object.window)?;
        found.features.extend(MaskVectorizer::new(&masks, &grid)?.features(&VectorizeOptions::default())?.features);
    }
    if found.features.is_empty() {
        return Ok(None);
    }
    write_raster(&raster, &scene.grid, &scene.pixels, Scene::BANDS, Some(0.0))?;
    write_vector(&outlines, &found)?;
    Ok(Some(Place { raster, polygons: outlines }))
}
