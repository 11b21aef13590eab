//! The weights that training starts from.

use std::path::PathBuf;

use geosam_core::Result;

use crate::checkpoint::RandomWeights;
use crate::weights::TensorSource;

/// Deviation of the weights of queries and keys of cross-attention, in units of one over the root of the inputs. They are the
/// same, so that a prompt looks at its own place from the start.
const MATCHING: f32 = 2.0;
/// Deviation of the weights of the decoder's values and outputs of attention, in the same units. Half of what other layers have:
/// with more of it, clicks took longer to make any difference.
const PASSING: f32 = 0.3;

/// Deviation of the neck's weights, in the same units: places have to be told apart before what is seen there.
const NECK: f32 = 0.12;

/// Seeded, with the deviations that PyTorch gives new layers but for those above: norms that change nothing, no biases,
/// frequencies of the positional code and what has "embed" in its name (but for the patches) of deviation 1, position tables
/// and what stands for "no mask" and "no memory" of 0.02, every other matrix of 1 / √(3 · inputs).
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstWeights {
    pub(super) seed: u64,
}

impl FirstWeights {
    /// Mean and deviation.
    fn distribution(name: &str, shape: &[usize]) -> [f32; 2] {
        let is_small = ["pos_embed", "no_mem_embed", "no_mask_embed"].iter().any(|part| name.contains(part));
        let is_embedding = ["embed", "_token.weight", "_tokens.weight"].iter().any(|part| name.contains(part));
        if name.contains("gaussian_matrix") {
            [0.0, 1.0]
        } else if shape.len() <= 1 {
            [if name.ends_with("weight") { 1.0 } else { 0.0 }, 0.0]
        } else if is_small {
            [0.0, 0.02]
        } else if is_embedding && !name.contains("patch_embed") {
            [0.0, 1.0]
        } else {
            let inputs = shape[1..].iter().product::<usize>() as f32;
            let deviation = if is_matching(name) {
                MATCHING
            } else if is_passing(name) {
                PASSING
            } else if name.contains(".neck.") || name.contains(".conv_s") {
                NECK
            } else {
                3.0_f32.sqrt().recip()
            };
            [0.0, deviation / inputs.sqrt()]
        }
    }
}

/// Whether this brings queries or keys of a cross-attention into the space where they are compared.
fn is_matching(name: &str) -> bool {
    let of_attention = name.contains("cross_attn") || name.contains("final_attn");
    of_attention && ["q_proj.weight", "k_proj.weight"].iter().any(|end| name.ends_with(end))
}

/// Whether this passes on what was attended to.
fn is_passing(name: &str) -> bool {
    name.contains("transformer") && ["v_proj.weight", "out_proj.weight"].iter().any(|end| name.ends_with(end))
}

impl TensorSource for FirstWeights {
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("first weights with seed {}", self.seed))
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, _name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        Some(wanted.to_vec())
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let [mean, deviation] = Self::distribution(name, shape);
        // A matrix of any name and two axes is normal with deviation one over the root of its inputs.
        let count = shape.iter().product();
        let name = if is_matching(name) { name.replace("k_proj", "q_proj") } else { name.to_string() };
        let normal = RandomWeights::new(self.seed).values(&format!("{name}.normal"), &[count, 1]);
        Ok(normal.into_iter().map(|value| mean + deviation * value).collect())
    }
}
