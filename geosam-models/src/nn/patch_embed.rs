//! Images as tokens.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Linear, assert_shape};
use crate::weights::Weights;

/// Cuts the image into patches and maps each to a token.
#[derive(Module, Debug)]
pub(crate) struct PatchEmbed {
    /// `proj`, a convolution whose stride is its kernel: `[width, 3·patch·patch]`, columns in the order channel, row, column.
    proj: Linear,
    patch: usize,
}

impl PatchEmbed {
    pub(crate) fn load(weights: &Weights<'_>, patch: usize, width: usize, bias: bool) -> Self {
        let proj = weights.scope("proj");
        let weight = proj.tensor("weight", [width, 3, patch, patch]).reshape([width, 3 * patch * patch]);
        let bias = if bias { proj.tensor("bias", [width]) } else { Tensor::zeros([width], &weight.device()) };
        Self { proj: Linear::new(weight, bias), patch }
    }

    /// # Shapes
    /// - images: `[batch, 3, height, width]`
    /// - output: `[batch, height / patch, width / patch, channels]`
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = images.dims();
        let [patch, rows, columns] = [self.patch, height / self.patch, width / self.patch];
        assert_shape!(images, [_, 3, patch * rows, patch * columns]);
        let patches = images.reshape([batch, channels, rows, patch, columns, patch]).permute([0, 2, 4, 1, 3, 5]);
        self.proj.forward(patches.reshape([batch, rows, columns, channels * patch * patch]))
    }
}
