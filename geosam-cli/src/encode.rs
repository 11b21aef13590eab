//! `geosam encode`

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use geosam::{
    BuildReport, Error, ExistingFolder, FeatureCacheBuilder, FeatureCacheConfig, Osr, Result, Sam, Segmenter,
};
use serde_json::json;

use crate::arguments::{ByteSize, GridArguments, ModelArguments, RangeArguments, RasterArguments, read_settings};
use crate::console::{Terminal, print_json, print_line, print_note};

/// Encode a raster into a feature folder, once; prompts are then answered from the folder in milliseconds.
///
/// Ctrl-C stops after the chip at hand and keeps what is finished; the same command goes on from there.
#[derive(Debug, Args)]
pub(crate) struct Encode {
    /// Path of the raster, or anything else GDAL opens [default: INPUT of the settings]
    raster: Option<String>,
    #[command(flatten)]
    model: ModelArguments,
    /// The feature folder to write [default: OUTPUT_DIR of the settings]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    reading: RasterArguments,
    #[command(flatten)]
    grid: GridArguments,
    #[command(flatten)]
    range: RangeArguments,
    /// Memory for chips on their way from the raster to the disk, beside what the model takes: 512MB, 2GB, … [default: 256MiB;
    /// on a GPU what its batches need, up to 3GiB]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<ByteSize>,
    /// Replace the features of another raster, model or grid in the folder, instead of refusing to
    #[arg(long)]
    overwrite: bool,
    /// Go on with the folder although the raster has been moved or its file touched: its pixels are the same
    #[arg(long, conflicts_with = "overwrite")]
    same_raster: bool,
    /// Options from a settings file of GeoSAM-Image-Encoder; options given here come first
    #[arg(long, value_name = "FILE.json")]
    settings: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Encode {
    pub(crate) fn run(&self) -> Result<()> {
        let settings = read_settings(self.settings.as_deref())?;
        let raster_path = self
            .raster
            .as_deref()
            .or(settings.input.as_deref())
            .ok_or_else(|| Error::invalid_argument("RASTER", "a path, or INPUT in the settings", "neither"))?;
        let out = self.out.as_deref().or(settings.output.as_deref()).ok_or_else(|| {
            Error::invalid_argument("--out", "the folder to write, or OUTPUT_DIR in the settings", "neither")
        })?;
        // What is cheap to check comes before the model is loaded.
        let value_range = self.range.choice(self.model.preprocess(), &settings)?;
        let tiling = self.grid.tiling(&settings)?;
        let raster = self.reading.open(raster_path, self.grid.crs.clone(), &settings)?;
        let extent = self.grid.window(&raster, &settings)?;
        let segmenter = self.model.load(&settings)?;
        let config = FeatureCacheConfig {
            chip: Some(self.grid.chip(segmenter.spec().image_size)),
            tiling,
            extent: Some(extent),
            value_range,
            max_memory: self.max_memory.map(|size| size.0),
            existing: match (self.overwrite, self.same_raster) {
                (true, _) => ExistingFolder::Overwrite,
                (_, true) => ExistingFolder::ResumeMoved,
                _ => ExistingFolder::Resume,
            },
            ..FeatureCacheConfig::default()
        };
        let builder = FeatureCacheBuilder::new(raster, segmenter.clone(), Arc::new(Osr), out, config);
        let report = builder.build(&Terminal::start("encoding")?).inspect_err(|error| {
            if let Error::Cancelled { done: 1.., .. } = error {
                print_note("what is encoded is kept; the same command goes on from there");
            }
        })?;
        if self.json {
            print_json(&json!({
                "folder": out,
                "manifest": report.manifest_path,
                "model": segmenter.spec().model_id,
                "device": segmenter.device_name(),
                "chips": report.chips,
                "written": report.written,
                "skipped": report.skipped,
                "resumed": report.resumed,
                "bytes": report.bytes,
                "seconds": seconds(&report),
            }));
        } else {
            print_summary(&report, &segmenter);
        }
        Ok(())
    }
}

fn seconds(report: &BuildReport) -> serde_json::Value {
    let t = report.timings;
    json!({
        "wall": t.wall.as_secs_f64(),
        "statistics": t.statistics.as_secs_f64(),
        "read": t.read.as_secs_f64(),
        "prepare": t.prepare.as_secs_f64(),
        "encode": t.encode.as_secs_f64(),
        "write": t.write.as_secs_f64(),
        "encoder_idle": t.encoder_idle().as_secs_f64(),
    })
}

fn print_summary(report: &BuildReport, segmenter: &Sam) {
    let mut parts = vec![format!("{} of {} chips encoded", report.written, report.chips)];
    if report.resumed > 0 {
        parts.push(format!("{} were there already", report.resumed));
    }
    if report.skipped > 0 {
        parts.push(format!("{} hold no data", report.skipped));
    }
    parts.push(format!("on {}", segmenter.device_name()));
    print_line(&parts.join(", "));
    let t = report.timings;
    print_line(&format!(
        "{:.1} s: encoding {:.1} s, encoder idle {:.1} s; beside it reading {:.1} s, preparing {:.1} s, writing {:.1} s",
        t.wall.as_secs_f64(),
        t.encode.as_secs_f64(),
        t.encoder_idle().as_secs_f64(),
        t.read.as_secs_f64(),
        t.prepare.as_secs_f64(),
        t.write.as_secs_f64(),
    ));
    let mib = report.bytes as f64 / f64::from(1 << 20);
    print_line(&format!("{mib:.1} MiB of chips written; {}", report.manifest_path.display()));
}
