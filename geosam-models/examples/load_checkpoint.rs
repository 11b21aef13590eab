//! Load a checkpoint and tell what that took, as JSON on standard output.
//!
//! ```text
//! load_checkpoint CHECKPOINT
//! ```
//!
//! `needed_bytes` is the size in f32 of the tensors that answer clicks; `baseline_resident_bytes`, `peak_resident_bytes` and
//! `resident_bytes` are the memory of this process before, while and after it loads them. The parity checks compare
//! them. Linux only: read from `/proc`.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::PathBuf;

use geosam_core::Segmenter;
use geosam_models::{Checkpoint, ModelOptions, TensorSource, load_model};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let [path] = &std::env::args_os().skip(1).map(PathBuf::from).collect::<Vec<_>>()[..] else {
        return Err("usage: load_checkpoint CHECKPOINT".into());
    };
    let baseline = resident("VmRSS:")?;
    let model = load_model(path, &ModelOptions::default())?;
    let (peak, after) = (resident("VmHWM:")?, resident("VmRSS:")?);

    let checkpoint = Checkpoint::open(path)?;
    let shapes = checkpoint.names().into_iter().filter_map(|name| checkpoint.shape(&name, &[]));
    let needed = shapes.map(|shape| shape.iter().product::<usize>() * size_of::<f32>()).sum::<usize>();
    let told = json!({
        "model": model.spec().model_id,
        "needed_bytes": needed,
        "baseline_resident_bytes": baseline,
        "peak_resident_bytes": peak,
        "resident_bytes": after,
    });
    writeln!(stdout(), "{told}")?;
    Ok(())
}

/// A size from the status of this process, in bytes.
fn resident(name: &str) -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim_end().parse::<usize>()? * 1024)
}
