//! Automatic masks on a landscape whose objects are known: how many are found, how many twice, whether chip borders show,
//! how long it takes and how much memory.
//!
//! ```sh
//! cargo bench --bench automatic_masks                        # what geosam_nano finds
//! cargo bench --bench automatic_masks -- --checkpoint FILE   # what another model finds
//! cargo bench --bench automatic_masks -- --oracle            # what chip borders and the grid of points leave of a perfect one
//! ```
//!
//! A scene of 4096 × 4096 pixels is drawn (`--seed N`, `--side N`, `--gsd METRES`) and searched, with chips that overlap by half
//! and side by side (`--tiling NAME`: only one of them; `--missed` lists what was not found); a model by a process of its own, from
//! a GeoTIFF, so that its peak memory is the search's. `--points-per-side`, `--box-nms-thresh`, `--pred-iou-thresh` and
//! `--stability-score-thresh` are the search's. [`score`] says what is counted, [`oracle`] what its oracle knows.

#![allow(missing_docs)]

mod oracle;
#[path = "../../examples/shared/scene/mod.rs"]
mod scene;
mod score;
mod search;

use std::path::PathBuf;

use geosam::{AutomaticMasksConfig, Error, Result, Shape, Tiling};
use scene::{Scene, SceneConfig};
use score::Score;

/// Scenes of this seed and later ones are never learned from (`examples/train_nano.rs`).
const HELD_OUT: u64 = 1 << 40;

fn main() -> Result<()> {
    // cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let ["--search", job @ ..] = &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return search::in_this_process(job);
    }
    let mut config = SceneConfig { gsd: Some(1.0), ..SceneConfig::new(Shape::square(4096), HELD_OUT + 4096) };
    let mut tilings = vec![Tiling::HalfOverlap, Tiling::NonOverlapping];
    let mut checkpoint: Option<PathBuf> = None;
    let mut masks = AutomaticMasksConfig::default();
    let (mut oracle, mut list_missed) = (false, false);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--oracle" => oracle = true,
            "--missed" => list_missed = true,
            _ => {}
        }
        if argument == "--oracle" || argument == "--missed" {
            continue;
        }
        let value = arguments.next().ok_or_else(|| usage(&argument))?;
        let number = || value.parse::<f64>().map_err(|_| usage(&format!("{argument} {value}")));
        match argument.as_str() {
            "--checkpoint" => checkpoint = Some(value.into()),
            "--seed" => config.seed = number()? as u64,
            "--side" => config.shape = Shape::square(number()? as usize),
            "--gsd" => config.gsd = Some(number()? as f32),
            "--box-nms-thresh" => masks.box_nms_thresh = number()?,
            "--points-per-side" => masks.points_per_side = number()? as usize,
            "--pred-iou-thresh" => masks.pred_iou_thresh = Some(number()? as f32),
            "--stability-score-thresh" => masks.stability_score_thresh = number()? as f32,
            "--tiling" => tilings.retain(|tiling| search::name(*tiling) == value),
            _ => return Err(usage(&argument)),
        }
    }
    if checkpoint.is_some() && oracle {
        return Err(usage("both --checkpoint and --oracle"));
    }
    let scene = Scene::draw_with(&config)?;
    println!("{} pixels, seed {}, {} objects", config.shape, config.seed, scene.objects.len());
    println!("{}", Score::HEADER);
    for tiling in tilings {
        let found = match oracle {
            true => search::with_oracle(&scene, masks, tiling)?,
            false => search::in_own_process(&scene, checkpoint.as_deref(), masks, tiling)?,
        };
        let score = Score::of(&scene.objects, &found);
        println!("| {} | {score} |", search::name(tiling));
        if list_missed {
            score.missed.iter().for_each(|line| println!("{line}"));
        }
    }
    Ok(())
}

fn usage(found: &str) -> Error {
    let expected = "--checkpoint FILE or --oracle; --seed N, --side N, --gsd METRES, --tiling overlapping|non-overlapping, \
         --points-per-side N, --box-nms-thresh SHARE, --pred-iou-thresh SHARE, --stability-score-thresh SHARE, --missed";
    Error::invalid_argument("argument", expected, found)
}
