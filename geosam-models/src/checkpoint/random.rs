//! Seeded random weights, for models that nobody has trained.

use std::f64::consts::TAU;
use std::path::PathBuf;

use geosam_core::Result;
use rayon::prelude::*;

use crate::weights::TensorSource;

/// Values of one task; an even number, as they come in pairs.
const CHUNK: usize = 1 << 14;
/// What the state of the generator grows by with every uniform number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of random tensors: each depends on the seed, its name and its shape alone, whatever else is read.
///
/// No tensor is zero or one everywhere. Matrices and convolutions are scaled by their fan-in, so that activations keep
/// their size from layer to layer; norms are near one, biases near zero, position tables and embeddings clearly not.
#[derive(Clone, Copy, Debug)]
pub struct RandomWeights {
    seed: u64,
}

impl RandomWeights {
    /// The weights of a seed; different seeds give different weights.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The values of a tensor, row-major.
    #[must_use]
    pub fn values(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let (mean, deviation, positive) = distribution(name, shape);
        let mut values = vec![0.0; shape.iter().product()];
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            let mut normal = Normal::new(self.seed, name).skip(chunk * CHUNK);
            for value in values {
                let noise = normal.next();
                *value = (mean + deviation * if positive { noise.abs() } else { noise }) as f32;
            }
        });
        values
    }
}

impl TensorSource for RandomWeights {
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("random weights with seed {}", self.seed))
    }

    /// None: a generator has every tensor, and no others.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, _name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        Some(wanted.to_vec())
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(self.values(name, shape))
    }
}

/// Mean, standard deviation, and whether the noise is to be positive.
fn distribution(name: &str, shape: &[usize]) -> (f64, f64, bool) {
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_position_matrix = shape.len() == 2 && shape[0] == 2 && name.contains("positional_embedding");
    if name.contains("gaussian_matrix") || is_position_matrix {
        (0.0, 1.0, false)
    } else if last == "running_var" {
        (1.0, 0.2, true)
    } else if shape.len() <= 1 && last == "weight" {
        (1.0, 0.1, false)
    } else if shape.len() <= 1 {
        (0.0, 0.05, false)
    } else if ["pos_embed", "rel_pos", "attention_biases"].iter().any(|part| name.contains(part)) {
        (0.0, 0.2, false)
    } else if name.contains("embed") && !name.contains("patch_embed")
        || name.ends_with("_token.weight")
        || name.ends_with("_tokens.weight")
    {
        (0.0, 0.5, false)
    } else {
        let fan_in = shape[1..].iter().product::<usize>().max(1);
        (0.0, (fan_in as f64).sqrt().recip(), false)
    }
}

/// Standard normal numbers: [`SplitMix64`] through the Box–Muller transform.
struct Normal {
    bits: SplitMix64,
    spare: Option<f64>,
}

impl Normal {
    fn new(seed: u64, name: &str) -> Self {
        // FNV-1a of the name, started from the seed.
        let state = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { bits: SplitMix64(state), spare: None }
    }

    /// Without the next `count` numbers, an even number of them: a pair takes two uniform ones.
    fn skip(self, count: usize) -> Self {
        Self { bits: SplitMix64(self.bits.0.wrapping_add(STEP.wrapping_mul(count as u64))), ..self }
    }

    fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// Uniform in (0, 1].
    fn uniform(&mut self) -> f64 {
        ((self.bits.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// A generator of random bits (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f32]) -> (f32, f32) {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt())
    }

    #[test]
    fn values_depend_on_seed_and_name_alone() {
        let weights = RandomWeights::new(3);
        let first = weights.values("a.weight", &[4, 5]);
        assert_eq!(first, weights.values("a.weight", &[4, 5]));
        assert_ne!(first, weights.values("b.weight", &[4, 5]));
        assert_ne!(first, RandomWeights::new(4).values("a.weight", &[4, 5]));
    }

    #[test]
    fn large_tensors_are_those_of_one_generator() {
        let mut normal = Normal::new(5, "conv.weight");
        let serial: Vec<_> = (0..2 * CHUNK + 3).map(|_| normal.next() as f32).collect();
        assert_eq!(RandomWeights::new(5).values("conv.weight", &[serial.len(), 1]), serial);
    }

    #[test]
    fn no_kind_of_tensor_is_degenerate() {
        // Sampling error of 4096 values: 1.6 % of a deviation for the mean.
        const TOLERANCE: f32 = 0.06;
        for (name, shape, mean, deviation) in [
            ("norm1.weight", &[4096][..], 1.0, 0.1),
            ("norm1.bias", &[4096], 0.0, 0.05),
            ("attn.qkv.weight", &[64, 64], 0.0, 0.125),
            ("neck.2.weight", &[16, 16, 4, 4], 0.0, 0.0625),
            ("pos_embed", &[1, 8, 8, 64], 0.0, 0.2),
            ("attn.rel_pos_h", &[64, 64], 0.0, 0.2),
            ("pe_layer.positional_encoding_gaussian_matrix", &[2, 2048], 0.0, 1.0),
            ("mask_tokens.weight", &[4, 1024], 0.0, 0.5),
            ("patch_embed.proj.weight", &[64, 4, 4, 4], 0.0, 0.125),
            ("trunk.pos_embed_window", &[1, 64, 8, 8], 0.0, 0.2),
            ("neck.convs.0.conv.weight", &[64, 64, 1, 1], 0.0, 0.125),
            ("sam2_convs.0.dconv_2x2_0.weight", &[64, 16, 2, 2], 0.0, 0.125),
            ("sam_prompt_encoder.point_embeddings.0.weight", &[1, 4096], 0.0, 0.5),
            ("sam_prompt_encoder.not_a_point_embed.weight", &[1, 4096], 0.0, 0.5),
            ("sam_mask_decoder.obj_score_token.weight", &[1, 4096], 0.0, 0.5),
            ("tracker.no_mem_embed", &[1, 1, 4096], 0.0, 0.5),
        ] {
            let (found_mean, found_deviation) = moments(&RandomWeights::new(0).values(name, shape));
            assert!((found_mean - mean).abs() < TOLERANCE * deviation, "{name}: mean {found_mean}");
            assert!((found_deviation / deviation - 1.0).abs() < TOLERANCE, "{name}: deviation {found_deviation}");
        }
        assert!(RandomWeights::new(0).values("bn.running_var", &[512]).iter().all(|v| *v >= 1.0));
    }
}
