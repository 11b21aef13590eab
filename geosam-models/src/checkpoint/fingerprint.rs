//! A hash of the weights that features depend on, whatever file they come in.

use geosam_core::Result;
use sha2::{Digest, Sha256};

use super::view::TensorView;

/// Tensors up to this many values are hashed whole.
const WHOLE: usize = 4096;
/// Of larger ones: this many runs, evenly spaced, the first at the start and the last at the end …
const RUNS: usize = 16;
/// … of this many values each.
const RUN_LENGTH: usize = 64;

/// SHA-256 in hexadecimal of `geosam-encoder-1`, then for each tensor in the given order: its name, a zero byte, the
/// number of axes and their lengths as little-endian `u64`, and values as little-endian `f32`. Values are all of them
/// if there are at most 4096, in row-major order; otherwise those of 16 runs of 64, run *i* from position
/// ⌊*i* · (count − 64) / 15⌋ on. So it costs a few thousand small reads, and files of equal values agree whatever their
/// container, names and dtype, as long as the dtype holds the values exactly.
pub(super) fn fingerprint<'a>(tensors: impl Iterator<Item = (&'a str, &'a TensorView)>) -> Result<String> {
    let mut hash = Sha256::new_with_prefix(b"geosam-encoder-1");
    for (name, tensor) in tensors {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update((tensor.shape().len() as u64).to_le_bytes());
        for side in tensor.shape() {
            hash.update((*side as u64).to_le_bytes());
        }
        let count = tensor.count();
        if count <= WHOLE {
            update(&mut hash, &tensor.read_f32()?);
        } else {
            for run in 0..RUNS {
                // In u128: the shape may be forged, and is only checked by the read.
                let start = (run as u128 * (count - RUN_LENGTH) as u128 / (RUNS - 1) as u128) as usize;
                update(&mut hash, &tensor.read_f32_range(start..start + RUN_LENGTH)?);
            }
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn update(hash: &mut Sha256, values: &[f32]) {
    for value in values {
        hash.update(value.to_le_bytes());
    }
}
