//! Ctrl-C in the middle keeps what is finished, and the same command goes on.

#![cfg(unix)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::workspace::{Workspace, interruption};

const ENCODE: &str = "encode scene.tif --checkpoint CKPT --out features --stride 16";
const CHIPS: u64 = 12 * 18;

#[test]
fn an_interrupted_run_is_continued() {
    let w = Workspace::new();
    let run = w.command(ENCODE).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first_chips = w.path("features/features/chip_000002.pt");
    let start = Instant::now();
    while !first_chips.exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "no chip appeared");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let said = interruption(&run.wait_with_output().unwrap());
    assert!(said.contains("goes on from there"), "{said}");

    let kept = w.json("info features");
    let count = kept["chips"].as_u64().unwrap();
    assert!((3..CHIPS).contains(&count), "{count} chips kept");
    assert_eq!(kept["complete"], json!(false));
    assert!(!w.files().iter().any(|name| name.contains("tmp")), "temporary files left: {:?}", w.files());

    let report = w.json(ENCODE);
    assert_eq!(report["resumed"], json!(count));
    assert_eq!(report["written"], json!(CHIPS - count));
    assert_eq!(w.json("info features")["complete"], json!(true));
}

#[test]
fn a_run_goes_on_after_its_raster_was_moved_if_that_is_said() {
    let w = Workspace::new();
    let encode =
        |raster: &str, more: &str| format!("encode {raster} --checkpoint CKPT --out features --stride 64 {more}");
    let chips = w.json(&encode("scene.tif", ""))["written"].clone();
    std::fs::remove_file(w.path("features/features/chip_000001.pt")).unwrap();
    std::fs::rename(w.path("scene.tif"), w.path("moved.tif")).unwrap();
    let said = w.error(&encode("moved.tif", ""));
    assert!(said.contains("made with source_path") && said.contains("scene.tif"), "{said}");
    let report = w.json(&encode("moved.tif", "--same-raster"));
    assert_eq!(report["written"], json!(1));
    assert_eq!(report["resumed"], json!(chips.as_u64().unwrap() - 1));
    let info = w.json("info features");
    assert!(info["raster"].as_str().unwrap().ends_with("moved.tif"), "{info}");
    // From now on it is the folder's raster.
    assert_eq!(w.json(&encode("moved.tif", ""))["written"], json!(0));
    let said = w.error(&encode("moved.tif", "--same-raster --bands 1"));
    assert!(said.contains("made with bands"), "{said}");
}
