//! Write what the network receives for the pixels in a file.
//!
//! ```text
//! network_input sam|sam2|sam3 PIXELS DTYPE BANDS HEIGHT WIDTH standard|geosam-0.1 OUT
//! ```
//!
//! `PIXELS` holds `[bands, height, width]` row-major, little-endian, of NumPy's type `DTYPE`. `OUT` receives
//! `[3, side, side]` f32, little-endian, of the family's side; the parity checks compare it with what Python's networks
//! receive. Bytes are taken as they are and other types are stretched by their own minimum and maximum, in both modes.

use std::error::Error;

use geosam_core::{Affine, Crs, GeoGrid, ModelType, Pixels, Preprocess, RasterSample, Shape, ValueRange};
use geosam_models::network_input;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [family, pixels, dtype, bands, height, width, mode, out] = &arguments[..] else {
        return Err("usage: network_input sam|sam2|sam3 PIXELS DTYPE BANDS HEIGHT WIDTH standard|geosam-0.1 OUT".into());
    };
    let shape = Shape::new(height.parse()?, width.parse()?);
    let sample = RasterSample {
        pixels: decode(&std::fs::read(pixels)?, dtype)?,
        bands: bands.parse()?,
        grid: GeoGrid::new(Affine::from_origin(0.0, 0.0, 1.0, 1.0), shape, Crs::new("EPSG:3857"))?,
        valid: None,
        source_path: pixels.clone(),
    };
    let mode = match mode.as_str() {
        "standard" => Preprocess::Standard,
        "geosam-0.1" => Preprocess::Geosam01,
        other => return Err(format!("there is no preprocessing {other}").into()),
    };
    let model_type = match family.as_str() {
        "sam" => ModelType::Sam,
        "sam2" => ModelType::Sam2,
        "sam3" => ModelType::Sam3,
        other => return Err(format!("there is no family {other}").into()),
    };
    let input = network_input(&sample.to_model_image(&ValueRange::PerChip)?, model_type, mode);
    let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(out, bytes)?;
    Ok(())
}

fn decode(bytes: &[u8], dtype: &str) -> Result<Pixels, Box<dyn Error>> {
    Ok(match dtype {
        "uint8" => Pixels::U8(bytes.to_vec()),
        "uint16" => Pixels::U16(values(bytes, u16::from_le_bytes)),
        "int16" => Pixels::I16(values(bytes, i16::from_le_bytes)),
        "float32" => Pixels::F32(values(bytes, f32::from_le_bytes)),
        "float64" => Pixels::F64(values(bytes, f64::from_le_bytes)),
        other => return Err(format!("cannot read {other}").into()),
    })
}

fn values<T, const N: usize>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| from(*chunk)).collect()
}
