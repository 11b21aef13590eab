//! Every example program runs, and what it asserts holds.

use tempfile::tempdir;

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
