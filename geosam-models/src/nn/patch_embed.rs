//! Images as tokens.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Linear, assert_shape};
use crate::kernels::{self, Layout, Patches};
use crate::profile;
use crate::weights::Weights;

/// Maps squares of the image to tokens.
#[derive(Module, Debug)]
pub(crate) struct PatchEmbed {
    /// `proj`, a convolution: `[width, 3·kernel·kernel]`, columns in the order channel, row, column.
    proj: Linear,
    #[module(skip)]
    patches: Patches,
}

impl PatchEmbed {
    /// Of squares next to each other.
    pub(crate) fn load(weights: &Weights<'_>, patch: usize, width: usize, bias: bool) -> Self {
        Self::load_overlapping(weights, Patches { kernel: patch, stride: patch, padding: 0 }, width, bias)
    }

    pub(crate) fn load_overlapping(weights: &Weights<'_>, patches: Patches, width: usize, bias: bool) -> Self {
        let (proj, kernel) = (weights.scope("proj"), patches.kernel);
        let host = proj.on_host();
        let weight = host.tensor("weight", [width, 3, kernel, kernel]).reshape([width, 3 * kernel * kernel]);
        let bias = if bias { host.tensor("bias", [width]) } else { Tensor::zeros([width], host.device()) };
        Self { proj: Linear::new(weight, bias).placed(&proj), patches }
    }

    /// # Shapes
    /// - images: `[batch, 3, height, width]`
    /// - output: `[batch, height / stride, width / stride, channels]`
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = images.dims();
        let Patches { kernel, stride, .. } = self.patches;
        assert_shape!(images, [_, 3, height / stride * stride, width / stride * stride]);
        let describe = || {
            let [outputs, seen] = self.proj.weight.dims();
            let tokens = (height / stride) * (width / stride);
            (format!("patches {kernel}×{kernel} → {outputs}"), 2.0 * (tokens * seen * outputs) as f64)
        };
        let run = || kernels::patches(images, Layout::ChannelsFirst, self.proj.fused(), self.patches, None);
        profile::operator(describe, run)
    }
}
