//! Load a checkpoint and tell what that took, as one line of JSON on standard output.
//!
//! ```text
//! load_checkpoint CHECKPOINT
//! ```
//!
//! `needed_tensors` are read and no others; `needed_bytes` is their size as `f32`. `baseline_resident_bytes`,
//! `peak_resident_bytes` and `resident_bytes` are the memory of this process before, while and after it loads them; null
//! where there is no `/proc`. The parity checks compare them.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::PathBuf;

use geosam_models::{Checkpoint, ModelOptions, TensorSource, load_model};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let [path] = &std::env::args_os().skip(1).map(PathBuf::from).collect::<Vec<_>>()[..] else {
        return Err("usage: load_checkpoint CHECKPOINT".into());
    };
    let baseline = resident("VmRSS:");
    let model = load_model(path, &ModelOptions::default())?;
    let (peak, after) = (resident("VmHWM:"), resident("VmRSS:"));
    drop(model);

    let checkpoint = Checkpoint::open(path)?;
    let names = checkpoint.names();
    let shapes = names.iter().filter_map(|name| checkpoint.shape(name, &[]));
    let needed_bytes = shapes.map(|shape| shape.iter().product::<usize>() * size_of::<f32>()).sum::<usize>();
    let told = json!({
        "model": checkpoint.recognised().model_id,
        "recognised": checkpoint.recognised().to_string(),
        "needed_tensors": names.len(),
        "needed_bytes": needed_bytes,
        "baseline_resident_bytes": baseline,
        "peak_resident_bytes": peak,
        "resident_bytes": after,
    });
    writeln!(stdout(), "{told}")?;
    Ok(())
}

/// A size from the status of this process, in bytes.
fn resident(name: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim_end().parse::<usize>().ok()? * 1024)
}
