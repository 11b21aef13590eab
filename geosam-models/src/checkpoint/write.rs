//! Writes checkpoints.

use std::path::Path;

use geosam_core::Result;
use geosam_core::torch_file::{TensorRef, Value, write_torch_file};

/// Writes tensors, given as name, shape and row-major values, as a flat state dict that `torch.load` reads.
///
/// # Errors
/// [`geosam_core::Error::InvalidArgument`] if values and shape disagree; [`geosam_core::Error::Io`]
pub fn write_checkpoint<N: Into<String>>(
    path: &Path,
    tensors: impl IntoIterator<Item = (N, Vec<usize>, Vec<f32>)>,
) -> Result<()> {
    write_torch_file(path, &state_dict(tensors)?)
}

/// As [`write_checkpoint`], below the key `model`, where the releases of SAM 2 have it.
pub(crate) fn write_checkpoint_below_model<N: Into<String>>(
    path: &Path,
    tensors: impl IntoIterator<Item = (N, Vec<usize>, Vec<f32>)>,
) -> Result<()> {
    write_torch_file(path, &Value::dict([("model", state_dict(tensors)?)]))
}

fn state_dict<N: Into<String>>(tensors: impl IntoIterator<Item = (N, Vec<usize>, Vec<f32>)>) -> Result<Value> {
    let entries = tensors.into_iter().map(|(name, shape, values)| {
        TensorRef::from_f32(&shape, &values).map(|tensor| (name.into(), Value::Tensor(tensor)))
    });
    let entries: Vec<(String, Value)> = entries.collect::<Result<_>>()?;
    Ok(Value::dict(entries))
}
