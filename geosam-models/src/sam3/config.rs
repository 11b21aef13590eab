//! Architecture of SAM 3's image encoder.

/// Architecture of the Perception Encoder: a plain vision transformer with rotary positions and windowed attention in
/// most blocks.
///
/// Facts from `sam3/model_builder.py`; SAM 3 and 3.1 are the same network as far as clicks go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerceptionEncoderConfig {
    /// Side of the square input in pixels, a multiple of `patch`; 1008 in every published model.
    pub image_size: usize,
    /// Side of a patch in pixels, 14.
    pub patch: usize,
    /// Channels of a token, a multiple of four times `heads`.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads of each block.
    pub heads: usize,
    /// Channels inside the perceptrons.
    pub mlp: usize,
    /// Blocks, counted from 0, that attend to the whole image; the others attend within windows.
    pub global_attention: Vec<usize>,
    /// Side of a window in tokens.
    pub window: usize,
    /// Side of the stored position table in tokens, which is repeated over the image.
    pub position_grid: usize,
    /// Channels of the features, 256.
    pub features: usize,
}

impl PerceptionEncoderConfig {
    /// 446 million parameters.
    #[must_use]
    pub fn sam3() -> Self {
        Self {
            image_size: 1008,
            patch: 14,
            width: 1024,
            depth: 32,
            heads: 16,
            mlp: 4736,
            global_attention: vec![7, 15, 23, 31],
            window: 24,
            position_grid: 24,
            features: 256,
        }
    }

    /// One for tests: a grid of 9 × 9 tokens, one global block.
    pub(crate) fn miniature() -> Self {
        Self {
            image_size: 126,
            width: 32,
            depth: 3,
            heads: 2,
            mlp: 148,
            global_attention: vec![2],
            window: 3,
            position_grid: 3,
            ..Self::sam3()
        }
    }

    /// Every architecture that there are checkpoints of, to be recognised by their tensors' shapes.
    pub(crate) fn known() -> [Self; 2] {
        [Self::sam3(), Self::miniature()]
    }
}
