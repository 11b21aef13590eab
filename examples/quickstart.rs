//! The whole path in one page: raster → feature folder → query → polygons and a picture.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! The raster is drawn, and the model is a small SAM with **seeded random weights**, because this repository has no
//! trained one yet: the path is real, the mask is not meaningful. With a checkpoint it becomes
//! `load_model("sam_b.pt", &ModelOptions::default())?` and everything else stays.

#[path = "shared/scene.rs"]
mod scene;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use geosam::{
    BuilderOptions, ChipSource, FeatureCacheBuilder, NoProgress, Osr, OverlayStyle, Points, PredictOptions, PromptSet,
    RasterDataset, RasterOptions, Result, Sam, SamConfig, Segmenter, Shape, VectorizeOptions, WorldPoint, open_folder,
    write_overlay, write_raster, write_vector,
};
use scene::Scene;

fn main() -> Result<()> {
    run(Path::new("quickstart-output"))
}

/// Everything is written into `folder`.
pub(crate) fn run(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| geosam::Error::io("create", folder, source))?;

    // 1. A raster: 16-bit, four bands, UTM.
    let start = Instant::now();
    let raster_path = folder.join("scene.tif");
    let scene = Scene::draw(Shape::new(768, 1024), 7)?;
    write_raster(&raster_path, &scene.grid, &scene.pixels, Some(0.0))?;
    println!("drew      {}  ({:.1} s)", raster_path.display(), start.elapsed().as_secs_f64());

    // 2. A model.
    let segmenter = Arc::new(Sam::random(&SamConfig::tiny(), 0)?);
    println!("model     a small SAM with seeded random weights: the path is real, the masks mean nothing");

    // 3. Encode once.
    let start = Instant::now();
    let raster = Arc::new(RasterDataset::open(&raster_path.to_string_lossy(), &RasterOptions::default())?);
    let features = folder.join("features");
    let options = BuilderOptions { overwrite: true, ..BuilderOptions::default() };
    let report = FeatureCacheBuilder::new(raster.clone(), segmenter.clone(), Arc::new(Osr), &features, options)?
        .build(&NoProgress)?;
    println!("encoded   {} chips into {}  ({:.1} s)", report.written, features.display(), start.elapsed().as_secs_f64());

    // 4. Ask: one click on the pond, in map coordinates.
    let engine = open_folder(&features, segmenter)?;
    let bounds = raster.grid().bounds();
    let [right, down] = Scene::POND;
    let pond = WorldPoint::new(bounds.left + right * bounds.width(), bounds.top - down * bounds.height());
    let prompt = PromptSet::from(Points::foreground(vec![pond], raster.grid().crs.clone())?);
    engine.query(&prompt, PredictOptions::default())?; // the first query opens the chip
    let start = Instant::now();
    let result = engine.query(&prompt, PredictOptions::default())?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    println!(
        "answered  one click from {} in {milliseconds:.0} ms, score {:.3}",
        result.chip_id.as_deref().unwrap_or("a chip"),
        result.scores[0]
    );

    // 5. Polygons on the map, and a picture.
    let options = VectorizeOptions { simplify_tolerance: Some(0.5), min_area: Some(4.0), ..VectorizeOptions::default() };
    let polygons = result.features(&options)?;
    let geojson = folder.join("pond.geojson");
    write_vector(&geojson, &polygons, &Osr)?;
    println!("wrote     {}  ({} polygons)", geojson.display(), polygons.features.len());

    let picture = folder.join("pond.png");
    let chip = raster.read(raster.grid().window_of(&result.chip_bounds)?)?;
    let range = raster.value_range(Default::default(), geosam::Window::whole(raster.grid().shape))?;
    let on_chip = result.grid.to_pixel_prompt(&prompt, &Osr)?;
    write_overlay(&picture, &chip.to_model_image(&range)?, &result.masks, &[on_chip], &OverlayStyle::default())?;
    println!("wrote     {}", picture.display());

    // What an example claims, it checks.
    assert_eq!(result.masks.shape(), chip.shape());
    assert!(result.chip_bounds.contains_point(pond));
    assert!(geojson.exists() && picture.exists());
    assert_eq!(segmenter_image_size(&engine), result.masks.shape().width);
    Ok(())
}

fn segmenter_image_size(engine: &geosam::FeatureQueryEngine) -> usize {
    engine.segmenter().spec().image_size
}
