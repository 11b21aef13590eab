//! GeoJSON as RFC 7946 asks for it.

use gdal::vector::{Geometry, ToGdal};
use geo_types::{Coord, LineString, MultiPolygon, Polygon};
use geosam_core::{Crs, MaskFeatures, MaskPolygon, Result};
use serde_json::{Value, json};

use crate::osr::Osr;

/// Coordinates are rounded to 10⁻⁹ degrees, a tenth of a millimetre: the pixels of a drone image are a centimetre.
const DECIMALS: i32 = 9;

/// What comes before, between and after the features of a collection.
pub(crate) const HEAD: &str = "{\"type\": \"FeatureCollection\", \"features\": [\n";
pub(crate) const SEPARATOR: &str = ",\n";
pub(crate) const TAIL: &str = "\n]}\n";

/// A feature collection, one feature a line.
pub(crate) fn to_rfc7946(features: &MaskFeatures) -> Result<Vec<u8>> {
    Ok([HEAD, &to_lines(features)?.join(SEPARATOR), TAIL].concat().into_bytes())
}

/// Features in WGS 84 longitude and latitude, each as one line: outer rings counter-clockwise, holes clockwise, polygons
/// that cross the antimeridian cut there.
pub(crate) fn to_lines(features: &MaskFeatures) -> Result<Vec<String>> {
    let to_line = |feature: MaskPolygon| {
        let geometry = match &cut_at_antimeridian(feature.polygon).0[..] {
            [polygon] => json!({"type": "Polygon", "coordinates": rings(polygon)}),
            several => {
                json!({"type": "MultiPolygon", "coordinates": several.iter().map(rings).collect::<Vec<_>>()})
            }
        };
        json!({"type": "Feature", "geometry": geometry, "properties": feature.properties}).to_string()
    };
    Ok(features.to_crs(&Crs::wgs84(), &Osr)?.features.into_iter().map(to_line).collect())
}

/// The polygon in parts on either side of ±180°; a step of more than half the globe is taken to cross it.
fn cut_at_antimeridian(polygon: Polygon<f64>) -> MultiPolygon<f64> {
    if polygon.exterior().lines().all(|line| line.dx().abs() <= 180.0) {
        return polygon.into();
    }
    let eastward = |ring: &LineString<f64>| -> LineString<f64> {
        ring.coords().map(|c| Coord { x: if c.x < 0.0 { c.x + 360.0 } else { c.x }, ..*c }).collect()
    };
    let unwrapped = Polygon::new(eastward(polygon.exterior()), polygon.interiors().iter().map(eastward).collect());
    let mut parts = clip(&unwrapped, 0.0, 180.0);
    parts.extend(clip(&unwrapped, 180.0, 360.0).into_iter().map(|part| {
        let westward = |ring: &LineString<f64>| ring.coords().map(|c| Coord { x: c.x - 360.0, ..*c }).collect();
        Polygon::new(westward(part.exterior()), part.interiors().iter().map(westward).collect())
    }));
    if parts.is_empty() { polygon.into() } else { MultiPolygon(parts) }
}

/// The parts of a polygon between two meridians; none if GEOS is missing or refuses the polygon.
fn clip(polygon: &Polygon<f64>, west: f64, east: f64) -> Vec<Polygon<f64>> {
    let parts = polygon.to_gdal().and_then(|polygon| Ok((polygon, Geometry::bbox(west, -90.0, east, 90.0)?)));
    let clipped = parts.ok().and_then(|(polygon, strip)| polygon.intersection(&strip));
    match clipped.map(geo_types::Geometry::try_from) {
        Some(Ok(geo_types::Geometry::Polygon(part))) if !part.exterior().0.is_empty() => vec![part],
        Some(Ok(geo_types::Geometry::MultiPolygon(parts))) => parts.0,
        Some(Ok(geo_types::Geometry::GeometryCollection(parts))) => {
            parts.into_iter().filter_map(|part| Polygon::try_from(part).ok()).collect()
        }
        _ => Vec::new(),
    }
}

/// Rings as GeoJSON has them, the outer one first.
fn rings(polygon: &Polygon<f64>) -> Value {
    let outer = std::iter::once(ring(polygon.exterior(), true));
    outer.chain(polygon.interiors().iter().map(|hole| ring(hole, false))).collect()
}

fn ring(ring: &LineString<f64>, counter_clockwise: bool) -> Value {
    let scale = 10_f64.powi(DECIMALS);
    let position = |c: &Coord<f64>| json!([(c.x * scale).round() / scale, (c.y * scale).round() / scale]);
    if (signed_area(ring) > 0.0) == counter_clockwise {
        ring.coords().map(position).collect()
    } else {
        ring.coords().rev().map(position).collect()
    }
}

/// Positive for a counter-clockwise ring; taken from its first vertex, as the area is tiny beside the coordinates.
fn signed_area(ring: &LineString<f64>) -> f64 {
    let Some(origin) = ring.0.first().copied() else { return 0.0 };
    ring.lines()
        .map(|line| {
            let (a, b) = (line.start - origin, line.end - origin);
            (a.x * b.y - b.x * a.y) / 2.0
        })
        .sum()
}
