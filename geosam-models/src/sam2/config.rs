//! Architecture of SAM 2's image encoder.

/// Architecture of Hiera, a transformer of four stages, each with half the resolution and twice the width and heads of
/// the one before.
///
/// Facts from `sam2/configs/sam2.1/*.yaml`; SAM 2 and 2.1 are the same network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HieraConfig {
    /// Side of the square input in pixels, a multiple of 32; 1024 in every published model.
    pub image_size: usize,
    /// Channels of a token in the first stage, a multiple of `heads`.
    pub width: usize,
    /// Attention heads of each block in the first stage.
    pub heads: usize,
    /// Blocks of the four stages. The first of each but the first stage halves the resolution.
    pub depths: [usize; 4],
    /// Side of a window in tokens in each of the four stages. A block that halves the resolution has its windows
    /// still from the stage before, whose side must be even.
    pub windows: [usize; 4],
    /// Blocks, counted from 0, that attend to the whole image; the others attend within windows.
    pub global_attention: Vec<usize>,
    /// Side of the stored position table, which is stretched over the image.
    pub position_grid: usize,
    /// Channels of the features, 256.
    pub features: usize,
}

impl HieraConfig {
    /// 27 million parameters.
    #[must_use]
    pub fn tiny() -> Self {
        Self::of_sizes(96, 1, [1, 2, 7, 2], [5, 7, 9])
    }

    /// 34 million parameters.
    #[must_use]
    pub fn small() -> Self {
        Self::of_sizes(96, 1, [1, 2, 11, 2], [7, 10, 13])
    }

    /// 69 million parameters.
    #[must_use]
    pub fn base_plus() -> Self {
        Self { position_grid: 14, ..Self::of_sizes(112, 2, [2, 3, 16, 3], [12, 16, 20]) }
    }

    /// 212 million parameters.
    #[must_use]
    pub fn large() -> Self {
        Self { windows: [8, 4, 16, 8], ..Self::of_sizes(144, 2, [2, 6, 36, 4], [23, 33, 43]) }
    }

    /// 1.7 million parameters, on images of 256 × 256 pixels, with features of 128 channels.
    #[must_use]
    pub fn nano() -> Self {
        Self {
            image_size: 256,
            windows: [8, 4, 16, 8],
            global_attention: vec![5, 7],
            features: 128,
            ..Self::of_sizes(32, 1, [1, 2, 4, 1], [0; 3])
        }
    }

    fn of_sizes(width: usize, heads: usize, depths: [usize; 4], global_attention: [usize; 3]) -> Self {
        Self {
            image_size: 1024,
            width,
            heads,
            depths,
            windows: [8, 4, 14, 7],
            global_attention: global_attention.to_vec(),
            position_grid: 7,
            features: 256,
        }
    }

    /// Number of blocks.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depths.iter().sum()
    }

    /// One for tests: windows that fit the grid and windows that do not, and one global block.
    pub(crate) fn miniature() -> Self {
        Self {
            image_size: 128,
            windows: [8, 4, 6, 3],
            global_attention: vec![4],
            ..Self::of_sizes(16, 1, [1, 2, 3, 1], [0; 3])
        }
    }

    /// Every architecture that there are checkpoints of, to be recognised by their tensors' shapes.
    pub(crate) fn known() -> impl Iterator<Item = Self> {
        Self::published().into_iter().chain([Self::nano(), Self::miniature()])
    }

    /// Those with published weights.
    pub(crate) fn published() -> [Self; 4] {
        [Self::tiny(), Self::small(), Self::base_plus(), Self::large()]
    }
}
