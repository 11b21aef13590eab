//! Layer normalisation over the last axis, and over the channels of an image.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, module};

use super::assert_shape;
use crate::kernels::Norm;
use crate::profile;
use crate::weights::{Weights, parameter};

/// Normalises the last axis to zero mean and unit (biased) variance, then scales and shifts.
#[derive(Module, Debug)]
pub(crate) struct LayerNorm {
    pub(crate) weight: Param<Tensor<1>>,
    pub(crate) bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    pub(crate) fn load(weights: &Weights<'_>, width: usize, epsilon: f64) -> Self {
        Self {
            weight: parameter(weights.tensor("weight", [width])),
            bias: parameter(weights.tensor("bias", [width])),
            epsilon,
        }
    }

    /// For a kernel that normalises its input itself.
    pub(crate) fn fused(&self) -> Norm {
        Norm { weight: self.weight.val(), bias: self.bias.val(), epsilon: self.epsilon }
    }

    /// # Shapes
    /// - x: `[.., width]`
    /// - output: the same
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let [width] = self.weight.dims();
        assert_shape!(x, [.., width]);
        let run = || self.fused().by_operators(x);
        profile::operator(|| (format!("layer norm {width}"), 0.0), run)
    }
}

/// [`LayerNorm`] over the channel axis of an image, at every pixel by itself.
#[derive(Module, Debug)]
pub(crate) struct LayerNorm2d {
    pub(crate) weight: Param<Tensor<1>>,
    pub(crate) bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm2d {
    pub(crate) fn load(weights: &Weights<'_>, channels: usize, epsilon: f64) -> Self {
        Self {
            weight: parameter(weights.tensor("weight", [channels])),
            bias: parameter(weights.tensor("bias", [channels])),
            epsilon,
        }
    }

    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    /// - output: the same
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let [channels] = weight.dims();
        assert_shape!(x, [_, channels, _, _]);
        let run = || {
            let pixels = x.permute([0, 2, 3, 1]);
            module::layer_norm(pixels, weight, Some(self.bias.val()), self.epsilon).permute([0, 3, 1, 2])
        };
        profile::operator(|| (format!("layer norm 2d {channels}"), 0.0), run)
    }
}
