//! What an image encoder makes of an image.

use burn::tensor::Tensor;

/// Features of images, as the mask decoder takes them, in f32 whatever the precision of the encoder.
#[derive(Clone, Debug)]
pub(crate) struct ImageFeatures {
    /// `[batch, features, grid, grid]`
    pub(crate) embedding: Tensor<4>,
    /// SAM 2 and 3: `[batch, features / 8, 4·grid, 4·grid]` and `[batch, features / 4, 2·grid, 2·grid]`.
    pub(crate) high_res: Option<[Tensor<4>; 2]>,
}

#[cfg(feature = "train")]
impl ImageFeatures {
    /// The same for operators that keep a history.
    pub(crate) fn autodiff(&self) -> Self {
        Self {
            embedding: self.embedding.clone().autodiff(),
            high_res: self.high_res.clone().map(|maps| maps.map(Tensor::autodiff)),
        }
    }

    /// The same without the history that gradients need.
    pub(crate) fn without_autodiff(&self) -> Self {
        Self {
            embedding: self.embedding.clone().without_autodiff(),
            high_res: self.high_res.clone().map(|maps| maps.map(Tensor::without_autodiff)),
        }
    }
}
