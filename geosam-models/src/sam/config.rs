//! Architecture of the image encoders of SAM and MobileSAM.

/// Architecture of ViT-Det: a plain vision transformer with windowed attention in most blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VitConfig {
    /// Side of the square input in pixels, a multiple of `patch`; 1024 in every published model.
    pub image_size: usize,
    /// Side of a patch in pixels, 16.
    pub patch: usize,
    /// Channels of a token, a multiple of `heads`.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads of each block.
    pub heads: usize,
    /// Blocks, counted from 0, that attend to the whole image; the others attend within windows.
    pub global_attention: Vec<usize>,
    /// Side of a window in tokens, 14.
    pub window: usize,
    /// Channels of the features, 256.
    pub features: usize,
}

impl VitConfig {
    /// 90 million parameters.
    #[must_use]
    pub fn vit_b() -> Self {
        Self::published(768, 12, 12, [2, 5, 8, 11])
    }

    /// 308 million parameters.
    #[must_use]
    pub fn vit_l() -> Self {
        Self::published(1024, 24, 16, [5, 11, 17, 23])
    }

    /// 637 million parameters.
    #[must_use]
    pub fn vit_h() -> Self {
        Self::published(1280, 32, 16, [7, 15, 23, 31])
    }

    fn published(width: usize, depth: usize, heads: usize, global_attention: [usize; 4]) -> Self {
        let global_attention = global_attention.to_vec();
        Self { image_size: 1024, patch: 16, width, depth, heads, global_attention, window: 14, features: 256 }
    }
}

/// Architecture of TinyViT: a convolutional stem and stage, then three stages of windowed attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TinyVitConfig {
    /// Side of the square input in pixels, a multiple of 16; 1024 in MobileSAM.
    pub image_size: usize,
    /// Channels of the four stages, each a multiple of the stage's heads.
    pub widths: [usize; 4],
    /// Blocks of the four stages.
    pub depths: [usize; 4],
    /// Attention heads of the last three stages.
    pub heads: [usize; 3],
    /// Side of a window in tokens in the last three stages.
    pub windows: [usize; 3],
    /// Channels of the features, 256.
    pub features: usize,
}

impl TinyVitConfig {
    /// MobileSAM's encoder, 6 million parameters.
    #[must_use]
    pub fn mobile() -> Self {
        Self {
            image_size: 1024,
            widths: [64, 128, 160, 320],
            depths: [2, 2, 6, 2],
            heads: [4, 5, 10],
            windows: [7, 14, 7],
            features: 256,
        }
    }

    /// As small as it can be with every kind of layer, windows that do not divide their grids, and an odd number of heads.
    #[cfg(test)]
    pub(crate) fn small() -> Self {
        Self {
            image_size: 128,
            widths: [16, 32, 40, 64],
            depths: [1, 1, 2, 1],
            heads: [2, 5, 4],
            windows: [3, 5, 3],
            features: 256,
        }
    }
}
