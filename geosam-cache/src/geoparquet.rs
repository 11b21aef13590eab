//! The two things that make a Parquet file GeoParquet: WKB geometries and the `geo` entry of the file's metadata.
//!
//! <https://geoparquet.org/releases/v1.0.0/>

use geosam_core::{BoundingBox, Crs};
use serde_json::{Value, json};

/// Key of the file metadata under which GeoParquet describes the geometry column.
pub(crate) const METADATA_KEY: &str = "geo";

/// Name of the geometry column.
pub(crate) const GEOMETRY: &str = "geometry";

/// The rectangle as a WKB polygon: little endian, counter-clockwise from the lower right corner, byte for byte what
/// `shapely.box(...)` gives.
pub(crate) fn rectangle_wkb(bounds: &BoundingBox) -> Vec<u8> {
    const LITTLE_ENDIAN: u8 = 1;
    const POLYGON: u32 = 3;
    let BoundingBox { left, bottom, right, top, .. } = *bounds;
    let ring = [(right, bottom), (right, top), (left, top), (left, bottom), (right, bottom)];
    let mut wkb = vec![LITTLE_ENDIAN];
    for count in [POLYGON, 1, ring.len() as u32] {
        wkb.extend(count.to_le_bytes());
    }
    for (x, y) in ring {
        wkb.extend(x.to_le_bytes());
        wkb.extend(y.to_le_bytes());
    }
    wkb
}

/// The value of [`METADATA_KEY`]; `projjson` is `null` where the CRS has none, which readers take as unknown.
pub(crate) fn metadata(projjson: &str, bounds: &BoundingBox) -> String {
    let crs: Value = serde_json::from_str(projjson).unwrap_or(Value::Null);
    json!({
        "version": "1.0.0",
        "primary_column": GEOMETRY,
        "columns": {
            GEOMETRY: {
                "encoding": "WKB",
                "crs": crs,
                "geometry_types": ["Polygon"],
                "bbox": [bounds.left, bounds.bottom, bounds.right, bounds.top],
            }
        },
        "creator": { "library": "geosam", "version": env!("CARGO_PKG_VERSION") },
    })
    .to_string()
}

/// The CRS that a file's `geo` entry gives, as PROJJSON.
pub(crate) fn crs(metadata: &str) -> Option<Crs> {
    let geo: Value = serde_json::from_str(metadata).ok()?;
    let column = geo["primary_column"].as_str().unwrap_or(GEOMETRY);
    let crs = &geo["columns"][column]["crs"];
    crs.is_object().then(|| Crs::new(crs.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_has_shapelys_bytes() {
        // shapely.box(1, 2, 3, 4).wkb_hex
        const SHAPELY: &str = "01030000000100000005000000000000000000084000000000000000400000000000000840000000000000\
                               1040000000000000F03F0000000000001040000000000000F03F00000000000000400000000000000840\
                               0000000000000040";
        let bounds = BoundingBox::new(1.0, 2.0, 3.0, 4.0, None).unwrap();
        let hex: String = rectangle_wkb(&bounds).iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(hex, SHAPELY);
    }

    #[test]
    fn the_crs_is_read_back_and_an_unknown_one_stays_unknown() {
        let bounds = BoundingBox::new(0.0, 0.0, 1.0, 1.0, None).unwrap();
        assert_eq!(crs(&metadata(r#"{"id":1}"#, &bounds)).unwrap().as_str(), r#"{"id":1}"#);
        assert_eq!(crs(&metadata("null", &bounds)), None);
    }
}
