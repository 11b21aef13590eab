//! Encode and decode times of one chip, as samples in one line of JSON; `make bench` runs this beside Python geosam.
//!
//! ```sh
//! cargo bench --bench speed -- --checkpoint sam_b.pt --chip chip.u8 --encodes 3 --decodes 20 [--precision bf16]
//! ```
//!
//! `--chip` holds RGB bytes of a chip of the model's size, 1024 × 1024 pixels and 1008 × 1008 for SAM 3 (default: noise);
//! `--features FILE` receives the features, f32 little-endian. Chips are prepared as Python geosam 0.1 does, so that both
//! sides do the same work. Decoding is what a hover preview does: one click after the other on the same chip, alone or
//! 16 in a call.

#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use geosam::{
    Error, Label, ModelImage, ModelOptions, PixelPoint, PixelPrompt, Precision, PredictOptions, Preprocess, Result,
    Segmenter, Shape, load_model,
};

#[derive(Default)]
struct Arguments {
    checkpoint: Option<PathBuf>,
    chip: Option<PathBuf>,
    features: Option<PathBuf>,
    encodes: usize,
    decodes: usize,
    precision: Precision,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut arguments = Self { encodes: 3, decodes: 20, ..Self::default() };
        // cargo adds `--bench`.
        let mut given = std::env::args().skip(1).filter(|a| a != "--bench");
        while let Some(name) = given.next() {
            let value = given.next().ok_or_else(|| Error::invalid_argument("argument", "a value", &name))?;
            let count = || value.parse().map_err(|_| Error::invalid_argument("count", "a number", &value));
            match name.as_str() {
                "--checkpoint" => arguments.checkpoint = Some(value.into()),
                "--chip" => arguments.chip = Some(value.into()),
                "--features" => arguments.features = Some(value.into()),
                "--encodes" => arguments.encodes = count()?,
                "--precision" => arguments.precision = value.parse()?,
                "--decodes" => arguments.decodes = count()?,
                _ => return Err(Error::invalid_argument("argument", "one of the bench's documentation", name)),
            }
        }
        Ok(arguments)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    let Some(checkpoint) = &arguments.checkpoint else {
        return Err(Error::invalid_argument(
            "--checkpoint",
            "the path of a model file; `make bench` gives one",
            "none",
        ));
    };
    let model = load_model(
        checkpoint,
        &ModelOptions { preprocess: Preprocess::Geosam01, precision: arguments.precision, ..Default::default() },
    )?;
    let image = [chip(arguments.chip.as_deref(), model.spec().image_size)?];

    let mut features = model.encode(&image)?;
    let mut encode = Vec::new();
    for _ in 0..arguments.encodes {
        let start = Instant::now();
        features = model.encode(&image)?;
        encode.push(start.elapsed().as_secs_f64());
    }
    if let Some(path) = &arguments.features {
        let values = features[0].payload.tensors().flat_map(geosam::FeatureTensor::values);
        let bytes: Vec<u8> = values.flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(path, bytes).map_err(|source| Error::io("write", path, source))?;
    }

    let session = model.open(&features[0])?;
    let mut shift = 0.0;
    let mut decode = |count: usize| -> Result<f64> {
        // Never the same prompt twice.
        let prompts: Vec<_> = (0..count)
            .map(|_| {
                shift += 1.0;
                PixelPrompt {
                    points: vec![PixelPoint::new(300.0 + shift % 400.0, 500.0)],
                    labels: vec![Label::Foreground],
                    ..PixelPrompt::default()
                }
            })
            .collect();
        let start = Instant::now();
        let predictions = session.predict(&prompts, PredictOptions::default())?;
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(predictions.len(), count);
        Ok(seconds / count as f64)
    };
    decode(1)?;
    let one: Vec<f64> = (0..arguments.decodes).map(|_| decode(1)).collect::<Result<_>>()?;
    decode(16)?;
    let sixteen: Vec<f64> = (0..arguments.decodes.div_ceil(4)).map(|_| decode(16)).collect::<Result<_>>()?;

    println!(
        "{}",
        serde_json::json!({
            "model": model.spec().model_id,
            "encode_s": encode,
            "decode_s": one,
            "decode_s_of_16": sixteen,
        })
    );
    Ok(())
}

fn chip(path: Option<&Path>, side: usize) -> Result<ModelImage> {
    let bytes = match path {
        Some(path) => std::fs::read(path).map_err(|source| Error::io("read", path, source))?,
        None => (0..3 * side * side).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
    };
    ModelImage::new(Shape::square(side), bytes)
}
