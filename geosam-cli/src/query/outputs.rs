//! What a query writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use geosam::{
    ChipSource, Error, FeatureSourceSummary, FilePrompt, GeoGrid, Label, MaskChoice, MaskFeatures, MaskFormat,
    MaskPolygon, Masks, Osr, OverlayStyle, QueryResult, RasterDataset, RasterOptions, Result, ValueRange, VectorFormat,
    VectorizeOptions, write_logits, write_mask, write_overlay, write_vector,
};
use serde_json::{Value, json};

/// One prompt with its answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) asked: FilePrompt,
    pub(crate) result: QueryResult,
    pub(crate) seconds: f64,
}

impl Answer {
    pub(crate) fn to_json(&self) -> Value {
        let r = &self.result;
        let b = &r.chip_bounds;
        json!({
            "id": self.asked.id,
            "properties": self.asked.properties,
            "chip_id": r.chip_id,
            "model_type": r.model_type.as_str(),
            "scores": r.scores,
            "mask_pixels": r.masks.iter().map(count).collect::<Vec<_>>(),
            "shape": [r.grid.shape.height, r.grid.shape.width],
            "transform": r.grid.transform.to_array(),
            "crs": r.grid.crs,
            "chip_bounds": [b.left, b.bottom, b.right, b.top],
            "seconds": self.seconds,
        })
    }

    pub(crate) fn summary(&self) -> String {
        let r = &self.result;
        let pixel = r.grid.transform.pixel_area();
        let masks = r.masks.iter().zip(&r.scores).map(|(mask, score)| {
            let pixels = count(mask);
            format!("{pixels} pixels ({} square units of {}), score {score:.3}", pixels as f64 * pixel, r.grid.crs)
        });
        format!(
            "prompt {} on {}: {}  ({:.0} ms)",
            self.asked.id,
            r.chip_id.as_deref().unwrap_or("a chip around it"),
            masks.collect::<Vec<_>>().join("; "),
            self.seconds * 1e3
        )
    }

    /// The polygons with what a GIS user wants to filter by, and the fields of the (first) feature that asked: `input_NAME`
    /// where the name is taken.
    fn features(&self, options: &VectorizeOptions) -> Result<MaskFeatures> {
        let mut features = self.result.features(options)?;
        let FilePrompt { id, prompt, properties } = &self.asked;
        let with = |label| prompt.points().map_or(0, |points| points.labels().iter().filter(|l| **l == label).count());
        for MaskPolygon { properties: columns, .. } in &mut features.features {
            columns.insert("prompt".to_string(), json!(id));
            columns.insert("foreground".to_string(), json!(with(Label::Foreground)));
            columns.insert("background".to_string(), json!(with(Label::Background)));
            columns.insert("box".to_string(), json!(i32::from(prompt.bbox().is_some())));
            for (name, value) in properties {
                let mut name = name.clone();
                while columns.keys().any(|column| column.eq_ignore_ascii_case(&name)) {
                    name.insert_str(0, "input_");
                }
                columns.insert(name, value.clone());
            }
        }
        Ok(features)
    }
}

fn count(mask: &[bool]) -> usize {
    mask.iter().filter(|on| **on).count()
}

/// Where the pixels under a mask come from, for pictures.
#[derive(Debug)]
pub(crate) enum ImageSource {
    /// The raster that was queried, and its value range.
    Raster(Arc<RasterDataset>, ValueRange),
    /// The raster that a folder names; opened only for a picture.
    Folder { source_path: String, bands: Option<Vec<usize>>, range: Option<ValueRange> },
}

impl ImageSource {
    pub(crate) fn raster(raster: Arc<RasterDataset>, range: ValueRange) -> Self {
        Self::Raster(raster, range)
    }

    pub(crate) fn folder(summary: FeatureSourceSummary) -> Self {
        Self::Folder { source_path: summary.source_path, bands: summary.bands, range: summary.value_range }
    }

    fn read(&self, grid: &GeoGrid) -> Result<geosam::ModelImage> {
        match self {
            Self::Raster(raster, range) => raster.read(raster.grid().window_of(&grid.bounds())?)?.to_model_image(range),
            Self::Folder { source_path, bands, range } => {
                let options =
                    RasterOptions { bands: bands.clone(), crs: Some(grid.crs.clone()), ..RasterOptions::default() };
                let raster = RasterDataset::open(source_path, &options).map_err(|error| Error::Unsupported {
                    what: "a picture without the raster that the folder was made from".to_string(),
                    reason: format!("{error}; leave out the .png, or query the raster where it is now"),
                })?;
                let sample = raster.read_bounds(&grid.bounds(), Some(grid.shape))?;
                sample.to_model_image(range.as_ref().unwrap_or(&ValueRange::PerChip))
            }
        }
    }
}

/// The files to write, checked before any work is done.
#[derive(Debug)]
pub(crate) struct Outputs {
    files: Vec<PathBuf>,
    logits: Option<PathBuf>,
    vectorize: VectorizeOptions,
}

impl Outputs {
    pub(crate) fn new(files: &[PathBuf], logits: Option<&Path>, simplify: f64, min_area: f64) -> Result<Self> {
        for path in files {
            if kind(path) == Kind::Vector && VectorFormat::for_path(path).is_err() {
                let expected = "a name ending in .geojson, .json, .gpkg, .fgb, .shp, .tif or .png";
                return Err(Error::invalid_argument("--out", expected, path.display()));
            }
        }
        let vectorize = VectorizeOptions {
            mask: MaskChoice::All,
            min_area,
            simplify_tolerance: simplify,
            ..VectorizeOptions::default()
        };
        Ok(Self { files: files.to_vec(), logits: logits.map(Path::to_path_buf), vectorize })
    }

    pub(crate) fn paths(&self) -> Vec<&Path> {
        self.files.iter().chain(&self.logits).map(PathBuf::as_path).collect()
    }

    pub(crate) fn write(&self, answers: &[Answer], image: &ImageSource) -> Result<()> {
        // What may be refused comes before the first file.
        let kinds = || self.files.iter().map(|path| kind(path));
        let logits = self.logits.iter().map(|_| "--logits");
        let of_one_chip = kinds().filter_map(Kind::of_one_chip).chain(logits);
        let chip = of_one_chip.map(|what| one_chip(answers, what)).collect::<Result<Vec<_>>>()?.pop();
        let pixels = match &chip {
            Some((grid, _)) if kinds().any(|kind| kind == Kind::Picture) => Some(image.read(grid)?),
            _ => None,
        };
        for path in &self.files {
            match (kind(path), &chip, &pixels) {
                (Kind::Mask, Some((grid, masks)), _) => write_mask(path, masks, grid, MaskFormat::Cog)?,
                (Kind::Picture, Some((grid, masks)), Some(pixels)) => {
                    let prompts: Vec<_> =
                        answers.iter().map(|a| grid.to_pixel_prompt(&a.asked.prompt, &Osr)).collect::<Result<_>>()?;
                    write_overlay(path, pixels, masks, &prompts, &OverlayStyle::default())?;
                }
                _ => write_vector(path, &self.polygons(answers)?)?,
            }
        }
        if let Some(path) = &self.logits {
            write_logits(path, &answers.iter().map(|a| &a.result).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn polygons(&self, answers: &[Answer]) -> Result<MaskFeatures> {
        let mut all: Option<MaskFeatures> = None;
        for answer in answers {
            let features = answer.features(&self.vectorize)?;
            match &mut all {
                None => all = Some(features),
                Some(all) => all.features.extend(features.features),
            }
        }
        let mut all = all.ok_or_else(|| Error::invalid_argument("prompts", "at least one", "none"))?;
        for (index, feature) in all.features.iter_mut().enumerate() {
            feature.properties.insert("id".to_string(), json!(index + 1));
        }
        Ok(all)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Vector,
    Mask,
    Picture,
}

impl Kind {
    /// What is asked for, if it can only show one chip.
    fn of_one_chip(self) -> Option<&'static str> {
        match self {
            Self::Vector => None,
            Self::Mask => Some("--out FILE.tif"),
            Self::Picture => Some("--out FILE.png"),
        }
    }
}

pub(crate) fn kind(path: &Path) -> Kind {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match extension.as_str() {
        "tif" | "tiff" => Kind::Mask,
        "png" => Kind::Picture,
        _ => Kind::Vector,
    }
}

/// All masks, which must lie on the same chip for a file with one grid.
fn one_chip<'a>(answers: &'a [Answer], what: &'static str) -> Result<(&'a GeoGrid, Masks)> {
    let [first, rest @ ..] = answers else {
        return Err(Error::invalid_argument("prompts", "at least one", "none"));
    };
    let grid = &first.result.grid;
    if let Some(other) = rest.iter().find(|a| a.result.grid != *grid) {
        return Err(Error::Unsupported {
            what: format!("{what} for prompts on several chips (prompts {} and {})", first.asked.id, other.asked.id),
            reason: "such a file holds one chip; ask these prompts one by one, or write polygons".to_string(),
        });
    }
    let values: Vec<bool> = answers.iter().flat_map(|a| a.result.masks.values().iter().copied()).collect();
    Ok((grid, Masks::new(grid.shape, values)?))
}
