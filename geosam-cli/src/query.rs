//! `geosam query`

pub(crate) mod outputs;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use geosam::{
    BoundingBox, Crs, Error, LegacySettings, OnlineQueryCache, OnlineQueryOptions, Osr, Points, PredictOptions,
    PromptFileOptions, PromptSet, QueryResult, Result, open_folder, query_raster, read_prompts,
};
use serde_json::json;

use crate::arguments::{
    BoxArgument, ModelArguments, PointArgument, RangeArguments, RasterArguments, refuse_with_folder,
};
use crate::console::{print_json, print_line};
use crate::info::is_feature_folder;
use outputs::{Answer, ImageSource, Outputs};

/// Answer prompts from a feature folder, or straight from a raster: the chip around the prompt is then encoded first.
///
/// All --point options and --box prompt for one object; a file has one object for each feature.
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// A feature folder, or anything GDAL opens
    #[arg(value_name = "FOLDER|RASTER")]
    source: String,
    #[command(flatten)]
    model: ModelArguments,
    /// A point on the object, or with label 0 off it; may be repeated
    #[arg(long = "point", value_name = "X,Y[,LABEL]", allow_hyphen_values = true)]
    points: Vec<PointArgument>,
    /// A box around the object
    #[arg(long = "box", value_name = "L,B,R,T", allow_hyphen_values = true)]
    bbox: Option<BoxArgument>,
    /// Prompts from a vector file: points are clicks, polygons are boxes
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// CRS of --point and --box, and of --prompts if the file does not say
    #[arg(long)]
    crs: Option<Crs>,
    /// Three candidate masks for each prompt instead of one
    #[arg(long)]
    multimask: bool,
    /// How far an outline may move to become simpler, in units of the chip's CRS
    #[arg(long, value_name = "TOL", default_value_t = 0.0)]
    simplify: f64,
    /// Smallest part to keep, in squared units of the chip's CRS
    #[arg(long, value_name = "A", default_value_t = 0.0)]
    min_area: f64,
    /// Write the result: .geojson, .gpkg, .fgb, .shp, .tif or .png; may be repeated
    #[arg(long = "out", value_name = "FILE")]
    outputs: Vec<PathBuf>,
    /// Write the decoder's logits, the masks and the scores
    #[arg(long, value_name = "FILE.safetensors")]
    logits: Option<PathBuf>,
    #[command(flatten)]
    reading: RasterArguments,
    #[command(flatten)]
    range: RangeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Query {
    pub(crate) fn run(&self) -> Result<()> {
        let outputs = Outputs::new(&self.outputs, self.logits.as_deref(), self.simplify, self.min_area)?;
        let prompts = self.prompts()?;
        let (answers, image, device) = self.answer(prompts)?;
        outputs.write(&answers, &image)?;
        if self.json {
            print_json(&json!({
                "source": self.source,
                "device": device,
                "results": answers.iter().map(Answer::to_json).collect::<Vec<_>>(),
                "outputs": outputs.paths(),
            }));
        } else {
            for answer in &answers {
                print_line(&answer.summary());
            }
            for path in outputs.paths() {
                print_line(&format!("wrote {}", path.display()));
            }
        }
        Ok(())
    }

    /// The prompts, each with its identifier.
    fn prompts(&self) -> Result<Vec<(i64, PromptSet)>> {
        let points = (!self.points.is_empty())
            .then(|| {
                let (at, labels) = self.points.iter().map(|p| (p.at, p.label)).unzip();
                Points::new(at, labels, self.crs.clone())
            })
            .transpose()?;
        let bbox = self
            .bbox
            .map(|BoxArgument([left, bottom, right, top])| BoundingBox::new(left, bottom, right, top, self.crs.clone()))
            .transpose()?;
        let mut prompts = Vec::new();
        if points.is_some() || bbox.is_some() {
            if self.crs.is_none() {
                return Err(Error::MissingCrs {
                    what: "the prompt".to_string(),
                    remedy: "say with --crs which CRS --point and --box are in, for example --crs EPSG:4326",
                });
            }
            prompts.push((0, PromptSet::new(points, bbox, &Osr)?));
        }
        if let Some(path) = &self.prompts {
            let options = PromptFileOptions { crs: self.crs.clone(), ..PromptFileOptions::default() };
            prompts.extend(read_prompts(path, &options)?.into_iter().map(|p| (p.id, p.prompt)));
        }
        if prompts.is_empty() {
            return Err(Error::invalid_argument("prompt", "--point, --box or --prompts", "none of them"));
        }
        Ok(prompts)
    }

    /// Every prompt's answer, in order, where pictures of their chips come from, and the device that was used.
    fn answer(&self, prompts: Vec<(i64, PromptSet)>) -> Result<(Vec<Answer>, ImageSource, String)> {
        let options = PredictOptions { multimask: self.multimask };
        let settings = LegacySettings::default();
        if is_feature_folder(Path::new(&self.source)) {
            refuse_with_folder(self.reading.given().or(self.range.given()))?;
            let segmenter = self.model.load(&settings)?;
            let device = segmenter.device_name().to_string();
            let engine = open_folder(Path::new(&self.source), segmenter)?;
            let start = Instant::now();
            let sets: Vec<PromptSet> = prompts.iter().map(|(_, prompt)| prompt.clone()).collect();
            let results = engine.query_many(&sets, options);
            let seconds = start.elapsed().as_secs_f64() / prompts.len() as f64;
            let answers = collect(prompts, results, seconds)?;
            Ok((answers, ImageSource::folder(Path::new(&self.source))?, device))
        } else {
            let raster = self.reading.open(&self.source, None, &settings)?;
            let value_range = self.range.choice(self.model.preprocess(), &settings)?;
            let segmenter = self.model.load(&settings)?;
            let device = segmenter.device_name().to_string();
            let engine = query_raster(
                raster.clone(),
                segmenter,
                OnlineQueryOptions { value_range, ..OnlineQueryOptions::default() },
            )?;
            let mut cache = OnlineQueryCache::default();
            let mut answers = Vec::with_capacity(prompts.len());
            for (id, prompt) in prompts {
                let start = Instant::now();
                let result = engine.query(&prompt, options, &mut cache)?;
                answers.push(Answer { id, prompt, result, seconds: start.elapsed().as_secs_f64() });
            }
            Ok((answers, ImageSource::raster(raster, engine.value_range().clone()), device))
        }
    }
}

fn collect(prompts: Vec<(i64, PromptSet)>, results: Vec<Result<QueryResult>>, seconds: f64) -> Result<Vec<Answer>> {
    prompts
        .into_iter()
        .zip(results)
        .map(|((id, prompt), result)| Ok(Answer { id, prompt, result: result?, seconds }))
        .collect()
}
