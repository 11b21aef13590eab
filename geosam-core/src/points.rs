//! Point prompts on the map.

use crate::bbox::BoundingBox;
use crate::coordinates::WorldPoint;
use crate::crs::{Crs, CrsTransform};
use crate::error::{Error, Result};

/// What a point prompt says about the object it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Label {
    /// The point lies outside the object (0).
    Background,
    /// The point lies on the object (1).
    Foreground,
}

impl Label {
    /// 0 or 1, as SAM and files write it.
    #[must_use]
    pub const fn as_int(self) -> i64 {
        match self {
            Self::Background => 0,
            Self::Foreground => 1,
        }
    }
}

impl TryFrom<i64> for Label {
    type Error = Error;

    fn try_from(value: i64) -> Result<Self> {
        match value {
            0 => Ok(Self::Background),
            1 => Ok(Self::Foreground),
            other => Err(Error::invalid_argument("point label", "0 (background) or 1 (foreground)", other)),
        }
    }
}

/// One or more labelled points that prompt for **one** object, with their CRS.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    coordinates: Vec<WorldPoint>,
    labels: Vec<Label>,
    crs: Option<Crs>,
}

impl Points {
    /// Points with one label each.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no point, a coordinate is not finite, or the counts differ.
    pub fn new(coordinates: Vec<WorldPoint>, labels: Vec<Label>, crs: impl Into<Option<Crs>>) -> Result<Self> {
        if coordinates.is_empty() {
            return Err(Error::invalid_argument("points", "at least one point", "none"));
        }
        if coordinates.len() != labels.len() {
            return Err(Error::invalid_argument(
                "labels",
                format!("one label for each of the {} points", coordinates.len()),
                format_args!("{} labels", labels.len()),
            ));
        }
        if let Some(p) = coordinates.iter().find(|p| !p.x.is_finite() || !p.y.is_finite()) {
            return Err(Error::invalid_argument("points", "finite coordinates", format_args!("({}, {})", p.x, p.y)));
        }
        Ok(Self { coordinates, labels, crs: crs.into() })
    }

    /// Points that all lie on the object.
    ///
    /// # Errors
    /// As [`Points::new`].
    pub fn foreground(coordinates: Vec<WorldPoint>, crs: impl Into<Option<Crs>>) -> Result<Self> {
        let labels = vec![Label::Foreground; coordinates.len()];
        Self::new(coordinates, labels, crs)
    }

    /// Number of points, at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.coordinates.len()
    }

    /// Always `false`: a prompt has a point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.coordinates.is_empty()
    }

    /// The coordinates, in order.
    #[must_use]
    pub fn coordinates(&self) -> &[WorldPoint] {
        &self.coordinates
    }

    /// The labels, one for each point.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The CRS of the coordinates, if known.
    #[must_use]
    pub fn crs(&self) -> Option<&Crs> {
        self.crs.as_ref()
    }

    /// The same points, taken to be in `crs` (no reprojection).
    #[must_use]
    pub fn with_crs(mut self, crs: Crs) -> Self {
        self.crs = Some(crs);
        self
    }

    /// Points and labels, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (WorldPoint, Label)> + '_ {
        self.coordinates.iter().copied().zip(self.labels.iter().copied())
    }

    /// Mean of the coordinates.
    #[must_use]
    pub fn center(&self) -> WorldPoint {
        let n = self.len() as f64;
        WorldPoint::new(
            self.coordinates.iter().map(|p| p.x).sum::<f64>() / n,
            self.coordinates.iter().map(|p| p.y).sum::<f64>() / n,
        )
    }

    /// The smallest box around the points.
    #[must_use]
    pub fn bounds(&self) -> BoundingBox {
        let fold = |pick: fn(&WorldPoint) -> f64, op: fn(f64, f64) -> f64| {
            self.coordinates.iter().map(pick).reduce(op).unwrap_or(f64::NAN)
        };
        BoundingBox {
            left: fold(|p| p.x, f64::min),
            bottom: fold(|p| p.y, f64::min),
            right: fold(|p| p.x, f64::max),
            top: fold(|p| p.y, f64::max),
            crs: self.crs.clone(),
        }
    }

    /// The points in another CRS.
    ///
    /// # Errors
    /// [`Error::MissingCrs`] without a CRS, [`Error::Crs`] if a point has no image there.
    pub fn to_crs(&self, crs: &Crs, transform: &dyn CrsTransform) -> Result<Self> {
        let from = self.crs.as_ref().ok_or_else(|| Error::MissingCrs {
            what: "the point prompt".to_string(),
            remedy: "give the CRS its coordinates are in, for example EPSG:4326",
        })?;
        let mut coordinates = self.coordinates.clone();
        transform.transform_points(from, crs, &mut coordinates)?;
        Ok(Self { coordinates, labels: self.labels.clone(), crs: Some(crs.clone()) })
    }

    /// These points followed by `other`'s.
    ///
    /// # Errors
    /// [`Error::Crs`] if both carry a CRS and the two differ; see [`Points::to_crs`].
    pub fn concat(&self, other: &Self) -> Result<Self> {
        let crs = self.shared_crs(other)?;
        Ok(Self {
            coordinates: [&self.coordinates[..], &other.coordinates[..]].concat(),
            labels: [&self.labels[..], &other.labels[..]].concat(),
            crs,
        })
    }

    /// These points without those whose coordinates `other` has too, or `None` if none is left.
    ///
    /// # Errors
    /// [`Error::Crs`] if both carry a CRS and the two differ.
    pub fn subtract(&self, other: &Self) -> Result<Option<Self>> {
        let crs = self.shared_crs(other)?;
        let (coordinates, labels): (Vec<_>, Vec<_>) =
            self.iter().filter(|(p, _)| !other.coordinates.contains(p)).unzip();
        Ok((!coordinates.is_empty()).then_some(Self { coordinates, labels, crs }))
    }

    /// Whether all of `other`'s coordinates are among these.
    ///
    /// # Errors
    /// [`Error::Crs`] if both carry a CRS and the two differ.
    pub fn contains(&self, other: &Self) -> Result<bool> {
        self.shared_crs(other)?;
        Ok(other.coordinates.iter().all(|p| self.coordinates.contains(p)))
    }

    fn shared_crs(&self, other: &Self) -> Result<Option<Crs>> {
        match (&self.crs, &other.crs) {
            (Some(a), Some(b)) if a != b => Err(Error::Crs {
                crs: b.to_string(),
                reason: format!("points are in different systems, the others in {a}; bring one over with to_crs"),
                source: None,
            }),
            (a, b) => Ok(a.clone().or_else(|| b.clone())),
        }
    }
}
