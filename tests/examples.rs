//! Every example program runs, and what it asserts holds.

use geosam::{Shape, write_raster};
use tempfile::tempdir;

use crate::end_to_end::scene::Scene;

#[allow(dead_code)]
#[path = "../examples/batch_prompts.rs"]
mod batch_prompts;
#[allow(dead_code)]
#[path = "../examples/custom_segmenter.rs"]
mod custom_segmenter;
#[allow(dead_code)]
#[path = "../examples/encode_folder.rs"]
mod encode_folder;
#[allow(dead_code)]
#[path = "../examples/hover_preview.rs"]
mod hover_preview;
#[allow(dead_code)]
#[path = "../examples/live_query.rs"]
mod live_query;
#[allow(dead_code)]
#[path = "../examples/overlay_page.rs"]
mod overlay_page;
#[allow(dead_code)]
#[path = "../examples/query_folder.rs"]
mod query_folder;
#[allow(dead_code)]
#[path = "../examples/quickstart.rs"]
mod quickstart;

#[test]
fn quickstart_runs_twice_in_the_same_folder() {
    let folder = tempdir().unwrap();
    quickstart::run(folder.path()).unwrap();
    quickstart::run(folder.path()).unwrap();
}

#[test]
fn encode_folder_runs() {
    encode_folder::run(tempdir().unwrap().path()).unwrap();
}

#[test]
fn query_folder_runs() {
    query_folder::run(tempdir().unwrap().path()).unwrap();
}

#[test]
fn live_query_runs() {
    live_query::run(tempdir().unwrap().path()).unwrap();
}

#[test]
fn batch_prompts_runs() {
    batch_prompts::run(tempdir().unwrap().path()).unwrap();
}

#[test]
fn hover_preview_runs() {
    hover_preview::run().unwrap();
}

#[test]
fn custom_segmenter_runs() {
    custom_segmenter::main().unwrap();
}

#[test]
fn overlay_page_runs() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let scene = Scene::lakeland(Shape::new(300, 400), 5).unwrap();
    write_raster(&path("scene.tif"), &scene.grid, &scene.pixels, Scene::BANDS, Some(0.0)).unwrap();
    let prompts = r#"{"title": "Scenes", "judgement": ["Fine."], "rasters": [{
        "file": "scene.tif", "about": "Drawn.", "bands": [4, 1, 2], "prompts": [
            {"name": "a click", "on": [[200, 150]]},
            {"name": "clicks", "on": [[50, 50], [80, 60]], "off": [[10.5, 290.5]]},
            {"name": "a box", "box": [250, 180, 400, 300]}]}]}"#;
    std::fs::write(path("prompts.json"), prompts).unwrap();
    overlay_page::run(&path("prompts.json"), folder.path(), &path("page")).unwrap();
    let page = std::fs::read_to_string(path("page/README.md")).unwrap();
    assert!(page.starts_with("# Scenes\n\nFine.\n") && page.contains("a click: "), "{page}");
    for number in 1..=3 {
        assert!(page.contains(&format!("scene-{number}.png")) && path(&format!("page/scene-{number}.png")).is_file());
    }
}
