//! The golden data of `goldens/make_raster_goldens.py`.

use std::path::PathBuf;

use geosam_core::{Affine, Crs, Pixels, Shape};
use geosam_io::{RasterDataset, RasterOptions, Resampling};
use serde_json::Value;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// Path of a golden raster.
pub(crate) fn raster(name: &str) -> String {
    folder().join("raster").join(name).to_str().unwrap().to_string()
}

/// The cases of a section of `raster.json`.
pub(crate) fn cases(section: &str) -> Vec<Value> {
    let json: Value = serde_json::from_slice(&std::fs::read(folder().join("raster.json")).unwrap()).unwrap();
    let cases = json[section].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

pub(crate) fn affine(value: &Value) -> Affine {
    Affine::new(numbers(value).try_into().unwrap())
}

pub(crate) fn shape(value: &Value) -> Option<Shape> {
    let sides = value.as_array()?;
    Some(Shape::new(sides[0].as_u64().unwrap() as usize, sides[1].as_u64().unwrap() as usize))
}

/// An array of `raster.bin`.
pub(crate) fn array(entry: &Value) -> Pixels {
    let bytes = std::fs::read(folder().join("raster.bin")).unwrap();
    let count: u64 = entry["shape"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).product();
    let bytes = &bytes[entry["offset"].as_u64().unwrap() as usize..];
    macro_rules! values {
        ($t:ty) => {
            bytes
                .chunks_exact(size_of::<$t>())
                .take(count as usize)
                .map(|chunk| <$t>::from_le_bytes(chunk.try_into().unwrap()))
                .collect()
        };
    }
    match entry["dtype"].as_str().unwrap() {
        "uint8" => Pixels::U8(values!(u8)),
        "uint16" => Pixels::U16(values!(u16)),
        "float32" => Pixels::F32(values!(f32)),
        other => panic!("no golden array of {other}"),
    }
}

/// The case's raster, opened as Python geosam opened it.
pub(crate) fn open(case: &Value) -> RasterDataset {
    let options = RasterOptions {
        bands: case["bands"].as_array().map(|b| b.iter().map(|v| v.as_u64().unwrap() as usize).collect()),
        crs: case["crs"].as_str().map(Crs::new),
        resolution: case["resolution"].as_f64(),
        resampling: case["resampling"].as_str().unwrap().parse::<Resampling>().unwrap(),
        ..RasterOptions::default()
    };
    RasterDataset::open(&raster(case["raster"].as_str().unwrap()), &options).unwrap()
}
