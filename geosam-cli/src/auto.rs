//! `geosam auto`

mod outputs;
mod parameters;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use geosam::{
    AutomaticMasks, AutomaticMasksRaster, AutomaticMasksReport, FeatureFolder, LegacySettings, Result, Sam, Segmenter,
};
use serde_json::json;

use crate::arguments::{GridArguments, ModelArguments, RangeArguments, RasterArguments, refuse_with_folder};
use crate::console::{Terminal, print_json, print_line, print_note};
use crate::info::is_feature_folder;
use crate::output_files;
use crate::query::inputs;
use outputs::{Outputs, Polygons};
use parameters::Parameters;

/// Find everything the model sees on a feature folder or raster, without prompts: a grid of points is asked, and of the masks
/// that are good and stable one is kept for each object, also where a chip border cuts it.
///
/// From a raster each chip is encoded when its turn comes, and nothing is found where it has no data; a feature folder does not
/// know where that is. Files appear when all is found; Ctrl-C leaves none.
#[derive(Debug, Args)]
pub(crate) struct Auto {
    /// A feature folder, or anything GDAL opens
    #[arg(value_name = "FOLDER|RASTER")]
    source: String,
    #[command(flatten)]
    model: ModelArguments,
    /// Write the masks, in place of what is there: polygons as .geojson, .json, .gpkg or .fgb, or a raster of labels (COG) as
    /// .tif; may be repeated
    #[arg(long = "out", value_name = "FILE")]
    outputs: Vec<PathBuf>,
    #[command(flatten)]
    parameters: Parameters,
    #[command(flatten)]
    polygons: Polygons,
    #[command(flatten, next_help_heading = "Chips of a raster")]
    grid: GridArguments,
    #[command(flatten, next_help_heading = "Reading a raster")]
    reading: RasterArguments,
    #[command(flatten, next_help_heading = "Reading a raster")]
    range: RangeArguments,
    /// Print one JSON object
    #[arg(long, help_heading = "Options")]
    json: bool,
}

impl Auto {
    pub(crate) fn run(&self) -> Result<()> {
        let start = Instant::now();
        // What is cheap to check comes before the model is loaded.
        self.polygons.check(&self.outputs)?;
        output_files::check(self.outputs.iter().map(PathBuf::as_path), inputs(&self.source, &self.model))?;
        let (masks, segmenter) = self.open()?;
        // From here on Ctrl-C ends the work, which takes away what it has begun, and not the program.
        let progress = Terminal::start("searching")?;
        let mut outputs = Outputs::create(&self.outputs, masks.grid(), self.polygons)?;
        if self.outputs.is_empty() {
            print_note("masks are counted and not written; give --out FILE to keep them");
        }
        let report = masks.for_each(&progress, |mask| outputs.write(&mask))?;
        drop(progress);
        outputs.finish()?;
        self.print(&report, &segmenter, start.elapsed().as_secs_f64());
        Ok(())
    }

    fn open(&self) -> Result<(AutomaticMasks, Arc<Sam>)> {
        let (settings, config) = (LegacySettings::default(), self.parameters.config());
        let folder = Path::new(&self.source);
        if is_feature_folder(folder) {
            refuse_with_folder(self.grid.given().or(self.reading.given()).or(self.range.given()))?;
            let store = Arc::new(FeatureFolder::open(folder)?);
            let segmenter = self.model.load(&settings)?;
            return Ok((AutomaticMasks::from_features(store, segmenter.clone(), config)?, segmenter));
        }
        let tiling = self.grid.tiling(&settings)?;
        let value_range = self.range.choice(self.model.preprocess(), &settings)?;
        let raster = self.reading.open(&self.source, self.grid.crs.clone(), &settings)?;
        let extent = Some(self.grid.window(&raster, &settings)?);
        let segmenter = self.model.load(&settings)?;
        let chip = Some(self.grid.chip(segmenter.spec().image_size));
        let chips = AutomaticMasksRaster { chip, tiling, extent, value_range };
        Ok((AutomaticMasks::from_raster(raster, segmenter.clone(), chips, config)?, segmenter))
    }

    fn print(&self, report: &AutomaticMasksReport, segmenter: &Sam, seconds: f64) {
        if self.json {
            print_json(&json!({
                "source": self.source,
                "model": segmenter.spec().model_id,
                "device": segmenter.device_name(),
                "masks": report.masks,
                "chips": report.chips,
                "skipped": report.skipped,
                "points": report.points,
                "most_waiting": report.most_waiting,
                "seconds": seconds,
                "outputs": self.outputs,
            }));
            return;
        }
        let AutomaticMasksReport { masks, points, chips, .. } = report;
        let found = if *masks == 1 { "1 mask".to_string() } else { format!("{masks} masks") };
        let asked =
            format!("{points} points on {}", if *chips == 1 { "1 chip".to_string() } else { format!("{chips} chips") });
        print_line(&format!("{found} from {asked} in {seconds:.1} s, on {}", segmenter.device_name()));
        if *masks == 0 {
            print_note("nothing passed the filters; lower --pred-iou-thresh and --stability-score-thresh to see more");
        }
        for path in &self.outputs {
            print_line(&format!("wrote {}", path.display()));
        }
    }
}
