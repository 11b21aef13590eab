//! Where the time of answering prompts goes, on a chip of 1024 × 1024 pixels: one click operator by operator, then whole
//! answers.
//!
//!     cargo bench -p geosam-models --bench decoder
//!
//! Of the runs the fastest is shown: on a shared machine it is the one that was disturbed least.

#![allow(clippy::print_stdout, missing_docs)]

use std::time::Instant;

use geosam_core::{
    EncodedImageFeatures, FeaturePayload, FeatureTensor, Label, ModelType, PixelPoint, PixelPrompt, PredictOptions,
    PromptSession, Result, Segmenter, Shape,
};
use geosam_models::profile::profile;
use geosam_models::{ImageEncoderConfig, ModelOptions, Sam, SamConfig, VitConfig};

const RUNS: usize = 21;

fn main() -> Result<()> {
    // The decoder of the published models behind an encoder of one narrow block, which is not timed.
    let encoder = VitConfig { width: 32, depth: 1, heads: 1, global_attention: vec![], ..VitConfig::vit_b() };
    let model =
        Sam::random(&SamConfig { image_encoder: ImageEncoderConfig::Vit(encoder) }, 0, &ModelOptions::default())?;
    let features = features(&model)?;
    let session = model.open(&features)?;
    println!("{} threads", std::thread::available_parallelism().map_or(1, usize::from));

    let mut profiles = Vec::new();
    for _ in 0..RUNS {
        let (answer, profile) = profile(|| session.predict(&[click(500.0)], PredictOptions::default()));
        answer?;
        profiles.push(profile);
    }
    profiles.sort_by_key(|profile| profile.total);
    println!("{}", profiles[0]);

    println!("{:<36}{:>9.2} ms", "open a chip", fastest(|| model.open(&features).map(drop))?);
    for (prompts, multimask) in [(1, false), (1, true), (16, false)] {
        let milliseconds = fastest(|| answer(&*session, prompts, multimask))? / prompts as f64;
        let masks = if multimask { 3 } else { 1 };
        println!("{:<36}{milliseconds:>9.2} ms each", format!("{prompts} clicks at once, {masks} masks each"));
    }
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

fn features(model: &Sam) -> Result<EncodedImageFeatures> {
    let values = (0..256 * 64 * 64u64).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 1.7).collect();
    Ok(EncodedImageFeatures {
        model_type: ModelType::Sam,
        checkpoint_path: model.spec().reference_checkpoint_path().to_string_lossy().into_owned(),
        src_shape: Shape::square(1024),
        dst_shape: Shape::square(1024),
        payload: FeaturePayload::Sam(FeatureTensor::new(vec![1, 256, 64, 64], values)?),
    })
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
