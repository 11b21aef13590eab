//! Upscaling by transposed convolution.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activation, Linear, assert_shape};
use crate::kernels::Affine;
use crate::weights::Weights;

/// Transposed convolution with kernel and stride 2 as a linear layer: each pixel becomes four.
#[derive(Module, Debug)]
pub(crate) struct PixelSplit {
    /// Its outputs are the four pixels, row-major, each with its channels.
    linear: Linear,
}

impl PixelSplit {
    pub(crate) fn load(weights: &Weights<'_>, [inputs, outputs]: [usize; 2]) -> Self {
        let weight = weights.tensor("weight", [inputs, outputs, 2, 2]).permute([2, 3, 1, 0]);
        let bias = weights.tensor("bias", [outputs]).repeat_dim(0, 4);
        Self { linear: Linear::new(weight.reshape([4 * outputs, inputs]), bias).by_columns() }
    }

    /// Where and as `weights` are laid out on a GPU: see [`Weights::placed`].
    pub(crate) fn placed(self, weights: &Weights<'_>) -> Self {
        Self { linear: self.linear.placed(weights) }
    }

    /// This, followed by a linear layer at every pixel, in one.
    pub(crate) fn then(self, next: &Linear) -> Self {
        let [split, inputs] = self.linear.weight.dims();
        let quarter = |index: usize| {
            let rows = index * split / 4..(index + 1) * split / 4;
            let weight = self.linear.weight.val().slice([rows.clone(), 0..inputs]);
            Linear::new(weight, self.linear.bias.val().slice([rows])).then(next)
        };
        let quarters = [0, 1, 2, 3].map(quarter);
        let weight = Tensor::cat(quarters.iter().map(|linear| linear.weight.val()).collect(), 0);
        let bias = Tensor::cat(quarters.iter().map(|linear| linear.bias.val()).collect(), 0);
        Self { linear: Linear::new(weight, bias).by_columns() }
    }

    /// For a kernel that does more than this layer; its outputs are the four pixels, one after the other.
    pub(crate) fn fused(&self) -> Affine {
        self.linear.fused()
    }

    /// # Shapes
    /// - x: `[batch, pixels, inputs]`
    /// - output: `[batch, 4·pixels, outputs]`, the four pixels of each input pixel one after the other
    pub(crate) fn forward(&self, x: Tensor<3>, activation: Option<Activation>) -> Tensor<3> {
        let split = self.linear.forward_with(x, activation);
        let [batch, pixels, outputs] = split.dims();
        split.reshape([batch, 4 * pixels, outputs / 4])
    }
}

/// Puts the pixels of a square grid, after two splits, in rows and columns.
///
/// # Shapes
/// - x: `[batch, 16·grid², channels]`
/// - output: `[batch, 4·grid, 4·grid, channels]`
pub(crate) fn unnest_twice(x: Tensor<3>) -> Tensor<4> {
    let [batch, pixels, channels] = x.dims();
    let grid = (pixels / 16).isqrt();
    assert_shape!(x, [batch, 16 * grid * grid, channels]);
    // Grid row and column, then row and column in each of the two splits.
    let nested = x.reshape([batch, grid, grid, 2, 2, 2, 2, channels]);
    nested.permute([0, 1, 3, 5, 2, 4, 6, 7]).reshape([batch, 4 * grid, 4 * grid, channels])
}

/// [`unnest_twice`], after one split.
///
/// # Shapes
/// - x: `[batch, 4·grid², channels]`
/// - output: `[batch, 2·grid, 2·grid, channels]`
pub(crate) fn unnest(x: Tensor<3>) -> Tensor<4> {
    let [batch, pixels, channels] = x.dims();
    let grid = (pixels / 4).isqrt();
    assert_shape!(x, [batch, 4 * grid * grid, channels]);
    let nested = x.reshape([batch, grid, grid, 2, 2, channels]);
    nested.permute([0, 1, 3, 2, 4, 5]).reshape([batch, 2 * grid, 2 * grid, channels])
}

/// Undoes [`unnest_twice`], of channels first.
///
/// # Shapes
/// - x: `[batch, channels, 4·grid, 4·grid]`
/// - output: `[batch, 16·grid², channels]`
pub(crate) fn nest_twice(x: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = x.dims();
    let grid = height / 4;
    assert_shape!(x, [batch, channels, 4 * grid, 4 * grid]);
    let split = x.reshape([batch, channels, grid, 2, 2, grid, 2, 2]);
    split.permute([0, 2, 5, 3, 6, 4, 7, 1]).reshape([batch, height * width, channels])
}

/// Undoes [`unnest`], of channels first.
///
/// # Shapes
/// - x: `[batch, channels, 2·grid, 2·grid]`
/// - output: `[batch, 4·grid², channels]`
pub(crate) fn nest(x: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = x.dims();
    let grid = height / 2;
    assert_shape!(x, [batch, channels, 2 * grid, 2 * grid]);
    let split = x.reshape([batch, channels, grid, 2, grid, 2]);
    split.permute([0, 2, 4, 3, 5, 1]).reshape([batch, height * width, channels])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tolerance;

    use super::*;
    use crate::golden::{input, load_seeded};

    #[test]
    fn nesting_is_undone() {
        let once = input("once", [2, 3, 6, 6], 1.0);
        unnest(nest(once.clone())).permute([0, 3, 1, 2]).into_data().assert_eq(&once.into_data(), true);
        let twice = input("twice", [2, 3, 12, 12], 1.0);
        unnest_twice(nest_twice(twice.clone())).permute([0, 3, 1, 2]).into_data().assert_eq(&twice.into_data(), true);
    }

    #[test]
    fn two_layers_in_one_are_the_two() {
        let split = || load_seeded("split", |weights| PixelSplit::load(weights, [6, 8]));
        let linear = load_seeded("linear", |weights| Linear::load(weights, 8, 5));
        let x = input("x", [2, 9, 6], 1.0);
        let apart = linear.forward(split().forward(x.clone(), None));
        let together = split().then(&linear).forward(x, None);
        together.into_data().assert_approx_eq::<f32>(&apart.into_data(), Tolerance::default());
    }
}
