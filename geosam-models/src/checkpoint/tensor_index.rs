//! Sizes of a network, read off the shapes of its tensors.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use geosam_core::{Error, Result};

use super::view::TensorView;
use crate::sam::{TinyVitConfig, VitConfig};
use crate::sam2::HieraConfig;
use crate::sam3::PerceptionEncoderConfig;

/// More blocks than this are not a vision transformer but a forged file.
const MAX_DEPTH: usize = 256;

/// The tensors of a checkpoint under official names, to be asked for sizes.
pub(super) struct TensorIndex<'a> {
    pub(super) path: &'a Path,
    pub(super) tensors: &'a BTreeMap<String, TensorView>,
}

impl TensorIndex<'_> {
    /// Whether any tensor's name starts so.
    pub(super) fn has(&self, start: &str) -> bool {
        has(self.tensors, start)
    }

    /// ViT-Det's sizes. Where tensors contradict each other, loading will name those that do not fit.
    pub(super) fn vit_config(&self) -> Result<VitConfig> {
        let [_, grid, _, width] = self.shape("image_encoder.pos_embed")?;
        let [_, _, patch, _] = self.shape("image_encoder.patch_embed.proj.weight")?;
        let [features, ..] = self.shape::<4>("image_encoder.neck.0.weight")?;
        let [_, head_width] = self.shape("image_encoder.blocks.0.attn.rel_pos_h")?;
        let depth = self.count("image_encoder.blocks.")?;
        // A table for offsets −(n−1) … n−1 has 2n−1 rows.
        let sides: Vec<Option<usize>> = (0..depth)
            .map(|block| self.shape::<2>(&format!("image_encoder.blocks.{block}.attn.rel_pos_h")).ok())
            .map(|shape| shape.map(|[rows, _]| rows.div_ceil(2)))
            .collect();
        let global_attention: Vec<usize> = (0..depth).filter(|block| sides[*block] == Some(grid)).collect();
        let window = sides.iter().flatten().copied().find(|side| *side != grid);
        Ok(VitConfig {
            image_size: grid.saturating_mul(patch),
            patch,
            width,
            depth,
            // None where a head is wider than all of them, which is refused when the model is made.
            heads: width / head_width,
            global_attention,
            window: window.unwrap_or_else(|| VitConfig::vit_b().window),
            features,
        })
    }

    /// TinyViT's sizes. The image's is not in the tensors and taken to be MobileSAM's.
    pub(super) fn tiny_vit_config(&self) -> Result<TinyVitConfig> {
        let [first, ..] = self.shape::<4>("image_encoder.patch_embed.seq.2.c.weight")?;
        let [features, ..] = self.shape::<4>("image_encoder.neck.0.weight")?;
        let mut config = TinyVitConfig { features, ..TinyVitConfig::mobile() };
        config.widths[0] = first;
        for stage in 0..4 {
            config.depths[stage] = self.count(&format!("image_encoder.layers.{stage}.blocks."))?;
        }
        for stage in 1..4 {
            let [width, ..] =
                self.shape::<4>(&format!("image_encoder.layers.{}.downsample.conv3.c.weight", stage - 1))?;
            // One bias for each pair of distances within a window.
            let [heads, offsets] =
                self.shape(&format!("image_encoder.layers.{stage}.blocks.0.attn.attention_biases"))?;
            config.widths[stage] = width;
            config.heads[stage - 1] = heads;
            config.windows[stage - 1] = offsets.isqrt();
        }
        Ok(config)
    }

    /// Hiera's architecture, one of those that there are checkpoints of: windows, heads and the image's size are not in
    /// the tensors.
    pub(super) fn hiera_config(&self) -> Result<HieraConfig> {
        let [width, ..] = self.shape::<4>("image_encoder.trunk.patch_embed.proj.weight")?;
        let depth = self.count("image_encoder.trunk.blocks.")?;
        let known = HieraConfig::known().find(|known| (known.width, known.depth()) == (width, depth));
        known.ok_or_else(|| self.unpublished("SAM 2", width, depth))
    }

    /// The Perception Encoder's architecture, likewise.
    pub(super) fn perception_config(&self) -> Result<PerceptionEncoderConfig> {
        let trunk = "detector.backbone.vision_backbone.trunk";
        let [width, ..] = self.shape::<4>(&format!("{trunk}.patch_embed.proj.weight"))?;
        let depth = self.count(&format!("{trunk}.blocks."))?;
        let known = PerceptionEncoderConfig::known();
        let known = known.into_iter().find(|known| (known.width, known.depth) == (width, depth));
        known.ok_or_else(|| self.unpublished("SAM 3", width, depth))
    }

    /// The shape of a tensor, all of it positive.
    fn shape<const D: usize>(&self, name: &str) -> Result<[usize; D]> {
        let found = self.tensors.get(name).map(TensorView::shape);
        match found.map(<[usize; D]>::try_from) {
            Some(Ok(shape)) if !shape.contains(&0) => Ok(shape),
            _ => {
                let found = found.map_or_else(|| "none".to_string(), |shape| format!("shape {shape:?}"));
                Err(self.invalid(format!("a tensor {name} with {D} axes"), found))
            }
        }
    }

    /// What follows `start` in the names that start so.
    fn suffixes<'b>(&'b self, start: &'b str) -> impl Iterator<Item = &'b str> {
        suffixes(self.tensors, start)
    }

    /// Number of numbered modules whose names start so.
    fn count(&self, start: &str) -> Result<usize> {
        let last = self.suffixes(start).filter_map(|rest| rest.split('.').next()?.parse::<usize>().ok()).max();
        match last {
            Some(last) if last < MAX_DEPTH => Ok(last + 1),
            Some(last) => Err(self.invalid(format!("at most {MAX_DEPTH} modules {start}N"), format!("{start}{last}"))),
            None => Ok(0),
        }
    }

    fn unpublished(&self, family: &str, width: usize, depth: usize) -> Error {
        let path = self.path.display();
        Error::Unsupported {
            what: format!("a {family} whose trunk has {depth} blocks of width {width} ({path})"),
            reason: "its windows and heads are not in the file, and no published model has this size".to_string(),
        }
    }

    fn invalid(&self, expected: String, found: String) -> Error {
        Error::invalid_file(self.path, "SAM checkpoint", expected, found)
    }
}

/// Whether any name starts so.
pub(super) fn has<T>(tensors: &BTreeMap<String, T>, start: &str) -> bool {
    suffixes(tensors, start).next().is_some()
}

fn suffixes<'a, T>(tensors: &'a BTreeMap<String, T>, start: &'a str) -> impl Iterator<Item = &'a str> {
    let from = (Bound::Included(start), Bound::Unbounded);
    tensors.range::<str, _>(from).map_while(move |(name, _)| name.strip_prefix(start))
}
