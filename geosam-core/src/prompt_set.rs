//! What a user asks of an engine: points, a box, or both, for one object.

use crate::bbox::BoundingBox;
use crate::coordinates::{Shape, WorldPoint};
use crate::crs::{Crs, CrsTransform};
use crate::error::{Error, Result};
use crate::grid::GeoGrid;
use crate::points::Points;

/// A low-resolution logit map as a mask prompt: the `low_res` output of an earlier prediction on the same chip.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskPrompt {
    /// Shape of the map, normally 256×256.
    pub shape: Shape,
    /// Logits, row-major; positive inside the object.
    pub logits: Vec<f32>,
}

/// Prompts for one object: points, a box, a mask, in any combination.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptSet {
    points: Option<Points>,
    bbox: Option<BoundingBox>,
    /// With the chip it belongs to.
    mask: Option<(MaskPrompt, GeoGrid)>,
}

impl PromptSet {
    /// Points, a box, or both. If only one of them carries a CRS, the other is taken to be in it; if they differ, the
    /// box is brought into the points' CRS.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if both are absent, [`Error::Crs`] if the box has no image in the points' CRS.
    pub fn new(points: Option<Points>, bbox: Option<BoundingBox>, transform: &dyn CrsTransform) -> Result<Self> {
        let (points, bbox) = match (points, bbox) {
            (None, None) => return Err(Error::invalid_argument("prompt", "points, a box, or both", "neither")),
            (Some(points), Some(mut bbox)) => {
                let points = match (points.crs(), &bbox.crs) {
                    (None, Some(crs)) => points.with_crs(crs.clone()),
                    _ => points,
                };
                match (points.crs(), &bbox.crs) {
                    (Some(crs), Some(other)) if !transform.equivalent(crs, other)? => {
                        bbox = bbox.to_crs(crs, transform)?;
                    }
                    (crs, _) => bbox.crs = crs.cloned(),
                }
                (Some(points), Some(bbox))
            }
            other => other,
        };
        Ok(Self { points, bbox, mask: None })
    }

    /// The same prompts with a mask: a `low_res` map of an earlier answer, and the grid of the chip that gave it. The same
    /// chip answers this, or none.
    #[must_use]
    pub fn with_mask(mut self, mask: MaskPrompt, chip: GeoGrid) -> Self {
        self.mask = Some((mask, chip));
        self
    }

    /// The points, if any.
    #[must_use]
    pub fn points(&self) -> Option<&Points> {
        self.points.as_ref()
    }

    /// The box, if any.
    #[must_use]
    pub fn bbox(&self) -> Option<&BoundingBox> {
        self.bbox.as_ref()
    }

    /// The mask, if any.
    #[must_use]
    pub fn mask(&self) -> Option<&MaskPrompt> {
        self.mask.as_ref().map(|(mask, _)| mask)
    }

    /// The chip that the mask belongs to.
    #[must_use]
    pub fn mask_chip(&self) -> Option<&GeoGrid> {
        self.mask.as_ref().map(|(_, chip)| chip)
    }

    /// What engines say of a mask whose chip cannot answer the other prompts.
    #[must_use]
    pub fn mask_elsewhere(&self) -> Error {
        let chip = self.mask_chip().map(|chip| chip.bounds().to_string()).unwrap_or_default();
        let expected = "other prompts on the chip that it belongs to; leave the mask out to ask another one";
        Error::invalid_argument("mask prompt", expected, format!("one at {}, the chip at {chip}", self.bounds()))
    }

    /// The CRS all prompts share.
    ///
    /// # Errors
    /// [`Error::MissingCrs`] if none of them carries one.
    pub fn require_crs(&self) -> Result<&Crs> {
        let crs = match (&self.points, &self.bbox) {
            (Some(points), _) => points.crs(),
            (None, Some(bbox)) => bbox.crs.as_ref(),
            (None, None) => None,
        };
        crs.ok_or_else(|| Error::MissingCrs {
            what: "the prompt".to_string(),
            remedy: "give the CRS its coordinates are in, for example EPSG:4326",
        })
    }

    /// The smallest box around all prompts.
    #[must_use]
    pub fn bounds(&self) -> BoundingBox {
        match (&self.points, &self.bbox) {
            (Some(points), Some(bbox)) => {
                let p = points.bounds();
                BoundingBox {
                    left: p.left.min(bbox.left),
                    bottom: p.bottom.min(bbox.bottom),
                    right: p.right.max(bbox.right),
                    top: p.top.max(bbox.top),
                    crs: p.crs,
                }
            }
            (Some(points), None) => points.bounds(),
            (None, Some(bbox)) => bbox.clone(),
            (None, None) => unreachable!("a prompt set has points or a box"),
        }
    }

    /// Where the prompt is: the mean of the points if there are only points, else the centre of [`PromptSet::bounds`].
    #[must_use]
    pub fn center(&self) -> WorldPoint {
        match (&self.points, &self.bbox) {
            (Some(points), None) => points.center(),
            _ => self.bounds().center(),
        }
    }

    /// The prompts in another CRS; the mask stays as it is.
    ///
    /// # Errors
    /// [`Error::MissingCrs`] without a CRS, [`Error::Crs`] if a coordinate has no image there.
    pub fn to_crs(&self, crs: &Crs, transform: &dyn CrsTransform) -> Result<Self> {
        if transform.equivalent(self.require_crs()?, crs)? {
            return Ok(Self {
                points: self.points.clone().map(|p| p.with_crs(crs.clone())),
                bbox: self.bbox.clone().map(|b| BoundingBox { crs: Some(crs.clone()), ..b }),
                mask: self.mask.clone(),
            });
        }
        Ok(Self {
            points: self.points.as_ref().map(|p| p.to_crs(crs, transform)).transpose()?,
            bbox: self.bbox.as_ref().map(|b| b.to_crs(crs, transform)).transpose()?,
            mask: self.mask.clone(),
        })
    }
}

impl From<Points> for PromptSet {
    fn from(points: Points) -> Self {
        Self { points: Some(points), bbox: None, mask: None }
    }
}

impl From<BoundingBox> for PromptSet {
    fn from(bbox: BoundingBox) -> Self {
        Self { points: None, bbox: Some(bbox), mask: None }
    }
}
