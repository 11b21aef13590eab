//! A model on a device: chips per second by batch size, time of a prompt, and how far features and masks are from those
//! of the CPU in f32. `scripts/gpu-bench` runs this beside PyTorch.
//!
//! ```sh
//! cargo bench -p geosam-models --bench gpu -- reference --model sam_b --folder REFERENCE
//! cargo bench -p geosam-models --bench gpu -- time --model sam_b --folder REFERENCE \
//!     --device cuda:0 --precision f16 --batches 1,2,4,8 --seconds 1
//! ```
//!
//! `reference` has the CPU encode chips and answer prompts in f32, once for a model, and leaves both in the folder;
//! `time` compares with them, whatever its device and precision. The weights are random ones of seed 0 on both sides.
//!
//! Every measure is a line of JSON as soon as it is known; one that failed has `failed`, the reason. Times are in
//! seconds, from chips in the host's memory to features there, and from prompts to masks, scores and logits there.
//! `first_s` is the first call, in which kernels are compiled and tuned; it and the one after it are no samples.

#![allow(clippy::print_stdout, missing_docs)]

use std::path::PathBuf;
use std::time::Instant;

use geosam_core::{
    EncodedImageFeatures, Error, FeaturePrecision, FeatureTensor, Label, ModelImage, PixelBox, PixelPoint, PixelPrompt,
    PredictOptions, Prediction, Result, Segmenter, Shape,
};
use geosam_models::profile::{Profile, profile};
use geosam_models::{ModelOptions, Sam, SamConfig};
use serde_json::{Value, json};

/// Chips of the comparison with the CPU, encoded as one batch.
const COMPARED: usize = 2;
const FEWEST_SAMPLES: usize = 3;
const MOST_SAMPLES: usize = 50;

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    match arguments.verb.as_str() {
        "reference" => make_reference(&arguments),
        _ => time(&arguments),
    }
}

struct Arguments {
    verb: String,
    model: String,
    folder: PathBuf,
    device: String,
    precision: String,
    batches: Vec<usize>,
    seconds: f64,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut arguments = Self {
            verb: String::new(),
            model: "sam_b".to_string(),
            folder: std::env::temp_dir(),
            device: "cpu".to_string(),
            precision: "f32".to_string(),
            batches: vec![1],
            seconds: 1.0,
        };
        // cargo adds `--bench`.
        let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = given.next() {
            if ["reference", "time"].contains(&name.as_str()) {
                arguments.verb = name;
                continue;
            }
            let value = given.next().ok_or_else(|| Error::invalid_argument("argument", "a value", &name))?;
            let no_number = || Error::invalid_argument("argument", format!("a number after {name}"), &value);
            match name.as_str() {
                "--model" => arguments.model = value,
                "--folder" => arguments.folder = value.into(),
                "--device" => arguments.device = value,
                "--precision" => arguments.precision = value,
                "--batches" => {
                    let batches = value.split(',').map(|batch| batch.parse().map_err(|_| no_number()));
                    arguments.batches = batches.collect::<Result<_>>()?;
                }
                "--seconds" => arguments.seconds = value.parse().map_err(|_| no_number())?,
                _ => return Err(Error::invalid_argument("argument", "one of the bench's documentation", name)),
            }
        }
        if arguments.verb.is_empty() {
            return Err(Error::invalid_argument("verb", "reference or time", "none"));
        }
        Ok(arguments)
    }

    fn load(&self, device: &str, precision: &str) -> Result<Sam> {
        let (device, precision) = (device.parse()?, precision.parse()?);
        Sam::random(&SamConfig::by_id(&self.model)?, 0, &ModelOptions { device, precision, ..ModelOptions::default() })
    }

    /// Where the features of a compared chip lie.
    fn features(&self, chip: usize) -> PathBuf {
        self.folder.join(format!("{}-{chip}.pt", self.model))
    }

    /// Where the masks of all compared chips lie, a byte each pixel.
    fn masks(&self) -> PathBuf {
        self.folder.join(format!("{}-masks.u8", self.model))
    }

    fn print(&self, measure: &str, mut values: Value) {
        values["measure"] = measure.into();
        values["model"] = self.model.as_str().into();
        values["device"] = self.device.as_str().into();
        values["precision"] = self.precision.as_str().into();
        println!("{values}");
    }
}

/// What the CPU makes of the compared chips, and how many operations that takes.
fn make_reference(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let model = arguments.load("cpu", "f32")?;
    let (mut masks, mut operations) = (Vec::new(), [0.0; 2]);
    for (index, chip) in chips(&model, COMPARED)?.iter().enumerate() {
        let (features, encoding) = profile(|| model.encode(std::slice::from_ref(chip)));
        let features = features?.remove(0);
        features.save_pt(&arguments.features(index), FeaturePrecision::F32)?;
        masks.extend(bytes(&compared_masks(&model, &features)?));
        let session = model.open(&features)?;
        let (answer, answering) = profile(|| session.predict(&[click(0)], PredictOptions::default()));
        answer?;
        operations = [operations_of(&encoding), operations_of(&answering)];
    }
    let path = arguments.masks();
    std::fs::write(&path, masks).map_err(|source| Error::io("write", &path, source))?;
    let values = json!({
        "operations_of_chip": operations[0],
        "operations_of_prompt": operations[1],
        "seconds": start.elapsed().as_secs_f64(),
    });
    arguments.print("reference", values);
    Ok(())
}

fn operations_of(profile: &Profile) -> f64 {
    profile.operators.iter().map(|operator| operator.operations).sum()
}

fn time(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let model = match arguments.load(&arguments.device, &arguments.precision) {
        Ok(model) => model,
        Err(error) => {
            arguments.print("load", json!({ "failed": error.to_string() }));
            return Ok(());
        }
    };
    arguments.print("load", json!({ "seconds": start.elapsed().as_secs_f64() }));
    for (turn, &batch) in arguments.batches.iter().enumerate() {
        let chips = chips(&model, batch)?;
        match samples(arguments.seconds, || model.encode(&chips).map(drop)) {
            Ok(samples) => arguments.print("encode", with("batch", batch, samples)),
            Err(error) => {
                arguments.print("encode", json!({ "batch": batch, "failed": error.to_string() }));
                break;
            }
        }
        if turn == 0 {
            prompts(arguments, &model)?;
            let found = agreement(arguments, &model).unwrap_or_else(|error| json!({ "failed": error.to_string() }));
            arguments.print("agreement", found);
        }
    }
    Ok(())
}

/// Clicks on a chip, alone and 16 in a call, never the same twice.
fn prompts(arguments: &Arguments, model: &Sam) -> Result<()> {
    let features = model.encode(&chips(model, 1)?)?.remove(0);
    let session = model.open(&features)?;
    let mut asked = 0;
    for count in [1, 16] {
        let answered = samples(arguments.seconds, || {
            let clicks: Vec<_> = (asked..asked + count).map(click).collect();
            asked += count;
            session.predict(&clicks, PredictOptions::default()).map(drop)
        });
        arguments.print("prompts", with("prompts", count, answered?));
    }
    Ok(())
}

/// Runs until the samples took `budget` seconds, at least and at most so many times.
fn samples(budget: f64, mut run: impl FnMut() -> Result<()>) -> Result<Value> {
    let mut timed = || {
        let start = Instant::now();
        run().map(|()| start.elapsed().as_secs_f64())
    };
    let first = timed()?;
    // What was tuned in the first call runs as it was tuned for the first time.
    timed()?;
    let mut seconds = Vec::new();
    while seconds.len() < FEWEST_SAMPLES || seconds.len() < MOST_SAMPLES && seconds.iter().sum::<f64>() < budget {
        seconds.push(timed()?);
    }
    Ok(json!({ "first_s": first, "seconds": seconds }))
}

fn with(name: &str, count: usize, mut values: Value) -> Value {
    values[name] = count.into();
    values
}

/// ‖Δ‖ / ‖reference‖ of each feature map, the largest of the chips, and the IoU of each mask with the reference's.
fn agreement(arguments: &Arguments, model: &Sam) -> Result<Value> {
    let mut maps: Vec<f64> = Vec::new();
    let mut masks = Vec::new();
    for (index, features) in model.encode(&chips(model, COMPARED)?)?.iter().enumerate() {
        let reference = EncodedImageFeatures::load_pt(&arguments.features(index))?;
        for (map, (ours, theirs)) in features.payload.tensors().zip(reference.payload.tensors()).enumerate() {
            let error = relative_difference(ours, theirs);
            if !error.is_finite() {
                return Err(Error::invalid_argument("features", "finite numbers", format!("a difference of {error}")));
            }
            maps.resize(maps.len().max(map + 1), 0.0);
            maps[map] = error.max(maps[map]);
        }
        masks.extend(compared_masks(model, features)?);
    }
    let path = arguments.masks();
    let reference = std::fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
    let mut rest = &reference[..];
    let mut overlaps = Vec::new();
    for mask in masks.iter().flat_map(|prediction| prediction.masks.iter()) {
        let theirs;
        (theirs, rest) = rest.split_at(mask.len());
        overlaps.push(iou(mask, theirs));
    }
    overlaps.sort_by(f64::total_cmp);
    Ok(json!({ "features": maps, "iou_lowest": overlaps[0], "iou_median": overlaps[overlaps.len() / 2] }))
}

fn relative_difference(ours: &FeatureTensor, reference: &FeatureTensor) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let pairs = ours.values().iter().zip(reference.values());
    norm(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)))
        / norm(&mut reference.values().iter().map(|value| f64::from(*value)))
}

/// 1 for two empty masks.
fn iou(ours: &[bool], theirs: &[u8]) -> f64 {
    let pairs = || ours.iter().zip(theirs).map(|(ours, theirs)| (*ours, *theirs != 0));
    let both = pairs().filter(|(ours, theirs)| *ours && *theirs).count();
    let either = pairs().filter(|(ours, theirs)| *ours || *theirs).count();
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}

/// All three masks of each prompt: where one is asked for, rounding may decide which it is.
fn compared_masks(model: &Sam, features: &EncodedImageFeatures) -> Result<Vec<Prediction>> {
    let boxed = |index| {
        let PixelPoint { column, row } = place(index);
        let bbox = PixelBox { left: column - 60.0, top: row - 40.0, right: column + 60.0, bottom: row + 40.0 };
        PixelPrompt { bbox: Some(bbox), ..PixelPrompt::default() }
    };
    let prompts: Vec<_> = (0..6).map(click).chain((6..8).map(boxed)).collect();
    model.open(features)?.predict(&prompts, PredictOptions { multimask: true })
}

fn bytes(predictions: &[Prediction]) -> impl Iterator<Item = u8> {
    predictions.iter().flat_map(|prediction| prediction.masks.values().iter().map(|inside| u8::from(*inside)))
}

fn click(index: usize) -> PixelPrompt {
    PixelPrompt { points: vec![place(index)], labels: vec![Label::Foreground], ..PixelPrompt::default() }
}

/// Somewhere on a chip, nowhere twice.
fn place(index: usize) -> PixelPoint {
    PixelPoint::new(80.0 + (index * 149 % 800) as f64, 80.0 + (index * 211 % 800) as f64 + (index / 800) as f64 / 16.0)
}

/// Chips of the model's size: patches of many sizes over each other, as fields and roofs are, each chip with its own.
fn chips(model: &Sam, count: usize) -> Result<Vec<ModelImage>> {
    let side = model.spec().image_size;
    let byte = |chip: usize, at: usize| {
        let (row, column, band) = (at / 3 / side, at / 3 % side, at % 3);
        let patch = |scale: usize| {
            let key = (((chip * 8 + scale) * 4 + band) << 24) + ((row >> scale) << 12) + (column >> scale);
            (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57
        };
        ((6 * patch(7) + 6 * patch(5) + 3 * patch(3) + patch(0)) / 8) as u8
    };
    let chip = |chip| ModelImage::new(Shape::square(side), (0..3 * side * side).map(|at| byte(chip, at)).collect());
    (0..count).map(chip).collect()
}
