//! Raw results, for comparison with other systems.

use std::io::Write;
use std::path::Path;

use geosam_core::{Error, Result, replace_file};
use geosam_query::QueryResult;
use safetensors::tensor::{Dtype, TensorView};

/// Write the answers to prompts on one chip as a safetensors file: `low_res` `[n, 256, 256]` f32 (the decoder's
/// logits), `masks` `[n, height, width]` u8 (0 or 1) and `scores` `[n]` f32, answers one after the other.
///
/// # Errors
/// [`Error::InvalidArgument`] without results or with results of different shapes, [`Error::Io`] if the file cannot be
/// written; then nothing is left of it.
pub fn write_logits(path: &Path, results: &[&QueryResult]) -> Result<()> {
    let [first, ..] = results else {
        return Err(Error::invalid_argument("results", "at least one", "none"));
    };
    let (mask, low_res) = (first.masks.shape(), first.low_res.shape);
    if let Some(other) = results.iter().find(|r| r.masks.shape() != mask || r.low_res.shape != low_res) {
        return Err(Error::invalid_argument("results", format!("masks of {mask} pixels"), other.masks.shape()));
    }
    let floats = |values: &mut dyn Iterator<Item = f32>| values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let logits = floats(&mut results.iter().flat_map(|r| r.low_res.values.iter().copied()));
    let scores = floats(&mut results.iter().flat_map(|r| r.scores.iter().copied()));
    let masks: Vec<u8> = results.iter().flat_map(|r| r.masks.values()).map(|on| u8::from(*on)).collect();

    let n = scores.len() / size_of::<f32>();
    let view = |dtype, shape: Vec<usize>, bytes| {
        TensorView::new(dtype, shape, bytes).map_err(|error| Error::invalid_argument("results", "whole tensors", error))
    };
    let tensors = [
        ("low_res", view(Dtype::F32, vec![n, low_res.height, low_res.width], &logits)?),
        ("masks", view(Dtype::U8, vec![n, mask.height, mask.width], &masks)?),
        ("scores", view(Dtype::F32, vec![n], &scores)?),
    ];
    let bytes = safetensors::serialize(tensors, None)
        .map_err(|error| Error::invalid_argument("results", "whole tensors", error))?;
    replace_file(path, |file| file.write_all(&bytes))
}
