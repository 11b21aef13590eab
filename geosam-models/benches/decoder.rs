//! Where the time of answering prompts goes, on a chip of the model's size: one click operator by operator, then whole
//! answers.
//!
//!     cargo bench -p geosam-models --bench decoder -- [sam|sam2|sam3]…          (default: all)
//!
//! Of the runs the fastest is shown: on a shared machine it is the one that was disturbed least.

#![allow(clippy::print_stdout, missing_docs)]

use std::time::Instant;

use geosam_core::{
    Error, Label, ModelImage, PixelPoint, PixelPrompt, PredictOptions, PromptSession, Result, Segmenter, Shape,
};
use geosam_models::profile::profile;
use geosam_models::{
    HieraConfig, ImageEncoderConfig, ModelOptions, PerceptionEncoderConfig, Sam, SamConfig, VitConfig,
};

mod peak;

const RUNS: usize = 21;

fn main() -> Result<()> {
    // `cargo bench` adds a flag of its own.
    let mut families: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if families.is_empty() {
        families = ["sam", "sam2", "sam3"].map(String::from).to_vec();
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // In f32, of all cores.
    let peak = peak::measure().map(|[f32, _]| f32 * cores as f64);
    for family in families {
        println!("{family}, {cores} cores{}", peak.map_or(String::new(), |peak| format!(", peak {peak:.0} GFLOP/s")));
        bench(&SamConfig { image_encoder: narrow_encoder(&family)? }, peak)?;
    }
    Ok(())
}

/// The published models' input and features from a narrow encoder, which is not timed.
fn narrow_encoder(family: &str) -> Result<ImageEncoderConfig> {
    Ok(match family {
        "sam" => ImageEncoderConfig::Vit(VitConfig {
            width: 32,
            depth: 1,
            heads: 1,
            global_attention: vec![],
            ..VitConfig::vit_b()
        }),
        "sam2" => ImageEncoderConfig::Hiera(HieraConfig {
            width: 16,
            depths: [1; 4],
            global_attention: vec![],
            ..HieraConfig::tiny()
        }),
        "sam3" => ImageEncoderConfig::Perception(PerceptionEncoderConfig {
            width: 32,
            depth: 1,
            heads: 1,
            mlp: 32,
            global_attention: vec![],
            ..PerceptionEncoderConfig::sam3()
        }),
        _ => return Err(Error::invalid_argument("family", "sam, sam2 or sam3", family)),
    })
}

fn bench(config: &SamConfig, peak: Option<f64>) -> Result<()> {
    let model = Sam::random(config, 0, &ModelOptions::default())?;
    let side = config.image_size();
    let rgb = (0..3 * side * side).map(|i| (i * 7919 % 251) as u8).collect();
    let features = model.encode(&[ModelImage::new(Shape::square(side), rgb)?])?.remove(0);
    let session = model.open(&features)?;

    let mut profiles = Vec::new();
    for _ in 0..RUNS {
        let (answer, profile) = profile(|| session.predict(&[click(500.0)], PredictOptions::default()));
        answer?;
        profiles.push(profile);
    }
    profiles.sort_by_key(|profile| profile.total);
    match peak {
        Some(peak) => println!("{}", profiles[0].beside_peak(peak)),
        None => println!("{}", profiles[0]),
    }

    println!("{:<36}{:>9.2} ms", "open a chip", fastest(|| model.open(&features).map(drop))?);
    for (prompts, multimask) in [(1, false), (1, true), (16, false)] {
        let milliseconds = fastest(|| answer(&*session, prompts, multimask))? / prompts as f64;
        let masks = if multimask { 3 } else { 1 };
        println!("{:<36}{milliseconds:>9.2} ms each", format!("{prompts} clicks at once, {masks} masks each"));
    }
    println!();
    Ok(())
}

fn answer(session: &dyn PromptSession, prompts: usize, multimask: bool) -> Result<()> {
    let clicks: Vec<_> = (0..prompts).map(|index| click(100.0 + 50.0 * index as f64)).collect();
    session.predict(&clicks, PredictOptions { multimask }).map(drop)
}

fn click(column: f64) -> PixelPrompt {
    let points = vec![PixelPoint::new(column, 500.0)];
    PixelPrompt { points, labels: vec![Label::Foreground], ..PixelPrompt::default() }
}

/// Milliseconds.
fn fastest(run: impl Fn() -> Result<()>) -> Result<f64> {
    let mut fastest = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        run()?;
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(fastest)
}
