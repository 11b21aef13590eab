//! `geosam query`

pub(crate) mod outputs;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use geosam::{
    BoundingBox, Crs, Error, FilePrompt, LegacySettings, OnlineQueryCache, OnlineQueryOptions, Osr, Points,
    PredictOptions, PromptFileOptions, PromptSet, Result, ValueRange, describe_feature_source, open_folder,
    query_raster, read_prompts,
};
use serde_json::{Map, json};

use crate::arguments::{
    BoxArgument, ModelArguments, PointArgument, RangeArguments, RasterArguments, refuse_with_folder,
};
use crate::console::{print_json, print_line, print_note};
use crate::info::is_feature_folder;
use crate::output_files;
use outputs::{Answer, ImageSource, Outputs};

/// Answer prompts from a feature folder, or straight from a raster: the chip around the prompt is then encoded first.
///
/// All --point options and --box prompt for one object; a file has one object for each feature, or for each value of
/// --group-field. If some prompts of a file have no answer, the others are written and the command fails in the end.
///
/// A raster that is not of bytes is read as a whole for its value range, unless --value-range or --compat says it.
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
    /// Prompts from a vector file: points are clicks, polygons are boxes. Results have the feature's id as `prompt`, and its
    /// fields, called `input_NAME` where the name is taken
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// Layer of the prompt file [default: the only one with geometries]
    #[arg(long, value_name = "NAME", requires = "prompts")]
    layer: Option<String>,
    /// Field of the prompt file with 1 for points on the object and 0 for points off it [default: `label`, `labels`,
    /// `point_label`, `point_labels` or `prompt_label`, unless it holds other texts]
    #[arg(long, value_name = "NAME", requires = "prompts")]
    label_field: Option<String>,
    /// Field of the prompt file whose value the features of one object share [default: `prompt_id`, `object` or `group`, if it
    /// holds whole numbers]
    #[arg(long, value_name = "NAME", requires = "prompts")]
    group_field: Option<String>,
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
    /// Write the result, in place of what is there: .geojson, .json, .gpkg, .fgb, .shp, .tif or .png; may be repeated
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
        let read = inputs(&self.source, &self.model).chain(self.prompts.clone());
        output_files::check(outputs.paths(), read)?;
        let prompts = self.prompts()?;
        let (answers, image, device) = self.answer(prompts)?;
        let asked = answers.len();
        let (answers, unanswered) = apart(answers)?;
        outputs.write(&answers, &image)?;
        if self.json {
            let failed = |(id, error): &Unanswered| json!({"id": id, "error": error.to_string()});
            print_json(&json!({
                "source": self.source,
                "device": device,
                "results": answers.iter().map(Answer::to_json).collect::<Vec<_>>(),
                "unanswered": unanswered.iter().map(failed).collect::<Vec<_>>(),
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
        for (id, error) in &unanswered {
            print_note(&format!("prompt {id}: {error}"));
        }
        match unanswered.len() {
            0 => Ok(()),
            count => {
                let found = format!("none for {count} of {asked}; the others are written");
                Err(Error::invalid_argument("prompts", "prompts that all have an answer", found))
            }
        }
    }

    /// The prompts, each with its identifier and what its feature says of it.
    fn prompts(&self) -> Result<Vec<FilePrompt>> {
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
        if let Some(path) = &self.prompts {
            let options = PromptFileOptions {
                layer: self.layer.clone(),
                label_field: self.label_field.clone(),
                group_field: self.group_field.clone(),
                crs: self.crs.clone(),
            };
            prompts.extend(read_prompts(path, &options)?);
        }
        if points.is_some() || bbox.is_some() {
            if self.crs.is_none() {
                return Err(Error::MissingCrs {
                    what: "the prompt".to_string(),
                    remedy: "say with --crs which CRS --point and --box are in, for example --crs EPSG:4326",
                });
            }
            // A number that no feature of the file has.
            let id = prompts.iter().map(|prompt| prompt.id + 1).max().unwrap_or(0);
            let prompt = PromptSet::new(points, bbox, &Osr)?;
            prompts.insert(0, FilePrompt { id, prompt, properties: Map::new() });
        }
        if prompts.is_empty() {
            return Err(Error::invalid_argument("prompt", "--point, --box or --prompts", "none of them"));
        }
        Ok(prompts)
    }

    /// What became of every prompt, in order, where pictures of their chips come from, and the device that was used.
    fn answer(&self, prompts: Vec<FilePrompt>) -> Result<(Vec<Outcome>, ImageSource, String)> {
        let options = PredictOptions { multimask: self.multimask };
        let settings = LegacySettings::default();
        if is_feature_folder(Path::new(&self.source)) {
            refuse_with_folder(self.reading.given().or(self.range.given()))?;
            let segmenter = self.model.load(&settings)?;
            let device = segmenter.device_name().to_string();
            let engine = open_folder(Path::new(&self.source), segmenter)?;
            let start = Instant::now();
            let sets: Vec<PromptSet> = prompts.iter().map(|asked| asked.prompt.clone()).collect();
            let results = engine.query_many(&sets, options);
            let seconds = start.elapsed().as_secs_f64() / prompts.len() as f64;
            let outcome = |(asked, result): (FilePrompt, Result<_>)| match result {
                Ok(result) => Ok(Answer { asked, result, seconds }),
                Err(error) => Err((asked.id, error)),
            };
            let answers: Vec<_> = prompts.into_iter().zip(results).map(outcome).collect();
            let summary = describe_feature_source(Path::new(&self.source))?;
            if !summary.complete && answers.iter().any(|answer| matches!(answer, Err((_, Error::NotCovered { .. })))) {
                print_note(
                    "the folder is incomplete: its encoding was interrupted, and the same command goes on from there",
                );
            }
            Ok((answers, ImageSource::folder(summary), device))
        } else {
            let raster = self.reading.open(&self.source, None, &settings)?;
            let value_range = self.range.choice(self.model.preprocess(), &settings)?;
            let segmenter = self.model.load(&settings)?;
            let device = segmenter.device_name().to_string();
            let start = Instant::now();
            let options_of_engine = OnlineQueryOptions { value_range, ..OnlineQueryOptions::default() };
            let engine = query_raster(raster.clone(), segmenter, options_of_engine)?;
            note_slow_statistics(start.elapsed(), engine.value_range());
            let mut cache = OnlineQueryCache::default();
            let mut answers = Vec::with_capacity(prompts.len());
            for asked in prompts {
                let start = Instant::now();
                answers.push(match engine.query(&asked.prompt, options, &mut cache) {
                    Ok(result) => Ok(Answer { asked, result, seconds: start.elapsed().as_secs_f64() }),
                    Err(error) => Err((asked.id, error)),
                });
            }
            Ok((answers, ImageSource::raster(raster, engine.value_range().clone()), device))
        }
    }
}

/// A prompt's answer, or its number and why it has none.
type Outcome = std::result::Result<Answer, Unanswered>;
type Unanswered = (i64, Error);

/// The answers, and the prompts that have none; an error if there is no answer at all.
fn apart(outcomes: Vec<Outcome>) -> Result<(Vec<Answer>, Vec<Unanswered>)> {
    let (mut answers, mut unanswered) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(answer) => answers.push(answer),
            Err(failed) => unanswered.push(failed),
        }
    }
    match answers.is_empty() {
        true => Err(unanswered.swap_remove(0).1),
        false => Ok((answers, unanswered)),
    }
}

/// The files that are read, and the raster behind a folder: nothing may be written over them.
pub(crate) fn inputs(source: &str, model: &ModelArguments) -> impl Iterator<Item = PathBuf> {
    let source = PathBuf::from(source);
    let raster_of = |folder: &Path| Some(describe_feature_source(folder).ok()?.source_path.into());
    let raster = is_feature_folder(&source).then_some(source.clone()).into_iter();
    std::iter::once(source).chain(model.checkpoint.clone()).chain(raster.filter_map(move |folder| raster_of(&folder)))
}

/// A raster that is not of bytes is read from end to end before its first chip.
fn note_slow_statistics(took: Duration, range: &ValueRange) {
    if let (ValueRange::PerBand(bands), true) = (range, took > Duration::from_secs(2)) {
        let bands: Vec<_> = bands.iter().map(|band| format!("{} to {}", band.min, band.max)).collect();
        print_note(&format!(
            "the value range ({}) took {:.0} s, as all of the raster was read for it; --value-range MIN,MAX saves that",
            bands.join("; "),
            took.as_secs_f64()
        ));
    }
}
