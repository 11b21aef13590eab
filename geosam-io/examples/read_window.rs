//! Write the pixels of a raster's window to a file, and tell on standard output what they are.
//!
//! ```text
//! read_window RASTER COLUMN ROW WIDTH HEIGHT OUT [--bands=1,2,3] [--crs=EPSG:…] [--res=METRES] [--resampling=NAME]
//! ```
//!
//! `OUT` receives the values `[bands, height, width]` row-major in the raster's own type, little-endian; the parity checks
//! compare it with what Python reads.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write, stdout};

use geosam_core::{ChipSource, Crs, Shape, Window, with_pixels};
use geosam_io::{RasterDataset, RasterOptions};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, positional): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let [raster, column, row, width, height, out] = &positional[..] else {
        return Err("usage: read_window RASTER COLUMN ROW WIDTH HEIGHT OUT [OPTIONS]".into());
    };
    let mut options = RasterOptions::default();
    for flag in &flags {
        match flag.split_once('=').ok_or("an option is --NAME=VALUE")? {
            ("--bands", bands) => options.bands = Some(bands.split(',').map(str::parse).collect::<Result<_, _>>()?),
            ("--crs", crs) => options.crs = Some(Crs::new(crs)),
            ("--res", metres) => options.resolution = Some(metres.parse()?),
            ("--resampling", name) => options.resampling = name.parse()?,
            (name, _) => return Err(format!("there is no option {name}").into()),
        }
    }
    let raster = RasterDataset::open(raster, &options)?;
    let shape = Shape::new(height.parse()?, width.parse()?);
    let sample = raster.read(Window::new(column.parse()?, row.parse()?, shape))?;

    let mut file = BufWriter::new(File::create(out)?);
    with_pixels!(&sample.pixels, values => {
        for value in values {
            file.write_all(&value.to_le_bytes())?;
        }
    });
    file.flush()?;
    let grid = raster.grid();
    let t = grid.transform;
    let told = json!({
        "dtype": sample.pixels.type_name(),
        "shape": [sample.bands, shape.height, shape.width],
        "grid_shape": [grid.shape.height, grid.shape.width],
        "transform": [t.a, t.b, t.c, t.d, t.e, t.f],
        "crs": grid.crs,
    });
    writeln!(stdout(), "{told}")?;
    Ok(())
}
