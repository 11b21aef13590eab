//! Trains `geosam_nano`, the small SAM 2 in the box, on scenes that are drawn while it learns.
//!
//! ```sh
//! make train-nano
//! ```
//!
//! or with other settings `cargo run --release --features train --example train_nano -- --steps 20000 --out train-output`: steps
//! until the learning rate is zero, which begins again as often as `--cycles` says. Interrupted, it goes on from its last
//! checkpoint; finished, it goes on with more cycles. `--validate` trains nothing and asks the model that is in the box. Scenes of
//! seeds from [`HELD_OUT`] on are never learned from; they say
//! how well the model does.

#[path = "shared/plot.rs"]
mod plot;
#[path = "shared/program.rs"]
mod program;
#[path = "shared/scene/mod.rs"]
mod scene;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use geosam::train::{Example, ObjectIou, StepReport, TrainConfig, Trainer, evaluate};
use geosam::{Error, Masks, ModelImage, ModelOptions, Result, SamConfig, Segmenter, Shape, Window, load_nano};
use plot::{Curve, Panel, write_panels};
use scene::{ObjectKind, PictureStyle, Scene};

/// Scenes of this seed and later ones are for validation.
const HELD_OUT: u64 = 1 << 40;
/// Seeds of scenes that each seed of a training has for itself, as a power of two.
const SEED_BITS: u32 = 32;
/// Of the first scene that a training learns from.
const FIRST: u64 = 10_240_000;
/// Images that a step learns from.
const IMAGES: usize = 4;
/// The logs.
const STEPS: &str = "steps.csv";
const VALIDATIONS: &str = "validation.csv";
/// Steps between two lines of the log.
const LOGGED: usize = 20;
/// Steps between two checkpoints.
const SAVED: usize = 100;
/// Steps between two validations.
const VALIDATED: usize = 500;

/// What the command line asks for.
struct Settings {
    out: PathBuf,
    /// Of a cycle of the learning rate.
    steps: usize,
    cycles: usize,
    seed: u64,
    /// Objects of held-out scenes that a validation asks for, at least.
    objects: usize,
    /// Only ask the model in the box.
    validate: bool,
}

fn main() -> ExitCode {
    program::exit(settings().and_then(|settings| run(&settings)))
}

/// From the command line.
fn settings() -> Result<Settings> {
    let mut settings = Settings {
        out: PathBuf::from("train-output"),
        steps: 10_000,
        cycles: 3,
        seed: 0,
        objects: 1000,
        validate: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).ok_or_else(|| usage(&argument));
        match argument.as_str() {
            "--steps" => settings.steps = number()?,
            "--cycles" => settings.cycles = number()?,
            "--seed" => settings.seed = number()? as u64,
            "--objects" => settings.objects = number()?,
            "--validate" => settings.validate = true,
            "--out" => settings.out = arguments.next().ok_or_else(|| usage(&argument))?.into(),
            _ => return Err(usage(&argument)),
        }
    }
    if settings.cycles == 0 {
        return Err(Error::invalid_argument("cycles", "at least 1", 0));
    }
    // Scene seeds begin with this one's bits, and must stay below those that are held out.
    if settings.seed >= HELD_OUT >> SEED_BITS {
        return Err(Error::invalid_argument("seed", format!("below {}", HELD_OUT >> SEED_BITS), settings.seed));
    }
    Ok(settings)
}

fn usage(argument: &str) -> Error {
    Error::invalid_argument(
        "argument",
        "--out FOLDER, --steps N, --cycles N, --seed N, --objects N or --validate",
        argument,
    )
}

fn run(settings: &Settings) -> Result<()> {
    if settings.validate {
        let model = load_nano(&ModelOptions::default())?;
        return validate(&model, model.spec().image_size, settings.objects).map(|_| ());
    }
    let Settings { out, seed, objects, .. } = settings;
    let steps = settings.steps.saturating_mul(settings.cycles);
    let state = out.join("state.safetensors");
    let mut trainer = Trainer::new(TrainConfig { seed: *seed, ..TrainConfig::new(SamConfig::nano(), settings.steps) })?;
    std::fs::create_dir_all(out).map_err(|source| Error::io("create", out, source))?;
    if state.is_file() {
        trainer.restore(&state)?;
    }
    println!("{} parameters, {} of {steps} steps done", trainer.parameters(), trainer.steps());
    let header = "step,loss,single_iou,best_iou,score_error,neighbours,gradient,rate";
    let mut log = log_file(&out.join(STEPS), header, trainer.steps() + 1)?;
    let first = (*seed << SEED_BITS) + FIRST + (trainer.steps() * IMAGES) as u64;
    let (sender, scenes) = sync_channel(2 * IMAGES);
    let side = SamConfig::nano().image_size();
    std::thread::spawn(move || (first..).map(|seed| example(seed, side)).all(|scene| sender.send(scene).is_ok()));
    let mut rows = Vec::new();
    while trainer.steps() < steps {
        let examples: Vec<_> = scenes.iter().take(IMAGES).collect::<Result<_>>()?;
        if examples.len() < IMAGES {
            return Err(Error::invalid_argument("scenes", "as many as a step needs", examples.len()));
        }
        if examples.iter().all(|example| example.masks.is_empty()) {
            continue;
        }
        rows.push(trainer.step(&examples)?);
        let done = trainer.steps();
        if done.is_multiple_of(LOGGED) {
            let row = format!("{done},{}", means(&rows));
            println!("{row}");
            writeln!(log, "{row}").map_err(|source| Error::io("write", out, source))?;
            rows.clear();
        }
        if done.is_multiple_of(SAVED) || done == steps {
            trainer.save(&state)?;
            trainer.write_weights(&out.join("geosam_nano.safetensors"))?;
        }
        if done.is_multiple_of(VALIDATED) || done == steps {
            let (objects, means) = validate(&trainer.model()?, side, *objects)?;
            let header = "step,objects,click,best_of_three,box,five_clicks,score_error";
            let mut log = log_file(&out.join(VALIDATIONS), header, done)?;
            let row = means.map(|mean| format!("{mean:.4}")).join(",");
            writeln!(log, "{done},{objects},{row}").map_err(|source| Error::io("write", out, source))?;
            plot(settings)?;
        }
    }
    // Also of a run that had nothing left to learn.
    trainer.write_weights(&out.join("geosam_nano.safetensors"))?;
    plot(settings)?;
    println!("wrote {}", out.join("geosam_nano.safetensors").display());
    Ok(())
}

/// Means of some steps, as a row of the log.
fn means(reports: &[StepReport]) -> String {
    let mean = |of: fn(&StepReport) -> f64| reports.iter().map(of).sum::<f64>() / reports.len() as f64;
    let masks = [mean(|r| r.loss), mean(|r| r.single_iou), mean(|r| r.best_iou), mean(|r| r.score_error)];
    let values = masks.into_iter().chain([mean(|r| r.neighbours), mean(|r| r.gradient), mean(|r| r.rate)]);
    values.map(|value| format!("{value:.6}")).collect::<Vec<_>>().join(",")
}

/// A scene as training takes it.
fn example(seed: u64, side: usize) -> Result<Example> {
    example_of(&Scene::draw(Shape::square(side), seed)?, seed)
}

fn example_of(scene: &Scene, seed: u64) -> Result<Example> {
    let shape = scene.grid.shape;
    let planes = scene.rgb(PictureStyle::from_seed(seed));
    let pixels = (0..shape.area()).flat_map(|pixel| [0, 1, 2].map(|band| planes[band * shape.area() + pixel]));
    let image = ModelImage::new(shape, pixels.collect())?;
    let mut masks = vec![false; scene.objects.len() * shape.area()];
    for (mask, object) in masks.chunks_exact_mut(shape.area()).zip(&scene.objects) {
        let Window { column, row, shape: window } = object.window;
        for (offset, inside) in object.mask.chunks_exact(window.width).enumerate() {
            let start = (row as usize + offset) * shape.width + column as usize;
            mask[start..start + window.width].copy_from_slice(inside);
        }
    }
    Ok(Example { image, masks: Masks::new(shape, masks)? })
}

/// Asks for objects of held-out scenes, at least as many as given. Prints and returns how many there were, and
/// [`print_means`] of them.
fn validate(model: &dyn Segmenter, side: usize, objects: usize) -> Result<(usize, [f64; 5])> {
    let start = Instant::now();
    let mut found: Vec<(ObjectKind, ObjectIou)> = Vec::new();
    for seed in HELD_OUT.. {
        let scene = Scene::draw(Shape::square(side), seed)?;
        let Example { image, masks } = example_of(&scene, seed)?;
        let ious = evaluate(model, &image, &masks)?;
        found.extend(scene.objects.iter().map(|object| object.kind).zip(ious));
        if found.len() >= objects {
            break;
        }
    }
    let means = print_means("held out", &found, |_| true);
    for least in [64, 256, 1024, 4096, 16_384] {
        let areas = least..if least == 16_384 { usize::MAX } else { 4 * least };
        print_means(&format!("from {least} px"), &found, |(_, object)| areas.contains(&object.area));
    }
    print_means("at least 400 px", &found, |(_, object)| object.area >= 400);
    for kind in found.iter().map(|(kind, _)| *kind).collect::<BTreeSet<_>>() {
        print_means(&format!("{kind:?}"), &found, |(of, _)| *of == kind);
    }
    println!("{:.0} s", start.elapsed().as_secs_f64());
    Ok((found.len(), means))
}

/// Prints how well some objects are found; returns their mean IoU with one click, as the best of three, with a box and with
/// five clicks, and how far the predicted IoU is off.
fn print_means(
    name: &str,
    found: &[(ObjectKind, ObjectIou)],
    wanted: impl Fn(&(ObjectKind, ObjectIou)) -> bool,
) -> [f64; 5] {
    let wanted: Vec<_> = found.iter().filter(|object| wanted(object)).map(|(_, object)| object).collect();
    let mean = |of: fn(&ObjectIou) -> f64| wanted.iter().map(|object| of(object)).sum::<f64>() / wanted.len() as f64;
    let means = [mean(|o| o.click), mean(|o| o.best_of_three), mean(|o| o.bbox), mean(|o| o.clicks)];
    let [click, best, bbox, clicks] = means;
    let resolution = mean(|o| o.resolution);
    let off = mean(|o| (o.score - o.click).abs());
    println!(
        "{name:>15}: {:>4} objects, mean IoU one click {click:.3}, best of three {best:.3}, box {bbox:.3}, \
         five clicks {clicks:.3}; predicted IoU off by {off:.3}; the logits' resolution allows {resolution:.3}",
        wanted.len()
    );
    [click, best, bbox, clicks, off]
}

/// Draws the two logs.
fn plot(settings: &Settings) -> Result<()> {
    let [steps, validations] = [read_log(&settings.out.join(STEPS))?, read_log(&settings.out.join(VALIDATIONS))?];
    let curve = |name: &str, rows: &[Vec<f64>], column: usize| Curve {
        name: name.to_string(),
        points: rows.iter().map(|row| [row[0], row[column]]).collect(),
    };
    let loss = Panel { title: "loss".to_string(), range: [0.0, 2.5], curves: vec![curve("training", &steps, 1)] };
    let iou = Panel {
        title: "mean IoU".to_string(),
        range: [0.0, 1.0],
        curves: vec![
            curve("training, one mask", &steps, 2),
            curve("training, best of three", &steps, 3),
            curve("held out, one click", &validations, 2),
            curve("held out, best of three", &validations, 3),
            curve("held out, box", &validations, 4),
            curve("held out, five clicks", &validations, 5),
        ],
    };
    write_panels(&settings.out.join("curves.png"), &[loss, iou], settings.steps.saturating_mul(settings.cycles) as f64)
}

/// The numbers of a log, row by row.
fn read_log(path: &Path) -> Result<Vec<Vec<f64>>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io("read", path, source))?;
    let number = |text: &str| text.parse().map_err(|_| Error::invalid_file(path, "CSV", "numbers", text));
    text.lines().skip(1).map(|row| row.split(',').map(number).collect()).collect()
}

/// A CSV to append to. Of one that is there the rows of steps before `next` are kept: an interrupted training repeats the
/// others.
fn log_file(path: &Path, header: &str, next: usize) -> Result<File> {
    let failed = |source| Error::io("write", path, source);
    let old = if path.is_file() { std::fs::read_to_string(path).map_err(failed)? } else { String::new() };
    let is_before =
        |row: &&str| row.split(',').next().and_then(|step| step.parse().ok()).is_some_and(|step: usize| step < next);
    let mut file = File::create(path).map_err(failed)?;
    for row in std::iter::once(header).chain(old.lines().skip(1).filter(is_before)) {
        writeln!(file, "{row}").map_err(failed)?;
    }
    Ok(file)
}
