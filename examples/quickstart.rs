//! The whole path in one page: raster → feature folder → query → polygons and a picture.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! The raster is drawn, and the model is a small SAM with **seeded random weights**, because this repository has no
//! trained one yet: the path is real, the mask is not meaningful. With a checkpoint it becomes
//! `load_model("sam_b.pt", &ModelOptions::default())?` and everything else stays.

#[path = "shared/scene/mod.rs"]
mod scene;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use geosam::{
    ChipSource, Error, ExistingFolder, FeatureCacheBuilder, FeatureCacheConfig, ModelOptions, NoProgress, Osr,
    OverlayStyle, Points, PredictOptions, PromptSet, RasterDataset, RasterOptions, Result, Sam, Shape,
    ValueRangeChoice, VectorizeOptions, Window, open_folder, write_overlay, write_raster, write_vector,
};
use scene::Scene;

fn main() -> Result<()> {
    run(Path::new("quickstart-output"))
}

/// Everything is written into `folder`.
pub(crate) fn run(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;

    // 1. A raster: 16-bit, four bands, half a metre a pixel, in a UTM zone.
    let start = Instant::now();
    let raster_path = folder.join("scene.tif");
    let scene = Scene::lakeland(Shape::new(768, 1024), 4)?;
    write_raster(&raster_path, &scene.grid, &scene.pixels, Scene::BANDS, Some(0.0))?;
    println!("drew      {}  ({:.1} s)", raster_path.display(), start.elapsed().as_secs_f64());

    // 2. A model.
    let model = Arc::new(Sam::random(&scene::small_sam(), 0, &ModelOptions::default())?);
    println!("model     a small SAM with seeded random weights: the path is real, the mask means nothing");

    // 3. Encode once. The model takes chips of 512 pixels; they overlap by half.
    let start = Instant::now();
    let raster = Arc::new(RasterDataset::open(&raster_path.to_string_lossy(), &RasterOptions::default())?);
    let features = folder.join("features");
    let config = FeatureCacheConfig { existing: ExistingFolder::Overwrite, ..FeatureCacheConfig::default() };
    let report =
        FeatureCacheBuilder::new(raster.clone(), model.clone(), Arc::new(Osr), &features, config).build(&NoProgress)?;
    println!(
        "encoded   {} chips into {}  ({:.1} s)",
        report.written,
        features.display(),
        start.elapsed().as_secs_f64()
    );

    // 4. Ask: one click on the pond, in map coordinates. The first query opens the chip, later ones find it open.
    let engine = open_folder(&features, model)?;
    let pond = scene.pond();
    let prompt = PromptSet::from(Points::foreground(vec![pond], scene.grid.crs.clone())?);
    let first = engine.query(&prompt, PredictOptions::default())?;
    let start = Instant::now();
    let result = engine.query(&prompt, PredictOptions::default())?;
    println!(
        "answered  one click from {} in {:.0} ms, score {:.2}",
        result.chip_id.as_deref().unwrap_or("a chip"),
        start.elapsed().as_secs_f64() * 1e3,
        result.scores[0]
    );

    // 5. Polygons on the map, and a picture. Areas and tolerances are in metres, as the raster is.
    let polygons = result.features(&VectorizeOptions {
        simplify_tolerance: 0.5,
        min_area: 25.0,
        ..VectorizeOptions::default()
    })?;
    let geojson = folder.join("mask.geojson");
    write_vector(&geojson, &polygons)?;
    println!("wrote     {}  ({} polygons)", geojson.display(), polygons.features.len());

    let picture = folder.join("mask.png");
    let range = raster.value_range(ValueRangeChoice::Auto, Window::whole(raster.grid().shape))?;
    let chip = raster.read(raster.grid().window_of(&result.chip_bounds)?)?;
    let click = result.grid.to_pixel_prompt(&prompt, &Osr)?;
    write_overlay(&picture, &chip.to_model_image(&range)?, &result.masks, &[click], &OverlayStyle::default())?;
    println!("wrote     {}", picture.display());

    // What an example claims, it checks.
    assert_eq!(report.written, 6, "768 × 1024 pixels are two rows of three chips");
    assert_eq!(first.masks, result.masks, "the same question has the same answer");
    assert_eq!(result.masks.shape(), chip.shape());
    assert!(result.chip_bounds.contains_point(pond));
    assert!(geojson.is_file() && picture.is_file());
    Ok(())
}
