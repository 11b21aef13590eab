//! Each command on good input.

use serde_json::json;

use crate::workspace::Workspace;

#[test]
fn encode_then_query_then_info() {
    let w = Workspace::new();
    let report = w.json("encode scene.tif --checkpoint CKPT --out features");
    // 300 × 400 pixels in chips of 128 every 64: starts 0, 64, 128, 172 by 0, 64, …, 256, 272.
    assert_eq!(report["chips"], json!(24));
    assert_eq!(report["written"], json!(24));

    let query = "query features --checkpoint CKPT --point 500280,4999800 --point 500320,4999840,0 --crs EPSG:32633";
    let answer =
        w.json(&format!("{query} --out a.geojson --out a.gpkg --out a.tif --out a.png --logits a.safetensors"));
    let result = &answer["results"][0];
    assert_eq!(result["shape"], json!([128, 128]));
    assert_eq!(result["crs"], json!("EPSG:32633"));
    assert_eq!(result["scores"].as_array().unwrap().len(), 1);
    for file in ["a.geojson", "a.gpkg", "a.tif", "a.png", "a.safetensors"] {
        assert!(w.path(file).metadata().unwrap().len() > 0, "{file}");
    }
    let three = w.json(&format!("{query} --multimask"));
    assert_eq!(three["results"][0]["scores"].as_array().unwrap().len(), 3);

    let info = w.json("info features");
    assert_eq!(info["chips"], json!(24));
    assert_eq!(info["crs"], json!("EPSG:32633"));
    assert_eq!(info["bands"], json!([1, 2, 3]));
    assert!(w.ok("info features").contains("feature folder"));
}

#[test]
fn a_raster_is_queried_directly() {
    let w = Workspace::new();
    let answer = w.json("query scene.tif --checkpoint CKPT --box 500200,4999750,500300,4999850 --crs EPSG:32633");
    assert_eq!(answer["results"][0]["chip_id"], json!(null));
    assert_eq!(answer["results"][0]["shape"], json!([128, 128]));
}

#[test]
fn prompts_from_a_file_get_one_result_each() {
    let w = Workspace::new();
    w.ok("encode scene.tif --checkpoint CKPT --out features --stride 128");
    std::fs::write(w.path("clicks.csv"), "x,y,label\n500100,4999900,1\n500600,4999500,1\n").unwrap();
    let answer = w.json("query features --checkpoint CKPT --prompts clicks.csv --crs EPSG:32633 --out all.geojson");
    let chips: Vec<_> = answer["results"].as_array().unwrap().iter().map(|r| r["chip_id"].clone()).collect();
    assert_eq!(chips.len(), 2);
    assert_ne!(chips[0], chips[1]);
}

#[test]
fn the_grid_is_previewed() {
    let w = Workspace::new();
    let chips = w.json("chips scene.tif --chip-size 128 --stride 64 --out chips.geojson");
    assert_eq!(chips["chips"], json!(24));
    assert_eq!(chips["rectangles"][0], json!([500_000.0, 4_999_744.0, 500_256.0, 5_000_000.0]));
    assert!(w.path("chips.geojson").is_file());
    let part = w.json("chips scene.tif --chip-size 128 --extent 500000,4999800,500100,5000000");
    assert_eq!(part["chips"], json!(1));
}

#[test]
fn settings_of_the_legacy_encoder_are_followed_and_options_win() {
    let w = Workspace::new();
    let settings = json!({"inputs": {
        "INPUT": "scene.tif", "OUTPUT_DIR": "from-settings", "CKPT": Workspace::checkpoint(), "BANDS": [2, 1, 3],
        "RANGE": "0,3100", "STRIDE": 128, "EXTENT": "500000, 500512, 4999488, 5000000 [EPSG:32633]", "MODEL_TYPE": 2,
    }});
    std::fs::write(w.path("settings.json"), settings.to_string()).unwrap();
    let report = w.json("encode --settings settings.json --stride 64");
    // 256 × 256 pixels in chips of 128 every 64.
    assert_eq!(report["chips"], json!(9));
    let info = w.json("info from-settings");
    assert_eq!(info["bands"], json!([2, 1, 3]));
    assert_eq!(info["value_range"]["per_band"][0], json!({"min": 0.0, "max": 3100.0}));
}

#[test]
fn every_model_of_the_registry_is_listed() {
    let w = Workspace::new();
    assert_eq!(w.json("models")["models"].as_array().unwrap().len(), 14);
    assert!(w.ok("models").contains("mobile_sam"));
}

#[test]
fn a_checkpoint_and_a_raster_are_described() {
    let w = Workspace::new();
    assert_eq!(w.json("info CKPT")["kind"], json!("checkpoint"));
    let raster = w.json("info scene.tif");
    assert_eq!(raster["shape"], json!([300, 400]));
    assert_eq!(raster["bands"][0]["type"], json!("uint16"));
}
