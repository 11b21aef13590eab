//! The weights that training starts from.

use std::path::PathBuf;

use geosam_core::Result;

use crate::checkpoint::RandomWeights;
use crate::weights::TensorSource;

/// Deviation of the frequencies of the positional code, in turns for half an image. SAM's is 1, with which places a tenth of the
/// image apart are alike.
const FREQUENCIES: f32 = 2.5;

/// Deviation of [`is_matching`] weights in units of one over the root of the inputs: a prompt then gives its own place some
/// tens of times the weight of others.
const MATCHING_GAIN: f32 = 2.0;

/// Seeded, with the deviations that PyTorch gives new layers: norms that change nothing, no biases, embeddings of deviation
/// 1, position tables of 0.02, every other matrix of 1 / √(3 · inputs). The last
/// layer behind a mask token has a tenth of that, so that every mask begins undecided.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstWeights {
    pub(super) seed: u64,
}

impl FirstWeights {
    /// Mean and deviation.
    fn distribution(name: &str, shape: &[usize]) -> [f32; 2] {
        let is_table = name.contains("pos_embed");
        let is_embedding = ["embed", "_token.weight", "_tokens.weight"].iter().any(|part| name.contains(part));
        if name.contains("gaussian_matrix") {
            [0.0, FREQUENCIES]
        } else if shape.len() <= 1 {
            [if name.ends_with("weight") { 1.0 } else { 0.0 }, 0.0]
        } else if is_table {
            [0.0, 0.02]
        } else if is_embedding && !name.contains("patch_embed") {
            [0.0, 1.0]
        } else {
            let inputs: usize = shape[1..].iter().product();
            if is_matching(name) {
                return [0.0, MATCHING_GAIN / (inputs as f32).sqrt()];
            }
            let undecided = name.contains("output_hypernetworks_mlps") && name.ends_with("layers.2.weight");
            [0.0, (3.0 * inputs as f32).sqrt().recip() * if undecided { 0.1 } else { 1.0 }]
        }
    }
}

/// Whether this brings queries or keys of a cross-attention into the space where they are compared.
fn is_matching(name: &str) -> bool {
    let of_attention = name.contains("cross_attn") || name.contains("final_attn");
    of_attention && ["q_proj.weight", "k_proj.weight"].iter().any(|end| name.ends_with(end))
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
