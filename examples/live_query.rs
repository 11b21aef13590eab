//! Ask a raster directly: the first prompt encodes the chip around it, the next ones on that chip take milliseconds.
//!
//! ```sh
//! cargo run --example live_query
//! ```

#[path = "shared/scene/mod.rs"]
mod scene;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use geosam::{
    Error, ModelOptions, OnlineQueryCache, OnlineQueryOptions, Points, PredictOptions, RasterDataset, RasterOptions,
    Result, Shape, WorldPoint, load_nano, query_raster, write_raster,
};
use scene::Scene;

/// Least IoU of the mask of the first click. Measured: 0.90.
const LEAST_IOU: f64 = 0.85;

fn main() -> Result<()> {
    run(Path::new("live-query-output"))
}

/// Everything is written into `folder`.
pub(crate) fn run(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    let raster_path = folder.join("scene.tif");
    let scene = Scene::lakeland(Shape::new(900, 1200), 11)?;
    write_raster(&raster_path, &scene.grid, &scene.pixels, Scene::BANDS, Some(0.0))?;

    let raster = Arc::new(RasterDataset::open(&raster_path.to_string_lossy(), &RasterOptions::default())?);
    let model = Arc::new(load_nano(&ModelOptions::default())?);
    let engine = query_raster(raster, model, OnlineQueryOptions::default())?;
    let mut cache = OnlineQueryCache::new();

    let pond = scene.pond();
    let middle = scene.middle(pond);
    let (mut chips, mut ious) = (Vec::new(), Vec::new());
    // A user who moves the pointer: on the pond, a bit beside it, and at the far end of the raster.
    for (x, y) in [(0.0, 0.0), (6.0, -4.0), (-300.0, -200.0)] {
        let click = Points::foreground(vec![WorldPoint::new(middle.x + x, middle.y + y)], scene.grid.crs.clone())?;
        let start = Instant::now();
        let result = engine.query(&click.into(), PredictOptions::default(), &mut cache)?;
        println!("{:>6.0} ms, chip {}", start.elapsed().as_secs_f64() * 1e3, result.chip_bounds);
        ious.push(pond.iou(result.masks.mask(0), scene.grid.window_of(&result.chip_bounds)?));
        chips.push(result.chip_bounds);
    }
    println!("the pond is found with IoU {:.3}, then {:.3}", ious[0], ious[1]);
    assert!(ious[0] >= LEAST_IOU, "{:.3}", ious[0]);
    assert_eq!(chips[0], chips[1], "the second click lies on the chip of the first, which is kept");
    assert_ne!(chips[0], chips[2], "the third does not, so another chip was encoded");

    // Off the raster there is no answer, and the error says where the raster is.
    let off = Points::foreground(vec![WorldPoint::new(0.0, 0.0)], scene.grid.crs.clone())?;
    let error = engine.query(&off.into(), PredictOptions::default(), &mut cache).expect_err("off the raster");
    println!("{error}");
    assert!(matches!(error, Error::OutOfBounds { .. }));
    Ok(())
}
