//! Axis-aligned boxes on the map.

use crate::coordinates::WorldPoint;
use crate::crs::{Crs, CrsTransform};
use crate::error::{Error, Result};

/// A box in world coordinates, with the CRS they are in.
///
/// As a prompt it outlines an object; as an extent it limits what is read.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BoundingBox {
    /// Smallest x.
    pub left: f64,
    /// Smallest y.
    pub bottom: f64,
    /// Largest x.
    pub right: f64,
    /// Largest y.
    pub top: f64,
    /// The CRS of the four coordinates, if known. Prompts must have one.
    pub crs: Option<Crs>,
}

impl BoundingBox {
    /// A box with its CRS.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a coordinate is not finite, `left > right` or `bottom > top`.
    pub fn new(left: f64, bottom: f64, right: f64, top: f64, crs: impl Into<Option<Crs>>) -> Result<Self> {
        let bounds = Self { left, bottom, right, top, crs: crs.into() };
        if ![left, bottom, right, top].iter().all(|v| v.is_finite()) || left > right || bottom > top {
            return Err(Error::invalid_argument(
                "bounding box",
                "finite left ≤ right and bottom ≤ top",
                format_args!("left {left}, bottom {bottom}, right {right}, top {top}"),
            ));
        }
        Ok(bounds)
    }

    /// Centre of the box.
    #[must_use]
    pub fn center(&self) -> WorldPoint {
        WorldPoint::new((self.left + self.right) / 2.0, (self.bottom + self.top) / 2.0)
    }

    /// Extent along x.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    /// Extent along y.
    #[must_use]
    pub fn height(&self) -> f64 {
        self.top - self.bottom
    }

    /// Area in squared CRS units.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.width() * self.height()
    }

    /// The box as a polygon, counter-clockwise from its lower-left corner.
    #[must_use]
    pub fn to_polygon(&self) -> geo_types::Polygon<f64> {
        geo_types::Rect::new((self.left, self.bottom), (self.right, self.top)).to_polygon()
    }

    /// The CRS, or an error that says what lacks it.
    ///
    /// # Errors
    /// [`Error::MissingCrs`]
    pub fn require_crs(&self, what: &str) -> Result<&Crs> {
        self.crs.as_ref().ok_or_else(|| Error::MissingCrs {
            what: what.to_string(),
            remedy: "give the CRS its coordinates are in, for example EPSG:4326",
        })
    }

    /// The smallest box around both.
    ///
    /// # Errors
    /// [`Error::Crs`] if the boxes carry different CRSs; see [`BoundingBox::to_crs`].
    pub fn union(&self, other: &Self) -> Result<Self> {
        let crs = self.shared_crs(other)?;
        Ok(Self {
            left: self.left.min(other.left),
            bottom: self.bottom.min(other.bottom),
            right: self.right.max(other.right),
            top: self.top.max(other.top),
            crs,
        })
    }

    /// The overlap of both, or `None` if they do not touch.
    ///
    /// # Errors
    /// [`Error::Crs`] if the boxes carry different CRSs.
    pub fn intersection(&self, other: &Self) -> Result<Option<Self>> {
        let crs = self.shared_crs(other)?;
        if !self.intersects(other)? {
            return Ok(None);
        }
        Ok(Some(Self {
            left: self.left.max(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.min(other.right),
            top: self.top.min(other.top),
            crs,
        }))
    }

    /// Whether the boxes share a point; touching edges count.
    ///
    /// # Errors
    /// [`Error::Crs`] if the boxes carry different CRSs.
    pub fn intersects(&self, other: &Self) -> Result<bool> {
        self.shared_crs(other)?;
        Ok(self.left <= other.right && self.right >= other.left && self.bottom <= other.top && self.top >= other.bottom)
    }

    /// Whether `other` lies inside, edges included.
    ///
    /// # Errors
    /// [`Error::Crs`] if the boxes carry different CRSs.
    pub fn contains(&self, other: &Self) -> Result<bool> {
        self.shared_crs(other)?;
        Ok(self.left <= other.left && self.right >= other.right && self.bottom <= other.bottom && self.top >= other.top)
    }

    /// Whether the point lies inside, edges included; the point is taken to be in the box's CRS.
    #[must_use]
    pub fn contains_point(&self, p: WorldPoint) -> bool {
        (self.left..=self.right).contains(&p.x) && (self.bottom..=self.top).contains(&p.y)
    }

    /// The box in another CRS: the bounds of its image, edges densified.
    ///
    /// # Errors
    /// [`Error::MissingCrs`] without a CRS, [`Error::Crs`] if the box has no image there.
    pub fn to_crs(&self, crs: &Crs, transform: &dyn CrsTransform) -> Result<Self> {
        self.require_crs("the bounding box")?;
        transform.transform_bounds(self, crs)
    }

    /// The box grown by `distance` on every side (shrunk if negative).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it would shrink to less than nothing.
    pub fn buffer(&self, distance: f64) -> Result<Self> {
        Self::new(
            self.left - distance,
            self.bottom - distance,
            self.right + distance,
            self.top + distance,
            self.crs.clone(),
        )
    }

    /// Both parts of the box cut at `proportion` of its width: (west, east).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] unless `0 < proportion < 1`.
    pub fn split_at_x(&self, proportion: f64) -> Result<(Self, Self)> {
        let x = self.left + self.width() * checked_proportion(proportion)?;
        Ok((Self { right: x, ..self.clone() }, Self { left: x, ..self.clone() }))
    }

    /// Both parts of the box cut at `proportion` of its height: (south, north).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] unless `0 < proportion < 1`.
    pub fn split_at_y(&self, proportion: f64) -> Result<(Self, Self)> {
        let y = self.bottom + self.height() * checked_proportion(proportion)?;
        Ok((Self { top: y, ..self.clone() }, Self { bottom: y, ..self.clone() }))
    }

    /// The CRS both boxes share; one without a CRS is taken to be in the other's.
    fn shared_crs(&self, other: &Self) -> Result<Option<Crs>> {
        match (&self.crs, &other.crs) {
            (Some(a), Some(b)) if a != b => Err(Error::Crs {
                crs: b.to_string(),
                reason: format!("boxes are in different systems, the other one in {a}; bring one over with to_crs"),
                source: None,
            }),
            (a, b) => Ok(a.clone().or_else(|| b.clone())),
        }
    }
}

fn checked_proportion(proportion: f64) -> Result<f64> {
    if proportion > 0.0 && proportion < 1.0 {
        return Ok(proportion);
    }
    Err(Error::invalid_argument("proportion", "a number between 0 and 1", proportion))
}

impl std::fmt::Display for BoundingBox {
    /// `left, bottom, right, top (CRS)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}, {}, {}", self.left, self.bottom, self.right, self.top)?;
        match &self.crs {
            Some(crs) => write!(f, " ({crs})"),
            None => f.write_str(" (no CRS)"),
        }
    }
}
