//! The mask under the pointer while it moves: many single-point prompts on one chip, from one session.
//!
//! ```sh
//! cargo run --example hover_preview
//! ```
//!
//! A chip is encoded once and opened once; each position of the pointer is then one pass of the decoder. Positions that
//! are known together, as those of a path, are asked together: a session answers them side by side.

#[path = "shared/scene/mod.rs"]
mod scene;

use std::time::Instant;

use geosam::{
    ChipSource, Label, MemoryRaster, ModelOptions, NoProgress, PixelPoint, PixelPrompt, PredictOptions, Prediction,
    Result, Segmenter, Shape, ValueRangeChoice, Window, load_nano,
};
use scene::Scene;

/// Positions of the pointer.
const POSITIONS: usize = 16;

/// Largest |Δ| of two answers to the same prompt, as a share of the largest logit: they may differ by rounding only.
const ROUNDING: f32 = 1e-4;

/// Least IoU of the mask under the pointer when it is in the middle of the pond. Measured: 0.94.
const LEAST_IOU: f64 = 0.9;

fn main() -> Result<()> {
    run()
}

/// Needs no file: the raster is drawn, and the model is the one in the box.
pub(crate) fn run() -> Result<()> {
    let scene = Scene::lakeland(Shape::square(512), 13)?;
    let grid = scene.grid.clone();
    let pond = scene.pond();
    let middle = grid.to_pixel(scene.middle(pond));
    let raster = MemoryRaster::new(scene.pixels.clone(), grid.clone())?;
    assert_eq!(raster.bands().len(), Scene::BANDS);
    let whole = Window::whole(grid.shape);
    let image =
        raster.read(whole)?.to_model_image(&raster.value_range(ValueRangeChoice::Auto, whole, &NoProgress)?)?;

    let model = load_nano(&ModelOptions::default())?;
    let start = Instant::now();
    let features = model.encode(&[image])?;
    let session = model.open(&features[0])?;
    println!("encoded and opened the chip in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);

    // The pointer crosses the pond from west to east.
    let path: Vec<PixelPrompt> = (0..POSITIONS)
        .map(|i| {
            let column = middle.column + 8.0 * (i as f64 - POSITIONS as f64 / 2.0);
            let at = PixelPoint::new(column, middle.row);
            PixelPrompt { points: vec![at], labels: vec![Label::Foreground], ..PixelPrompt::default() }
        })
        .collect();
    let options = PredictOptions::default();

    let start = Instant::now();
    let mut single: Vec<Prediction> = Vec::with_capacity(POSITIONS);
    for position in &path {
        single.extend(session.predict(std::slice::from_ref(position), options)?);
    }
    println!("one by one: {:>5.0} prompts per second", POSITIONS as f64 / start.elapsed().as_secs_f64());

    let start = Instant::now();
    let together = session.predict(&path, options)?;
    println!("together:   {:>5.0} prompts per second", POSITIONS as f64 / start.elapsed().as_secs_f64());

    // What an example claims, it checks: the same answers either way, a mask of the chip's size for each position.
    assert_eq!((single.len(), together.len()), (POSITIONS, POSITIONS));
    for (alone, beside) in single.iter().zip(&together) {
        let logits = || alone.low_res.values.iter().zip(&beside.low_res.values);
        let largest = logits().map(|(a, _)| a.abs()).fold(0.0, f32::max);
        let difference = logits().map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= ROUNDING * largest, "{difference} of {largest}");
        assert_eq!((alone.masks.len(), alone.masks.shape()), (1, grid.shape));
    }
    assert!(single.windows(2).any(|pair| pair[0].low_res != pair[1].low_res), "the preview follows the pointer");
    let iou = pond.iou(together[POSITIONS / 2].masks.mask(0), whole);
    println!("in the middle of the pond: IoU {iou:.3}");
    assert!(iou >= LEAST_IOU, "{iou:.3}");
    Ok(())
}
