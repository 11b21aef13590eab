//! From masks to polygons.

use geo::Area;
use geo_types::{Coord, LineString, Polygon};
use serde_json::{Map, Value, json};

use super::mask_features::{MaskFeatures, MaskPolygon};
use super::simplify::simplify;
use super::trace::{Corner, PixelPolygon, trace};
use crate::affine::Affine;
use crate::coordinates::PixelPoint;
use crate::error::{Error, Result};
use crate::grid::GeoGrid;
use crate::segmenter::Masks;

/// Which masks of several to vectorize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskChoice {
    /// The mask with this index, from 0.
    Index(usize),
    /// Every mask, in order.
    All,
}

impl Default for MaskChoice {
    /// The first mask.
    fn default() -> Self {
        Self::Index(0)
    }
}

/// How masks become polygons. The default keeps everything: every part of the first mask, pixel edge by pixel edge.
///
/// Steps are taken in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VectorizeOptions {
    /// Which masks.
    pub mask: MaskChoice,
    /// Drop the holes of every part.
    pub fill_holes: bool,
    /// Drop parts smaller than this, in squared units of the CRS; 0 keeps all.
    pub min_area: f64,
    /// Keep only the largest part of each mask.
    pub largest_only: bool,
    /// How far, in units of the CRS, an outline may move to get along with fewer vertices; 0 keeps the pixel edges. The
    /// polygons stay valid whatever the tolerance.
    pub simplify_tolerance: f64,
}

impl VectorizeOptions {
    fn validate(&self) -> Result<()> {
        for (parameter, value) in
            [("minimum area", self.min_area), ("simplification tolerance", self.simplify_tolerance)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::invalid_argument(parameter, "a number that is not negative", value));
            }
        }
        Ok(())
    }
}

/// Masks on a grid, to be turned into polygons: Python geosam's `MaskVectorizer`.
///
/// Pixels that share an edge belong together, pixels that share a corner only do not (4-connectedness). Outlines run
/// along pixel edges with a vertex only where they turn, which are the polygons that GDAL's and rasterio's polygonizers
/// make; they are always valid, also where a part meets itself in a corner.
///
/// ```
/// use geosam_core::{Affine, Crs, GeoGrid, MaskVectorizer, Masks, Shape, VectorizeOptions};
///
/// let grid = GeoGrid::new(Affine::from_origin(500_000.0, 4_000_000.0, 10.0, 10.0), Shape::new(2, 3), Crs::new("EPSG:32618"))?;
/// let masks = Masks::new(grid.shape, vec![true, true, false, false, true, false])?;
/// let features = MaskVectorizer::new(&masks, &grid)?.features(&VectorizeOptions::default())?;
/// assert_eq!(features.features.len(), 1);
/// assert_eq!(features.features[0].properties["area"], 300.0);
/// assert!(features.to_geojson().to_string().contains("EPSG::32618"));
/// # Ok::<(), geosam_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MaskVectorizer<'a> {
    masks: &'a Masks,
    grid: &'a GeoGrid,
    scores: Option<&'a [f32]>,
    properties: Map<String, Value>,
}

impl<'a> MaskVectorizer<'a> {
    /// A vectorizer of masks that lie on `grid`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the masks have another shape than the grid.
    pub fn new(masks: &'a Masks, grid: &'a GeoGrid) -> Result<Self> {
        if masks.shape() != grid.shape {
            return Err(Error::invalid_argument("masks", format!("masks of {} pixels", grid.shape), masks.shape()));
        }
        if i32::try_from(grid.shape.height.max(grid.shape.width)).is_err() {
            return Err(Error::invalid_argument("masks", "sides of at most 2³¹ − 1 pixels", grid.shape));
        }
        Ok(Self { masks, grid, scores: None, properties: Map::new() })
    }

    /// Attach each mask's score to its features, as `score`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] unless there is one score for each mask.
    pub fn with_scores(mut self, scores: &'a [f32]) -> Result<Self> {
        if scores.len() != self.masks.len() {
            return Err(Error::invalid_argument(
                "scores",
                format!("one for each of {} masks", self.masks.len()),
                scores.len(),
            ));
        }
        self.scores = Some(scores);
        Ok(self)
    }

    /// Attach these attributes to every feature, such as the chip or the model. They win over the vectorizer's own of the
    /// same name.
    #[must_use]
    pub fn with_properties(mut self, properties: Map<String, Value>) -> Self {
        self.properties.extend(properties);
        self
    }

    /// The polygons of the chosen masks in the grid's CRS, mask by mask, each in the row-major order of first pixels.
    /// Exteriors run counter-clockwise on the map, holes clockwise (RFC 7946).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a mask that is not there, or a negative area or tolerance.
    pub fn polygons(&self, options: &VectorizeOptions) -> Result<Vec<Polygon<f64>>> {
        Ok(self.polygons_by_mask(options)?.into_iter().flat_map(|(_, polygons)| polygons).collect())
    }

    /// The polygons with their attributes: `id` (from 1), `mask` (index of the mask), `area` (of the polygon as it is,
    /// in squared units of the CRS), `score` if there are [scores](Self::with_scores), and what
    /// [`MaskVectorizer::with_properties`] gave.
    ///
    /// # Errors
    /// As [`MaskVectorizer::polygons`].
    pub fn features(&self, options: &VectorizeOptions) -> Result<MaskFeatures> {
        let mut features = Vec::new();
        for (mask, polygons) in self.polygons_by_mask(options)? {
            for polygon in polygons {
                let mut properties = Map::new();
                properties.insert("id".to_string(), json!(features.len() + 1));
                properties.insert("mask".to_string(), json!(mask));
                properties.insert("area".to_string(), json!(polygon.unsigned_area()));
                if let Some(scores) = self.scores {
                    properties.insert("score".to_string(), json!(scores[mask]));
                }
                properties.extend(self.properties.clone());
                features.push(MaskPolygon { polygon, properties });
            }
        }
        Ok(MaskFeatures { crs: self.grid.crs.clone(), features })
    }

    fn polygons_by_mask(&self, options: &VectorizeOptions) -> Result<Vec<(usize, Vec<Polygon<f64>>)>> {
        options.validate()?;
        let chosen = match options.mask {
            MaskChoice::Index(index) if index < self.masks.len() => index..index + 1,
            MaskChoice::Index(index) => {
                let expected = format!("less than {}, the number of masks", self.masks.len());
                return Err(Error::invalid_argument("mask index", expected, index));
            }
            MaskChoice::All => 0..self.masks.len(),
        };
        Ok(chosen.map(|index| (index, self.vectorize(self.masks.mask(index), options))).collect())
    }

    fn vectorize(&self, mask: &[bool], options: &VectorizeOptions) -> Vec<Polygon<f64>> {
        let transform = self.grid.transform;
        let mut parts = trace(mask, self.grid.shape);
        if options.fill_holes {
            parts.iter_mut().for_each(|part| part.holes.clear());
        }
        if options.min_area > 0.0 {
            parts.retain(|part| part.area() * transform.pixel_area() >= options.min_area);
        }
        if options.largest_only {
            // The first of several that are equally large.
            let largest = parts.into_iter().reduce(|a, b| if b.area() > a.area() { b } else { a });
            parts = largest.into_iter().collect();
        }
        if options.simplify_tolerance > 0.0 {
            parts.iter_mut().for_each(|part| simplify(part, transform, options.simplify_tolerance));
        }
        parts.iter().map(|part| to_world(part, transform)).collect()
    }
}

/// Pixel corners to world coordinates, with the exterior counter-clockwise there.
fn to_world(part: &PixelPolygon, transform: Affine) -> Polygon<f64> {
    // Rows run down: a transform that does not mirror the image (positive determinant) turns its orientation round.
    let mirrored = transform.a * transform.e - transform.b * transform.d > 0.0;
    let ring = |corners: &Vec<Corner>| {
        let vertex = |p: &Corner| {
            let p = transform.to_world(PixelPoint::new(p.column.into(), p.row.into()));
            Coord { x: p.x, y: p.y }
        };
        let mut ring: Vec<_> = corners.iter().map(vertex).collect();
        if mirrored {
            ring.reverse();
        }
        ring.extend(ring.first().copied());
        LineString::new(ring)
    };
    Polygon::new(ring(&part.exterior), part.holes.iter().map(ring).collect())
}
