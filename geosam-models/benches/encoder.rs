//! Where the time of encoding a chip goes, operator by operator.
//!
//!     cargo bench -p geosam-models --bench encoder -- [MODEL|PRECISION]…
//!
//! `MODEL` is an identifier of the registry (default: sam_b mobile_sam), `PRECISION` f32 or bf16, for the models that
//! follow.
//!
//! The peak is that of one core from registers only, measured first, in the precision of the model's products, times the
//! number of cores.
//!
//! Of each model's runs the fastest is shown: on a shared machine it is the one that was disturbed least.

#![allow(clippy::print_stdout, missing_docs)]

use geosam_core::{ModelImage, Precision, Result, Segmenter, Shape};
use geosam_models::profile::profile;
use geosam_models::{ModelOptions, Sam, SamConfig};

mod peak;

const RUNS: usize = 3;

fn main() -> Result<()> {
    // `cargo bench` adds a flag of its own.
    let mut models: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if models.is_empty() {
        models = ["sam_b", "mobile_sam"].map(String::from).to_vec();
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let peaks = peak::measure().map(|peaks| peaks.map(|peak| peak * cores as f64));
    let mut options = ModelOptions::default();
    for name in models {
        if let Ok(precision) = name.parse() {
            options.precision = precision;
            continue;
        }
        let config = SamConfig::by_id(&name)?;
        let model = Sam::random(&config, 0, &options)?;
        let image = image(config.image_size())?;
        let mut profiles = Vec::new();
        for _ in 0..RUNS {
            let (features, profile) = profile(|| model.encode(std::slice::from_ref(&image)));
            features?;
            profiles.push(profile);
        }
        profiles.sort_by_key(|profile| profile.total);
        let profile = &profiles[0];
        match peaks {
            Some([f32, bf16]) => {
                let peak = if options.precision == Precision::Bf16 { bf16 } else { f32 };
                println!("{name}, {}, {cores} cores, peak {peak:.0} GFLOP/s", options.precision);
                println!("{}", profile.beside_peak(peak));
            }
            None => println!("{name}, {}, {cores} cores\n{profile}", options.precision),
        }
    }
    Ok(())
}

fn image(side: usize) -> Result<ModelImage> {
    let rgb = (0..3 * side * side).map(|i| (i * 7919 % 251) as u8).collect();
    ModelImage::new(Shape::square(side), rgb)
}
