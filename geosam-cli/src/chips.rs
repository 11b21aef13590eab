//! `geosam chips`

use std::path::PathBuf;

use clap::Args;
use geosam::{
    ChipSource, LegacySettings, MaskFeatures, MaskPolygon, ModelType, Result, chip_extent_rectangles, write_vector,
};
use serde_json::json;

use crate::arguments::{GridArguments, RasterArguments};
use crate::console::{print_json, print_line};

/// Preview the chips that encoding would make: how many, where, and how much room their features take.
#[derive(Debug, Args)]
pub(crate) struct Chips {
    /// Path of the raster, or anything else GDAL opens
    raster: String,
    #[command(flatten)]
    reading: RasterArguments,
    #[command(flatten)]
    grid: GridArguments,
    /// Write the rectangles: .geojson, .gpkg, .fgb or .shp
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Bytes of a SAM chip's features; those of SAM 2 and 3 are four and five times as large.
const FEATURE_BYTES: usize = 256 * 64 * 64 * 4;

impl Chips {
    pub(crate) fn run(&self) -> Result<()> {
        let settings = LegacySettings::default();
        let raster = self.reading.open(&self.raster, self.grid.crs.clone(), &settings)?;
        let sampler = self.grid.sampler(&raster, ModelType::Sam.image_size(), &settings)?;
        let rectangles = chip_extent_rectangles(raster.grid(), &sampler)?;
        let bytes = sampler.len() * FEATURE_BYTES;
        if let Some(out) = &self.out {
            let features = rectangles.iter().enumerate().map(|(index, r)| MaskPolygon {
                polygon: r.to_polygon(),
                properties: [("chip_id".to_string(), json!(format!("chip_{index:06}")))].into_iter().collect(),
            });
            write_vector(out, &MaskFeatures { crs: raster.grid().crs.clone(), features: features.collect() })?;
        }
        if self.json {
            print_json(&json!({
                "chips": sampler.len(),
                "crs": raster.grid().crs,
                "shape": raster.grid().shape,
                "feature_bytes": { "sam": bytes, "sam2": 4 * bytes, "sam3": 5 * bytes + bytes / 16 },
                "rectangles": rectangles.iter().map(|r| [r.left, r.bottom, r.right, r.top]).collect::<Vec<_>>(),
                "out": self.out,
            }));
        } else {
            let shape = raster.grid().shape;
            let mib = bytes as f64 / f64::from(1 << 20);
            print_line(&format!(
                "{} chips over {} × {} pixels ({})",
                sampler.len(),
                shape.width,
                shape.height,
                raster.grid().crs
            ));
            print_line(&format!(
                "features: {mib:.0} MiB with SAM, {:.0} MiB with SAM 2, {:.0} MiB with SAM 3",
                4.0 * mib,
                5.0625 * mib
            ));
            if let Some(out) = &self.out {
                print_line(&format!("rectangles: {}", out.display()));
            }
        }
        Ok(())
    }
}
