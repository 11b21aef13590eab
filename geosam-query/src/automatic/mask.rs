//! What automatic masks come as.

use geosam_core::{
    GeoGrid, MaskChoice, MaskFeatures, MaskVectorizer, Masks, PixelPoint, Result, VectorizeOptions, Window,
};
use serde_json::json;

/// One object that [`AutomaticMasks`](crate::AutomaticMasks) found.
#[derive(Clone, Debug, PartialEq)]
pub struct AutomaticMask {
    /// Identifier, unique over the raster: 1, 2, … in the order in which masks are handed over.
    pub id: u32,
    /// The smallest rectangle around the mask, in pixels of [`AutomaticMasks::grid`](crate::AutomaticMasks::grid).
    pub window: Window,
    /// One mask, of the window's shape.
    pub mask: Masks,
    /// Number of pixels of the mask.
    pub area: u64,
    /// Predicted IoU; of an object put together from pieces their mean, weighted by area.
    pub score: f32,
    /// How stable the mask is, the mean in the same way: [`geosam_core::PromptSession::stability`].
    pub stability: f32,
    /// The point that was asked, of several pieces that of the one with the highest score, in pixels of the grid.
    pub point: PixelPoint,
    /// Number of chips whose masks it was put together from: 1 unless a chip border cuts it.
    pub chips: usize,
}

impl AutomaticMask {
    /// The mask as polygons on `grid`, which is [`AutomaticMasks::grid`](crate::AutomaticMasks::grid), one for each of its
    /// parts. All masks of them are taken, whatever [`VectorizeOptions::mask`] says.
    ///
    /// Attributes: `id` (counts the parts of this mask from 1), `mask` (the mask's identifier), `area` (of the polygon, in
    /// squared units of the CRS), `score`, `stability`, `pixels`, `chips`, and `point_x` and `point_y` (on the map).
    ///
    /// # Errors
    /// [`geosam_core::Error::InvalidArgument`] for unusable options, or if the public fields were changed so that they do not
    /// fit each other.
    pub fn features(&self, grid: &GeoGrid, options: &VectorizeOptions) -> Result<MaskFeatures> {
        let point = grid.to_world(self.point);
        let properties = [
            ("mask", json!(self.id)),
            ("score", json!(self.score)),
            ("stability", json!(self.stability)),
            ("pixels", json!(self.area)),
            ("chips", json!(self.chips)),
            ("point_x", json!(point.x)),
            ("point_y", json!(point.y)),
        ];
        let properties = properties.map(|(name, value)| (name.to_string(), value)).into_iter().collect();
        let options = VectorizeOptions { mask: MaskChoice::All, ..*options };
        let grid = grid.shifted(self.window);
        MaskVectorizer::new(&self.mask, &grid)?.with_properties(properties).features(&options)
    }
}
