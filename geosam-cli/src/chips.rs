//! `geosam chips`

use std::path::PathBuf;

use clap::Args;
use geosam::{
    ChipSource, GridGeoSampler, LegacySettings, MaskFeatures, MaskPolygon, ModelDefinition, Result,
    chip_extent_rectangles, write_vector,
};
use serde_json::json;

use crate::arguments::{GridArguments, RasterArguments};
use crate::console::{print_json, print_line};
use crate::output_files;

/// Preview the chips that encoding would make: how many, where, and how much room their features take.
#[derive(Debug, Args)]
pub(crate) struct Chips {
    /// Path of the raster, or anything else GDAL opens
    raster: String,
    /// The model that will encode them, as `geosam models` names it: its input is the size of a chip
    #[arg(long, value_name = "ID", default_value = "geosam_nano")]
    model: String,
    #[command(flatten)]
    reading: RasterArguments,
    #[command(flatten)]
    grid: GridArguments,
    /// Write the rectangles, in place of what is there: .geojson, .json, .gpkg, .fgb or .shp
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Chips {
    pub(crate) fn run(&self) -> Result<()> {
        let settings = LegacySettings::default();
        output_files::check(self.out.as_deref(), [PathBuf::from(&self.raster)])?;
        let model = ModelDefinition::by_id(&self.model)?;
        let (chip, tiling) = (self.grid.chip(model.image_size), self.grid.tiling(&settings)?);
        let raster = self.reading.open(&self.raster, self.grid.crs.clone(), &settings)?;
        let sampler = GridGeoSampler::with_tiling(self.grid.window(&raster, &settings)?, chip, tiling)?;
        let rectangles = chip_extent_rectangles(raster.grid(), &sampler)?;
        let bytes = sampler.len() * model.feature_bytes();
        let shape = raster.grid().shape;
        // A raster that is smaller than a chip is taken whole.
        let chip = sampler.window(0).shape;
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
                "chip": [chip.height, chip.width],
                "crs": raster.grid().crs,
                "shape": [shape.height, shape.width],
                "model": model.model_id,
                "feature_bytes": bytes,
                "rectangles": rectangles.iter().map(|r| [r.left, r.bottom, r.right, r.top]).collect::<Vec<_>>(),
                "out": self.out,
            }));
        } else {
            print_line(&format!(
                "{} of {} × {} pixels over {} × {} ({})",
                if sampler.len() == 1 { "1 chip".to_string() } else { format!("{} chips", sampler.len()) },
                chip.width,
                chip.height,
                shape.width,
                shape.height,
                raster.grid().crs
            ));
            print_line(&format!("features: {:.0} MiB with {}", bytes as f64 / f64::from(1 << 20), model.label));
            if let Some(out) = &self.out {
                print_line(&format!("rectangles: {}", out.display()));
            }
        }
        Ok(())
    }
}
