//! `geosam auto` on a model whose masks mean nothing: what it writes is valid and fits together.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use geosam::{ChipSource, Pixels, PromptFileOptions, RasterDataset, RasterOptions, Window, read_prompts};
use serde_json::json;

use crate::workspace::{SHAPE, Workspace, interruption};

/// Every mask, however bad, from few points.
const ANYTHING: &str = "--checkpoint CKPT --points-per-side 4 --pred-iou-thresh=-1000 --stability-score-thresh 0";

#[test]
fn files_of_all_formats_hold_the_same_masks() {
    let w = Workspace::new();
    let report = w.json(&format!("auto scene.tif {ANYTHING} --out a.geojson --out a.gpkg --out a.fgb --out a.tif"));
    // 24 chips; a point every 32 of 300 × 400 pixels.
    assert_eq!((&report["chips"], &report["points"]), (&json!(24), &json!(9 * 12)));
    let masks = report["masks"].as_u64().unwrap();
    assert!(masks > 0, "{report}");
    assert_eq!(report["outputs"], json!(["a.geojson", "a.gpkg", "a.fgb", "a.tif"]));
    let files: Vec<_> = w.files().into_iter().filter(|name| name != "scene.tif").collect();
    assert_eq!(files, ["a.fgb", "a.geojson", "a.gpkg", "a.tif"]);

    let collection: serde_json::Value = serde_json::from_slice(&std::fs::read(w.path("a.geojson")).unwrap()).unwrap();
    let features = collection["features"].as_array().unwrap();
    let mut area_of_mask: BTreeMap<u64, (f64, u64)> = BTreeMap::new();
    for (index, feature) in features.iter().enumerate() {
        let properties = &feature["properties"];
        assert_eq!(properties["id"], json!(index + 1));
        assert!(properties["score"].is_number() && properties["stability"].is_number(), "{properties}");
        let mask = area_of_mask.entry(properties["mask"].as_u64().unwrap()).or_default();
        mask.0 += properties["area"].as_f64().unwrap();
        mask.1 = properties["pixels"].as_u64().unwrap();
    }
    assert!(area_of_mask.keys().copied().eq(1..=masks), "identifiers are 1, 2, …, {masks}");
    for (mask, (area, pixels)) in &area_of_mask {
        // Two metres a pixel.
        assert_eq!(*area, 4.0 * *pixels as f64, "mask {mask}");
    }
    for name in ["a.gpkg", "a.fgb"] {
        let polygons = read_prompts(w.path(name), &PromptFileOptions::default()).unwrap();
        assert_eq!(polygons.len(), features.len(), "{name}");
    }

    let open = |name: &str| RasterDataset::open(w.path(name).to_str().unwrap(), &RasterOptions::default()).unwrap();
    let labels = open("a.tif");
    assert_eq!(labels.grid(), open("scene.tif").grid());
    let Pixels::U32(labels) = labels.read(Window::whole(SHAPE)).unwrap().pixels else { panic!("labels are u32") };
    assert!(labels.iter().all(|label| u64::from(*label) <= masks) && labels.iter().any(|label| *label > 0));
}

#[test]
fn a_folder_and_its_raster_have_the_same_masks() {
    let w = Workspace::new();
    for tiling in ["overlapping", "non-overlapping"] {
        w.ok(&format!("encode scene.tif --checkpoint CKPT --out {tiling} --tiling {tiling}"));
        let from_folder = w.json(&format!("auto {tiling} {ANYTHING} --out folder.geojson --out folder.tif"));
        let from_raster = w.json(&format!("auto scene.tif {ANYTHING} --tiling {tiling} --out raster.geojson"));
        assert_eq!(from_folder["masks"], from_raster["masks"]);
        let read = |name: &str| std::fs::read_to_string(w.path(name)).unwrap();
        assert!(read("folder.geojson") == read("raster.geojson"), "{tiling}");
    }
    let said = w.ok(&format!("auto overlapping {ANYTHING} --min-area 5000 --out some.gpkg"));
    assert!(said.contains(" from 108 points on 24 chips in ") && said.contains("wrote some.gpkg"), "{said}");
}

#[test]
fn parameters_decide_what_is_kept() {
    let w = Workspace::new();
    let count = |options: &str| w.json(&format!("auto scene.tif {options}"))["masks"].as_u64().unwrap();
    assert_eq!(count(&ANYTHING.replace("=-1000", "=1000")), 0);
    assert_eq!(count(&ANYTHING.replace("=-1000", "=1000")), 0);
    let masks = |options: &str| count(&format!("{ANYTHING} {options}"));
    let all = masks("");
    assert_eq!(masks("--min-area 200000"), 0);
    assert_eq!(masks("--max-area 0"), 0);
    assert!(masks("--box-nms-thresh 0.01") < all);
    let part = w.json(&format!("auto scene.tif {ANYTHING} --extent 500000,4999744,500256,5000000"));
    assert_eq!((&part["chips"], &part["points"]), (&json!(1), &json!(16)));
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_no_file() {
    let w = Workspace::new();
    std::fs::write(w.path("old.gpkg"), "old").unwrap();
    let command = "auto scene.tif --checkpoint CKPT --points-per-side 64 --stride 16 --out old.gpkg --out a.tif";
    let run = w.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    // Its files in the making.
    while !w.files().iter().any(|name| name.contains("tmp")) {
        assert!(start.elapsed() < Duration::from_secs(120), "nothing was begun");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let said = interruption(&run.wait_with_output().unwrap());
    assert!(said.contains("of 216 chips"), "{said}");
    assert_eq!(w.files(), ["old.gpkg", "scene.tif"]);
    assert_eq!(std::fs::read(w.path("old.gpkg")).unwrap(), b"old");
}

#[test]
fn what_cannot_be_done_is_refused_before_work_begins() {
    let w = Workspace::new();
    w.ok("encode scene.tif --checkpoint CKPT --out features --tiling non-overlapping");
    let before = w.files();
    for (arguments, parts) in [
        ("auto nothing --checkpoint CKPT", &["nothing"][..]),
        ("auto scene.tif --checkpoint CKPT --out a.png", &[".gpkg", "a.png"]),
        ("auto scene.tif --checkpoint CKPT --out a.shp", &[".gpkg", "a.shp"]),
        ("auto scene.tif --checkpoint CKPT --out none/a.gpkg", &["none"]),
        ("auto scene.tif --checkpoint CKPT --points-per-side 0 --out a.gpkg", &["points per side"]),
        ("auto scene.tif --checkpoint CKPT --box-nms-thresh 0", &["box NMS threshold"]),
        ("auto scene.tif --checkpoint CKPT --stability-score-thresh 95", &["stability score", "from 0 to 1"]),
        ("auto scene.tif --checkpoint CKPT --points-per-side 9999", &["points per side", "1024"]),
        ("auto scene.tif --checkpoint CKPT --simplify=-1", &["--simplify"]),
        ("auto scene.tif --checkpoint CKPT --min-area 9 --max-area 8", &["largest area"]),
        ("auto scene.tif --checkpoint CKPT --extent 0,0,10,10", &["outside"]),
        ("auto features --checkpoint CKPT --stride 64", &["--stride", "feature folder"]),
    ] {
        let said = w.error(arguments);
        for part in parts {
            assert!(said.contains(part), "geosam {arguments}\n  said:   {said}\n  lacks: {part}");
        }
        assert_eq!(w.files(), before, "geosam {arguments} left files behind");
    }
    let help = w.ok("auto --help");
    for option in ["--points-per-side", "--stability-score-offset", "--min-mask-region-area", "--max-area", "--tiling"]
    {
        assert!(help.contains(option), "{option}");
    }
}
