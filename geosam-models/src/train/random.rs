//! Random numbers that are the same on every machine.

use crate::checkpoint::SplitMix64;

/// What training draws: one after the other, from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64(seed))
    }

    /// At least 0 and below 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below `count`, or `None` if that is 0.
    pub(crate) fn below(&mut self, count: usize) -> Option<usize> {
        (count > 0).then(|| (self.uniform() * count as f64) as usize)
    }

    /// Of mean 0 and variance 1, but never beyond ±6: the sum of twelve uniform numbers.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// `count` different places of a list of weights, or all of them, heavy ones sooner than light ones: those with the smallest
    /// exponential numbers of these rates (Efraimidis and Spirakis 2006).
    pub(crate) fn sample(&mut self, weights: &[f64], count: usize) -> Vec<usize> {
        let keys: Vec<f64> = weights.iter().map(|weight| -(1.0 - self.uniform()).ln() / weight).collect();
        let mut all: Vec<usize> = (0..weights.len()).collect();
        all.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
        all.truncate(count);
        all
    }
}
