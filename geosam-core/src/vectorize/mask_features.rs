//! Polygons with attributes, ready for a file.

use geo::orient::{Direction, Orient};
use geo_types::Polygon;
use geojson::{Feature, FeatureCollection, Geometry};
use serde_json::{Map, Value, json};

use crate::coordinates::WorldPoint;
use crate::crs::{Crs, CrsTransform};
use crate::error::Result;

/// One part of a mask, with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskPolygon {
    /// Outline and holes in world coordinates, x before y; the exterior runs counter-clockwise, holes clockwise.
    pub polygon: Polygon<f64>,
    /// Attributes.
    pub properties: Map<String, Value>,
}

/// The polygons of one or more masks, with the CRS they are in.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskFeatures {
    /// CRS of every polygon.
    pub crs: Crs,
    /// The polygons.
    pub features: Vec<MaskPolygon>,
}

impl MaskFeatures {
    /// The same features in another CRS, vertex by vertex. Attributes stay as they are: an `area` remains the one that
    /// was measured in the mask's own CRS.
    ///
    /// # Errors
    /// [`crate::Error::Crs`] if a vertex has no image there.
    pub fn to_crs(&self, crs: &Crs, transform: &dyn CrsTransform) -> Result<Self> {
        let mut vertices: Vec<WorldPoint> = self
            .features
            .iter()
            .flat_map(|feature| rings(&feature.polygon).flat_map(geo_types::LineString::coords))
            .map(|p| WorldPoint::new(p.x, p.y))
            .collect();
        transform.transform_points(&self.crs, crs, &mut vertices)?;

        let mut vertices = vertices.into_iter();
        let mut moved = |ring: &geo_types::LineString<f64>| {
            vertices.by_ref().take(ring.0.len()).map(|p| geo_types::Coord { x: p.x, y: p.y }).collect()
        };
        let features = self
            .features
            .iter()
            .map(|feature| {
                let exterior = moved(feature.polygon.exterior());
                let holes = feature.polygon.interiors().iter().map(&mut moved).collect();
                // A projection may mirror the plane.
                let polygon = Polygon::new(exterior, holes).orient(Direction::Default);
                MaskPolygon { polygon, properties: feature.properties.clone() }
            })
            .collect();
        Ok(Self { crs: crs.clone(), features })
    }

    /// The features as a GeoJSON document in [`MaskFeatures::crs`].
    ///
    /// RFC 7946 knows WGS 84 only: bring the features there first with [`MaskFeatures::to_crs`] if the document goes to
    /// strangers. Coordinates in another `AUTHORITY:CODE` are named by the `crs` member of GeoJSON's first edition
    /// (2008), which GDAL, QGIS and geopandas read.
    #[must_use]
    pub fn to_geojson(&self) -> FeatureCollection {
        let features = self.features.iter().map(|feature| Feature {
            bbox: None,
            geometry: Some(Geometry::from(&feature.polygon)),
            id: None,
            properties: Some(feature.properties.clone()),
            foreign_members: None,
        });
        let mut collection = FeatureCollection::new(features);
        collection.foreign_members = crs_member(&self.crs);
        collection
    }
}

fn rings(polygon: &Polygon<f64>) -> impl Iterator<Item = &geo_types::LineString<f64>> {
    std::iter::once(polygon.exterior()).chain(polygon.interiors())
}

/// `{"crs": {"type": "name", …}}` for a CRS that is not WGS 84 and has a code.
fn crs_member(crs: &Crs) -> Option<Map<String, Value>> {
    let (authority, code) = crs.as_str().split_once(':')?;
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_wgs84 = *crs == Crs::wgs84() || *crs == Crs::new("OGC:CRS84");
    if is_wgs84 || !is_name(authority) || !is_name(code) {
        return None;
    }
    let name = format!("urn:ogc:def:crs:{}::{code}", authority.to_uppercase());
    Some(Map::from_iter([("crs".to_string(), json!({ "type": "name", "properties": { "name": name } }))]))
}
