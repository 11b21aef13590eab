//! Layer normalisation of rows, for kernels that go on with them: eight operations a value, of rows in the cache.

use burn::tensor::{DType, Tensor, module};

use super::buffer::Buffer;
use super::cast::in_type;
#[cfg(feature = "train")]
use super::differentiable;
use super::simd::{LANES, vectorised};

/// What kernels normalise rows with before they use them: weight and bias `[width]`.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    pub(crate) weight: Tensor<1>,
    pub(crate) bias: Tensor<1>,
    pub(crate) epsilon: f64,
}

impl Norm {
    /// In f32, of whatever type.
    pub(crate) fn by_operators<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        #[cfg(feature = "train")]
        if let Some(y) = differentiable::layer_norm(&x, &self) {
            return y;
        }
        module::layer_norm(in_type(x, DType::F32), self.weight, Some(self.bias), self.epsilon)
    }
}

/// [`Norm`] on the CPU.
pub(super) struct RowNorm {
    weight: Buffer,
    bias: Buffer,
    epsilon: f32,
}

impl RowNorm {
    pub(super) fn of(norm: &Norm) -> Option<Self> {
        Some(Self::new(Buffer::of(&norm.weight)?, Buffer::of(&norm.bias)?, norm.epsilon))
    }

    pub(super) fn new(weight: Buffer, bias: Buffer, epsilon: f64) -> Self {
        Self { weight, bias, epsilon: epsilon as f32 }
    }

    #[cfg(feature = "train")]
    pub(super) fn weight(&self) -> &[f32] {
        self.weight.values()
    }

    /// Of a row.
    #[inline(always)]
    pub(super) fn statistics(&self, row: &[f32]) -> RowStatistics {
        let mean = sum(row, |x| x) / row.len() as f32;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / row.len() as f32;
        RowStatistics { mean, scale: (variance + self.epsilon).sqrt().recip() }
    }

    /// Normalises whole rows of `input` into `output`.
    pub(super) fn apply(&self, output: &mut [f32], input: &[f32]) {
        let (weight, bias) = (self.weight.values(), self.bias.values());
        let width = weight.len();
        vectorised(
            #[inline(always)]
            || {
                for (output, input) in output.chunks_exact_mut(width).zip(input.chunks_exact(width)) {
                    let RowStatistics { mean, scale } = self.statistics(input);
                    for ((y, x), (weight, bias)) in output.iter_mut().zip(input).zip(weight.iter().zip(bias)) {
                        *y = (x - mean) * scale * weight + bias;
                    }
                }
            },
        );
    }
}

/// What a row is normalised with.
pub(super) struct RowStatistics {
    pub(super) mean: f32,
    /// One over the standard deviation.
    pub(super) scale: f32,
}

#[inline(always)]
fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&value| term(value)).sum::<f32>()
}
