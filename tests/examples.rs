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
#[cfg(feature = "train")]
#[allow(dead_code)]
#[path = "../examples/fine_tune.rs"]
mod fine_tune;
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

#[cfg(feature = "train")]
#[test]
fn fine_tune_writes_a_model_that_encodes_as_before() {
    use std::sync::Arc;

    use fine_tune::scene::SceneConfig;
    use geosam::train::FineTuneConfig;
    use geosam::{
        Checkpoint, ChipSource, FeatureCacheBuilder, FeatureCacheConfig, ModelOptions, NoProgress, Osr, Points,
        PredictOptions, RasterDataset, RasterOptions, SamConfig, Segmenter, Shape, WorldPoint, load_model, open_folder,
        write_random_checkpoint,
    };

    let folder = tempdir().unwrap();
    let [base, tuned] = ["base.pt", "tuned.safetensors"].map(|name| folder.path().join(name));
    write_random_checkpoint(&base, &SamConfig::small_sam2(), 5).unwrap();
    let checkpoint = Checkpoint::open(&base).unwrap();
    let scene = SceneConfig {
        gsd: Some(fine_tune::GSD),
        landscape: Some(fine_tune::LANDSCAPE),
        ..SceneConfig::new(Shape::new(256, 512), 3)
    };
    let place = fine_tune::draw(folder.path(), "scene", &scene, usize::MAX).unwrap().unwrap();
    let [training, held_out] = place.split(&checkpoint, 0.25).unwrap();
    assert!(!training.is_empty() && !held_out.is_empty());
    let config = FineTuneConfig { steps: 3, warmup: 1, learning_rate: 1e-3, ..FineTuneConfig::default() };
    let [before, after] = fine_tune::tune(&checkpoint, &training, &held_out, config, &tuned).unwrap();
    assert_eq!(before.objects, held_out.iter().map(|example| example.masks.len()).sum::<usize>());
    assert_eq!(before.objects, after.objects);

    let [base, tuned] = [base, tuned].map(|path| Arc::new(load_model(path, &ModelOptions::default()).unwrap()));
    let image = std::slice::from_ref(&held_out[0].image);
    assert_eq!(base.encode(image).unwrap()[0].payload, tuned.encode(image).unwrap()[0].payload);

    // A folder of the model before is the tuned one's, too: nothing is encoded again, and it answers from it.
    let raster = RasterDataset::open(place.raster.to_str().unwrap(), &RasterOptions::default()).unwrap();
    let (raster, features) = (Arc::new(raster), folder.path().join("features"));
    let encode = |model| {
        let config = FeatureCacheConfig::default();
        let builder = FeatureCacheBuilder::new(raster.clone(), model, Arc::new(Osr), &features, config);
        builder.build(&NoProgress).unwrap()
    };
    let (first, again) = (encode(base), encode(tuned.clone()));
    assert!(first.written > 0 && (again.written, again.resumed) == (0, first.written), "{again:?}");
    let bounds = raster.grid().bounds();
    let middle = WorldPoint::new((bounds.left + bounds.right) / 2.0, (bounds.bottom + bounds.top) / 2.0);
    let click = Points::foreground(vec![middle], raster.grid().crs.clone()).unwrap();
    open_folder(&features, tuned).unwrap().query(&click.into(), PredictOptions::default()).unwrap();
}
