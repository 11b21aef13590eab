//! Bad input: one line that names the cause, and no file that a later run could mistake for a good one.

use geosam::{Checkpoint, TensorSource, write_checkpoint};

use crate::workspace::Workspace;

/// The run fails with a message that holds every one of `parts`, and leaves the folder as it was.
fn refused(w: &Workspace, arguments: &str, parts: &[&str]) {
    let before = w.files();
    let message = w.error(arguments);
    for part in parts {
        assert!(message.contains(part), "geosam {arguments}\n  said:   {message}\n  lacks: {part}");
    }
    assert_eq!(w.files(), before, "geosam {arguments} left files behind");
}

fn truncate(w: &Workspace, from: &std::path::Path, name: &str, keep: f64) {
    let bytes = std::fs::read(from).unwrap();
    std::fs::write(w.path(name), &bytes[..(bytes.len() as f64 * keep) as usize]).unwrap();
}

/// The checkpoint's tensors, changed by `change`.
fn changed_checkpoint(w: &Workspace, name: &str, change: impl Fn(&mut Vec<(String, Vec<usize>, Vec<f32>)>)) {
    let checkpoint = Checkpoint::open(Workspace::checkpoint()).unwrap();
    let mut tensors: Vec<_> = checkpoint
        .names()
        .into_iter()
        .map(|name| {
            let shape = checkpoint.shape(&name, &[]).unwrap();
            let values = checkpoint.read(&name, &shape).unwrap();
            (name, shape, values)
        })
        .collect();
    change(&mut tensors);
    write_checkpoint(&w.path(name), tensors).unwrap();
}

#[test]
fn a_missing_or_truncated_raster() {
    let w = Workspace::new();
    refused(&w, "encode nothing.tif --checkpoint CKPT --out f", &["nothing.tif"]);
    // Half of the pixels are there: the header is good, the reading fails.
    truncate(&w, &w.raster(), "half.tif", 0.5);
    let message = w.error("encode half.tif --checkpoint CKPT --out f");
    assert!(message.contains("half.tif") && message.contains("gdalinfo -checksum"), "{message}");
    let message = w.error("info f");
    assert!(message.contains("manifest") || message.contains("no such"), "no folder that looks finished: {message}");
    std::fs::write(w.path("text.tif"), "this is no raster").unwrap();
    refused(&w, "encode text.tif --checkpoint CKPT --out g", &["text.tif"]);
}

#[test]
fn an_unusable_amount_of_memory() {
    let w = Workspace::new();
    for size in ["many", "5", "MB", "-1GB", "1XB", "infGB"] {
        let option = format!("--max-memory={size}");
        refused(&w, &format!("encode scene.tif --checkpoint CKPT --out f {option}"), &["--max-memory", "512MB"]);
    }
    let small = "encode scene.tif --checkpoint CKPT --out f --max-memory 10KB";
    refused(&w, small, &["max memory", "at least", "3 chips", "found 10000 bytes"]);
}

#[test]
fn a_missing_or_truncated_checkpoint() {
    let w = Workspace::new();
    refused(&w, "encode scene.tif --checkpoint none.pt --out f", &["none.pt"]);
    for keep in [0.0, 0.3, 0.999] {
        truncate(&w, Workspace::checkpoint(), "cut.pt", keep);
        refused(&w, "encode scene.tif --checkpoint cut.pt --out f", &["cut.pt"]);
    }
}

#[test]
fn a_checkpoint_of_another_family_or_of_none() {
    let w = Workspace::new();
    write_checkpoint(&w.path("resnet.pt"), [("layer1.0.conv1.weight", vec![2, 2], vec![0.0; 4])]).unwrap();
    refused(&w, "encode scene.tif --checkpoint resnet.pt --out f", &["resnet.pt", "layer1.0.conv1.weight"]);
    let sam2 =
        (0..12).map(|block| (format!("image_encoder.trunk.blocks.{block}.norm1.weight"), vec![96], vec![1.0; 96]));
    let patches = ("image_encoder.trunk.patch_embed.proj.weight".to_string(), vec![96, 1, 1, 1], vec![0.0; 96]);
    write_checkpoint(&w.path("sam2.pt"), sam2.chain([patches])).unwrap();
    // Recognised, and then found to be a part of that model only.
    refused(&w, "encode scene.tif --checkpoint sam2.pt --out f", &["sam2.pt does not fit sam2_t", "blocks.0.attn.qkv"]);
}

#[test]
fn a_checkpoint_whose_tensors_do_not_fit() {
    let w = Workspace::new();
    changed_checkpoint(&w, "missing.pt", |tensors| {
        tensors.retain(|(name, ..)| name != "mask_decoder.iou_token.weight");
    });
    refused(&w, "encode scene.tif --checkpoint missing.pt --out f", &["mask_decoder.iou_token.weight", "missing"]);
    changed_checkpoint(&w, "misshapen.pt", |tensors| {
        let tensor = tensors.iter_mut().find(|(name, ..)| name == "prompt_encoder.no_mask_embed.weight").unwrap();
        (tensor.1, tensor.2) = (vec![1, 8], vec![0.0; 8]);
    });
    refused(&w, "encode scene.tif --checkpoint misshapen.pt --out f", &["no_mask_embed.weight", "[1, 8]", "[1, 256]"]);
    changed_checkpoint(&w, "extra.pt", |tensors| tensors.push(("image_encoder.extra".into(), vec![1], vec![0.0])));
    refused(&w, "encode scene.tif --checkpoint extra.pt --out f", &["image_encoder.extra"]);
}

#[test]
fn a_pickle_that_tries_to_run_code() {
    let w = Workspace::new();
    // `system("touch ran")`, as protocol 0 pickles call it, behind the magic number of PyTorch's first format.
    let pickle = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.cposix\nsystem\n(S'touch ran'\ntR.";
    std::fs::write(w.path("evil.pt"), pickle).unwrap();
    refused(&w, "encode scene.tif --checkpoint evil.pt --out f", &["evil.pt"]);
    assert!(!w.path("ran").exists(), "the pickle ran");
}

#[test]
fn an_extent_that_misses_the_raster() {
    let w = Workspace::new();
    refused(&w, "encode scene.tif --checkpoint CKPT --out f --extent 0,0,10,10", &["outside", "500000"]);
    // Longitude and latitude in the raster's metres would be far off as well.
    refused(&w, "chips scene.tif --extent 15.0,45.1,15.1,45.0", &["bottom"]);
}

#[test]
fn a_raster_without_crs() {
    let w = Workspace::new();
    std::fs::write(w.path("plain.vrt"), include_str!("no_crs.vrt")).unwrap();
    refused(&w, "encode plain.vrt --checkpoint CKPT --out f", &["plain.vrt", "no CRS", "--assume-crs"]);
    let preview = w.json("chips plain.vrt --assume-crs EPSG:32633 --chip-size 128");
    assert_eq!(preview["crs"], "EPSG:32633");
}

#[test]
fn prompts_that_cannot_be_answered() {
    let w = Workspace::new();
    w.ok("encode scene.tif --checkpoint CKPT --out features --stride 128");
    let query = "query features --checkpoint CKPT";
    refused(&w, query, &["--point"]);
    refused(&w, &format!("{query} --point 500100,4999900 --out a.geojson"), &["no CRS", "--crs"]);
    refused(&w, &format!("{query} --point 0,0 --crs EPSG:32633 --out a.geojson"), &["no chip covers", "nearest"]);
    refused(&w, &format!("{query} --point 500100,4999900 --crs EPSG:99999"), &["EPSG:99999"]);
    refused(&w, &format!("{query} --point 500100,4999900 --crs EPSG:32633 --out a.docx"), &["docx", "gpkg"]);
    refused(&w, &format!("{query} --point 500100,4999900 --crs EPSG:32633 --out none/a.gpkg"), &["none"]);
    refused(&w, "query scene.tif --checkpoint CKPT --point 0,0 --crs EPSG:32633", &["outside"]);
    refused(&w, "query scene.tif --checkpoint CKPT --point 3,4 --crs EPSG:4326", &["3, 4 (EPSG:4326)", "outside"]);
    refused(&w, "query nothing --checkpoint CKPT --point 0,0 --crs EPSG:32633", &["nothing"]);
}

#[test]
fn a_grid_of_a_billion_chips() {
    let w = Workspace::new();
    let huge = include_str!("no_crs.vrt")
        .replace("  <GeoTransform>", "  <SRS>EPSG:32633</SRS>\n  <GeoTransform>")
        .replace("\"200\"", "\"32000\"");
    std::fs::write(w.path("huge.vrt"), huge).unwrap();
    refused(&w, "chips huge.vrt --chip-size 64 --stride 1", &["chips", "exceed", "stride"]);
    refused(&w, "encode huge.vrt --checkpoint CKPT --out f --stride 1", &["exceed"]);
    refused(&w, "chips scene.tif --chip-size 0", &["chip size"]);
    refused(&w, "chips scene.tif --chip-size 64 --stride 65", &["stride"]);
    refused(&w, "chips scene.tif --model sam4", &["sam4", "sam_b, sam_l", "sam3"]);
    for command in ["chips scene.tif", "encode scene.tif --checkpoint CKPT --out f"] {
        let both = format!("{command} --tiling non-overlapping --stride 64");
        refused(&w, &both, &["--stride", "--tiling non-overlapping", "leave one of the two out"]);
    }
}

#[test]
fn unusable_options() {
    let w = Workspace::new();
    refused(&w, "encode scene.tif --checkpoint CKPT --out f --bands 1,9", &["9"]);
    refused(&w, "encode scene.tif --checkpoint CKPT --out f --value-range 5,5", &["value range"]);
    refused(&w, "encode scene.tif --checkpoint CKPT --out f --percentiles 98,2", &["percentiles"]);
    refused(&w, "encode scene.tif --checkpoint CKPT --out f --res -1", &["resolution"]);
    std::fs::write(w.path("s.json"), "{\"inputs\": {\"STRIED\": 3}}").unwrap();
    refused(&w, "encode scene.tif --checkpoint CKPT --out f --settings s.json", &["STRIED"]);
}

#[test]
fn a_folder_that_cannot_be_written() {
    let w = Workspace::new();
    std::fs::write(w.path("file"), "").unwrap();
    refused(&w, "encode scene.tif --checkpoint CKPT --out file", &["file"]);
    refused(&w, "encode scene.tif --checkpoint CKPT --out file/features", &["file/features"]);
    refused(&w, "encode scene.tif --checkpoint CKPT --out /proc/features", &["/proc/features"]);
}

#[test]
fn a_folder_that_was_damaged() {
    let w = Workspace::new();
    w.ok("encode scene.tif --checkpoint CKPT --out features --stride 128");
    let query = "query features --checkpoint CKPT --point 500100,4999900 --crs EPSG:32633";
    let chip = w.path("features/features/chip_000000.pt");
    let good = std::fs::read(&chip).unwrap();
    std::fs::write(&chip, &good[..good.len() / 2]).unwrap();
    refused(&w, query, &["chip_000000.pt"]);
    std::fs::remove_file(&chip).unwrap();
    refused(&w, query, &["chip_000000"]);
    let manifest = w.path("features/manifest.parquet");
    let bytes = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, &bytes[..bytes.len() / 2]).unwrap();
    refused(&w, query, &["manifest.parquet"]);
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "mounts a tmpfs: run scripts/test-full-disk"]
fn a_full_disk() {
    let w = Workspace::new();
    let disk = w.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |program: &str, arguments: &[&str]| {
        assert!(std::process::Command::new(program).args(arguments).status().unwrap().success());
    };
    // Room for a few of the 24 chips of 64 KiB.
    mount("mount", &["-t", "tmpfs", "-o", "size=300k", "tmpfs", disk.to_str().unwrap()]);
    let said = w.run("encode scene.tif --checkpoint CKPT --out disk/features");
    let kept = w.run("info disk/features");
    let files = w.files();
    mount("umount", &[disk.to_str().unwrap()]);
    let said = crate::workspace::message(&said, "encode onto a full disk");
    assert!(said.contains("No space left"), "{said}");
    assert!(kept.status.success(), "what was written before is a valid folder");
    assert!(!files.iter().any(|name| name.contains("tmp")), "{files:?}");
}

#[test]
fn arguments_that_do_not_parse() {
    let w = Workspace::new();
    refused(&w, "encode scene.tif --outt f", &["--outt", "--help"]);
    refused(&w, "query scene.tif --point 1;2", &["--point", "1;2"]);
    refused(&w, "chips scene.tif --resampling nicest", &["nicest", "bilinear"]);
    refused(&w, "divine scene.tif", &["divine", "--help"]);
    assert!(w.ok("--help").contains("encode"));
    assert!(w.ok("query --help").contains("--multimask"));
}

#[test]
fn files_that_are_read_are_not_written_over() {
    let w = Workspace::new();
    let at = "--point 500100,4999900 --crs EPSG:32633";
    w.ok("encode scene.tif --checkpoint CKPT --out features --stride 128");
    std::fs::write(w.path("p.geojson"), include_str!("clicks.geojson")).unwrap();
    std::fs::create_dir(w.path("sub")).unwrap();
    let read = ["another file than those that are read"];
    refused(&w, &format!("query scene.tif --checkpoint CKPT {at} --out scene.tif"), &read);
    refused(&w, &format!("query features --checkpoint CKPT {at} --out sub/../scene.tif"), &read);
    refused(&w, "query features --checkpoint CKPT --prompts p.geojson --out p.geojson", &read);
    refused(&w, &format!("query features --checkpoint CKPT {at} --logits scene.tif"), &read);
    refused(&w, "auto scene.tif --checkpoint CKPT --out scene.tif", &read);
    refused(&w, "auto features --checkpoint CKPT --out scene.tif", &read);
    refused(&w, "chips scene.tif --out scene.tif", &read);
    refused(
        &w,
        &format!("query features --checkpoint CKPT {at} --out a.gpkg --out sub/../a.gpkg"),
        &["each file once"],
    );

    w.ok("chips scene.tif --out mine.gpkg");
    std::fs::rename(w.path("mine.gpkg"), w.path("all.gpkg")).unwrap();
    let kept = ["all.gpkg with mine", "layer all alone"];
    refused(&w, &format!("query features --checkpoint CKPT {at} --out all.gpkg"), &kept);
    refused(&w, "auto features --checkpoint CKPT --out all.gpkg", &kept);
    w.ok("chips scene.tif --out all2.gpkg");
    w.ok("chips scene.tif --out all2.gpkg");
}

#[test]
fn a_later_output_that_is_refused_leaves_no_earlier_one() {
    let w = Workspace::new();
    w.ok("encode scene.tif --checkpoint CKPT --out features --stride 128");
    std::fs::write(w.path("p.geojson"), include_str!("clicks.geojson")).unwrap();
    let query = "query features --checkpoint CKPT --prompts p.geojson --crs EPSG:32633 --out a.gpkg";
    refused(&w, &format!("{query} --out b.tif"), &["several chips"]);
    std::fs::rename(w.path("scene.tif"), w.path("moved.tif")).unwrap();
    let one = "query features --checkpoint CKPT --point 500100,4999900 --crs EPSG:32633 --out a.gpkg --out a.png";
    refused(&w, one, &["leave out the .png"]);
}

#[test]
fn prompts_of_a_file_that_have_no_answer_are_named_and_the_others_answered() {
    let w = Workspace::new();
    w.ok("encode scene.tif --checkpoint CKPT --out features --stride 128");
    let far = include_str!("clicks.geojson").replace("[500100, 4999900]", "[600100, 4999900]");
    std::fs::write(w.path("p.geojson"), far).unwrap();
    for source in ["features", "scene.tif"] {
        let command = format!("query {source} --checkpoint CKPT --prompts p.geojson --out {source}.gpkg --json");
        let output = w.run(&command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("note: prompt 4: ") && said.contains("600100, 4999900"), "{said}");
        assert!(said.contains("none for 1 of 2; the others are written"), "{said}");
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed["results"][0]["id"], 9);
        assert_eq!(printed["unanswered"][0]["id"], 4);
        assert!(w.path(&format!("{source}.gpkg")).is_file());
    }
}
