//! Each command on good input.

use geosam::{
    ChipSource, Pixels, RasterDataset, RasterOptions, SamConfig, Window, write_random_checkpoint, write_raster,
};
use serde_json::json;

use crate::workspace::{SHAPE, Workspace};

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
fn encoding_keeps_to_the_memory_it_is_given_and_says_where_the_time_went() {
    let w = Workspace::new();
    let report = w.json("encode scene.tif --checkpoint CKPT --out features --max-memory 4MB");
    assert_eq!(report["written"], json!(24));
    let seconds = |stage: &str| report["seconds"][stage].as_f64().unwrap_or_else(|| panic!("no {stage} in {report}"));
    for stage in ["statistics", "read", "prepare", "encode", "write", "encoder_idle"] {
        assert!(seconds(stage) > 0.0, "{stage}");
    }
    assert!((seconds("encode") + seconds("encoder_idle") - seconds("wall")).abs() < 1e-6);

    let said = w.ok("encode scene.tif --checkpoint CKPT --out others");
    for word in ["24 of 24 chips encoded", "encoding", "encoder idle", "reading", "preparing", "writing"] {
        assert!(said.contains(word), "{said}");
    }
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
    let clicks = "x,y,label,name,Score,id,input_id\n500100,4999900,1,pond,3,7,-7\n500600,4999500,1,,4,8,-8\n";
    std::fs::write(w.path("clicks.csv"), clicks).unwrap();
    let answer = w.json("query features --checkpoint CKPT --prompts clicks.csv --crs EPSG:32633 --out all.geojson");
    let chips: Vec<_> = answer["results"].as_array().unwrap().iter().map(|r| r["chip_id"].clone()).collect();
    assert_eq!(chips.len(), 2);
    assert_ne!(chips[0], chips[1]);
    // The polygons keep what the file says of the clicks; `score` is the mask's.
    assert_eq!(answer["results"][0]["properties"]["name"], json!("pond"));
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(w.path("all.geojson")).unwrap()).unwrap();
    let mut asked = std::collections::BTreeSet::new();
    for polygon in written["features"].as_array().unwrap() {
        let columns = &polygon["properties"];
        asked.insert(columns["prompt"].as_i64().unwrap());
        let (name, theirs, id) = if columns["prompt"] == json!(1) { ("pond", 3, 7) } else { ("", 4, 8) };
        assert_eq!((&columns["name"], &columns["input_Score"]), (&json!(name), &json!(theirs)));
        assert_eq!((&columns["input_id"], &columns["input_input_id"]), (&json!(id), &json!(-id)));
        assert!(columns["score"].is_f64() && columns.get("Score").is_none(), "{columns}");
    }
    assert_eq!(asked.len(), 2);
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
fn the_grid_is_that_of_the_model_that_will_encode() {
    let w = Workspace::new();
    // 1016 × 1016 pixels: one chip for SAM, which takes 1024, four for SAM 3, which takes 1008.
    let large = include_str!("no_crs.vrt").replace("\"200\"", "\"1016\"");
    std::fs::write(w.path("large.vrt"), large).unwrap();
    let preview = |options: &str| w.json(&format!("chips large.vrt --assume-crs EPSG:32633 {options}"));
    let mib = |chips: &serde_json::Value| chips["feature_bytes"].as_f64().unwrap() / f64::from(1 << 20);

    let nano = preview("");
    assert_eq!((&nano["model"], &nano["chips"], mib(&nano)), (&json!("geosam_nano"), &json!(49), 24.5));
    let sam = preview("--model sam_b");
    assert_eq!((&sam["model"], &sam["chips"], mib(&sam)), (&json!("sam_b"), &json!(1), 4.0));
    assert_eq!(sam["chip"], json!([1016, 1016]), "the raster is smaller than a chip");
    let sam2 = preview("--model sam2.1_l");
    assert_eq!((&sam2["chips"], mib(&sam2)), (&json!(1), 16.0));
    for model in ["sam3", "sam3.1_multiplex"] {
        let sam3 = preview(&format!("--model {model}"));
        assert_eq!((&sam3["chips"], mib(&sam3)), (&json!(4), 4.0 * 20.25));
        assert_eq!(sam3["chip"], json!([1008, 1008]));
    }
    assert!(w.ok("chips large.vrt --assume-crs EPSG:32633 --model sam3").contains("SAM 3"));
}

#[test]
fn chips_are_as_large_as_the_input_of_the_checkpoint() {
    let w = Workspace::new();
    write_random_checkpoint(&w.path("sam3.pt"), &SamConfig::small_sam3(), 5).unwrap();
    assert_eq!(w.json("info sam3.pt")["model_type"], json!("sam3"));
    let encode = "encode scene.tif --checkpoint sam3.pt --out features --tiling non-overlapping";
    // 300 × 400 pixels in chips of 126: three rows of four.
    assert_eq!(w.json(encode)["written"], json!(12));
    assert_eq!(w.json("info features")["model_type"], json!("sam3"));
    let answer = w.json("query features --checkpoint sam3.pt --point 500100,4999900 --crs EPSG:32633");
    assert_eq!(answer["results"][0]["shape"], json!([126, 126]));
}

#[test]
fn chips_side_by_side_are_fewest_and_empty_ones_are_left_out() {
    let w = Workspace::new();
    // The scene without data in its first 128 of 400 columns.
    let (scene, half) = (w.raster(), w.path("half.tif"));
    let raster = RasterDataset::open(scene.to_str().unwrap(), &RasterOptions::default()).unwrap();
    let sample = raster.read(Window::whole(SHAPE)).unwrap();
    let Pixels::U16(mut values) = sample.pixels else { panic!("the scene is of u16") };
    values.iter_mut().enumerate().filter(|(i, _)| i % SHAPE.width < 128).for_each(|(_, value)| *value = 0);
    write_raster(&half, &sample.grid, &Pixels::U16(values), 3, Some(0.0)).unwrap();

    // 3 × 4 chips of 128; the last row and column end at the edge.
    let preview = w.json("chips half.tif --chip-size 128 --tiling non-overlapping");
    assert_eq!(preview["chips"], json!(12));
    let last = preview["rectangles"][11].clone();
    assert_eq!(last, json!([500_544.0, 4_999_400.0, 500_800.0, 4_999_656.0]));
    assert_eq!(w.json("chips half.tif --chip-size 128 --tiling overlapping")["chips"], json!(24));

    let report = w.json("encode half.tif --checkpoint CKPT --out features --tiling non-overlapping");
    assert_eq!((&report["chips"], &report["written"], &report["skipped"]), (&json!(12), &json!(9), &json!(3)));
    assert_eq!(w.json("info features")["chips"], json!(9));
    let query = "query features --checkpoint CKPT --crs EPSG:32633";
    // In the last column of chips, and where the chip was left out.
    let answer = w.json(&format!("{query} --point 500780,4999420"));
    assert_eq!(answer["results"][0]["chip_id"], json!("chip_000011"));
    let nothing = w.error(&format!("{query} --point 500100,4999900"));
    assert!(nothing.contains("no chip covers"), "{nothing}");
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
    // Or side by side, whatever STRIDE says.
    let report = w.json("encode --settings settings.json --out others --chip-size 64 --tiling non-overlapping");
    assert_eq!(report["chips"], json!(16));
    let info = w.json("info from-settings");
    assert_eq!(info["bands"], json!([2, 1, 3]));
    assert_eq!(info["value_range"]["per_band"][0], json!({"min": 0.0, "max": 3100.0}));
}

#[test]
fn every_model_of_the_registry_is_listed() {
    let w = Workspace::new();
    let models = w.json("models")["models"].as_array().unwrap().clone();
    assert_eq!(models.len(), 15);
    for model in models {
        let expected = match (model["id"].as_str(), model["type"].as_str()) {
            (Some("geosam_nano"), _) => 256,
            (_, Some("sam3")) => 1008,
            _ => 1024,
        };
        assert_eq!(model["image_size"], json!(expected), "{model}");
    }
    let table = w.ok("models");
    assert!(table.contains("mobile_sam") && table.contains("1008"), "{table}");
}

#[test]
fn without_a_checkpoint_the_model_is_the_one_in_the_box() {
    let w = Workspace::new();
    w.ok("encode scene.tif --out features");
    assert_eq!(w.json("info features")["checkpoint"], json!("geosam_nano.safetensors"));
    let query = "query features --point 500100,4999900 --crs EPSG:32633";
    assert_eq!(w.json(query)["results"].as_array().map(Vec::len), Some(1));
    // A folder of another model says whose it is.
    w.ok("encode scene.tif --checkpoint CKPT --out others");
    let error = w.error("query others --point 500100,4999900 --crs EPSG:32633");
    assert!(error.contains("geosam_nano.safetensors"), "{error}");
}

#[test]
fn a_checkpoint_and_a_raster_are_described() {
    let w = Workspace::new();
    assert_eq!(w.json("info CKPT")["kind"], json!("checkpoint"));
    let raster = w.json("info scene.tif");
    assert_eq!(raster["shape"], json!([300, 400]));
    assert_eq!(raster["bands"][0]["type"], json!("uint16"));
}
