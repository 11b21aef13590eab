//! Encode a part of a raster at another resolution, with a progress report, and stop and go on.
//!
//! ```sh
//! cargo run --example encode_folder
//! ```

#[path = "shared/scene/mod.rs"]
mod scene;

use std::path::Path;
use std::sync::Arc;

use geosam::{
    BoundingBox, ChipSource, Error, FeatureCacheBuilder, FeatureCacheConfig, ModelOptions, Osr, Progress,
    RasterDataset, RasterOptions, Resampling, Result, Shape, ValueRangeChoice, describe_feature_source, load_nano,
    write_raster,
};
use scene::Scene;

fn main() -> Result<()> {
    run(Path::new("encode-folder-output"))
}

/// Prints what is done, and stops after some of it, as a user with an appointment would.
struct StopAt(f64, std::sync::atomic::AtomicBool);

impl Progress for StopAt {
    fn set_progress(&self, percent: f64) {
        println!("  {percent:>5.1} %");
        if percent >= self.0 {
            self.1.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn push_info(&self, _message: &str) {}

    fn is_canceled(&self) -> bool {
        self.1.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Everything is written into `folder`.
pub(crate) fn run(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    let raster_path = folder.join("scene.tif");
    let scene = Scene::lakeland(Shape::new(1024, 1024), 15)?;
    write_raster(&raster_path, &scene.grid, &scene.pixels, Scene::BANDS, Some(0.0))?;

    // Near infrared, red, green; at 1.2 m instead of 1 m.
    let options = RasterOptions {
        bands: Some(vec![4, 1, 2]),
        resolution: Some(1.2),
        resampling: Resampling::Bilinear,
        ..RasterOptions::default()
    };
    let raster = Arc::new(RasterDataset::open(&raster_path.to_string_lossy(), &options)?);
    assert_eq!(raster.grid().resolution(), (1.2, 1.2));

    // The eastern part, given in longitude and latitude; the CRS of an extent is the user's choice.
    let whole = raster.grid().bounds();
    let (_, east) = whole.split_at_x(0.25)?;
    assert!(east.contains_point(scene.middle(scene.pond())));
    let in_degrees: BoundingBox = east.to_crs(&"EPSG:4326".into(), &Osr)?;

    let model = Arc::new(load_nano(&ModelOptions::default())?);
    let config = FeatureCacheConfig {
        extent: Some(raster.window_of(&in_degrees)?),
        value_range: ValueRangeChoice::Percentiles { low: 2.0, high: 98.0, joint: false },
        max_memory: Some(64 << 20),
        ..FeatureCacheConfig::default()
    };
    let features = folder.join("features");
    let builder = FeatureCacheBuilder::new(raster, model, Arc::new(Osr), &features, config);
    let chips = builder.sampler()?.len();
    println!("{chips} chips");

    // Stopped in the middle, the folder holds what was done; the same call goes on from there.
    if features.join("manifest.parquet").exists() {
        std::fs::remove_dir_all(&features).map_err(|source| Error::io("remove", &features, source))?;
    }
    let stopped = builder.build(&StopAt(40.0, false.into()));
    let Err(Error::Cancelled { done, total }) = stopped else { panic!("the run should have stopped: {stopped:?}") };
    println!("stopped after {done} of {total}");
    let report = builder.build(&StopAt(f64::INFINITY, false.into()))?;
    println!("went on: {} more, {} were there", report.written, report.resumed);

    let summary = describe_feature_source(&features)?;
    println!("{} chips in {}, {} MiB", summary.chip_count, summary.crs, summary.storage_bytes >> 20);
    assert_eq!((report.resumed, report.written + report.resumed), (done, chips));
    assert_eq!(summary.chip_count, chips);
    assert_eq!(summary.bands, Some(vec![4, 1, 2]));
    Ok(())
}
