//! A program's own model in the engines: anything that turns an image into features and features into masks.
//!
//! The model here is no network at all: its features are the mean colours of 16×16 pixel cells, and a click selects the
//! cells of a similar colour. Chips, folders, prompts in map coordinates, polygons: all of it works as with SAM.
//!
//! ```sh
//! cargo run --example custom_segmenter
//! ```

use std::sync::Arc;

use geosam::{
    Affine, Crs, EncodedImageFeatures, Error, FeaturePayload, FeatureTensor, GeoGrid, LowResLogits, MaskPrompt, Masks,
    MemoryRaster, ModelImage, ModelSpec, ModelType, OnlineQueryCache, OnlineQueryEngine, OnlineQueryOptions,
    PixelPoint, PixelPrompt, Pixels, Points, Precision, PredictOptions, Prediction, Preprocess, PromptSession, Result,
    SameCrsOnly, Segmenter, Shape, VectorizeOptions, WorldPoint, conformance, encode_and_open, logits_stability,
};

const CELL: usize = 16;

/// Segments by colour.
#[derive(Debug)]
struct ColourSegmenter {
    spec: ModelSpec,
}

impl ColourSegmenter {
    fn new() -> Self {
        Self {
            spec: ModelSpec {
                model_id: "colour-cells".to_string(),
                model_type: ModelType::Sam,
                checkpoint_path: "colour-cells".into(),
                image_size: 256,
                fingerprint: None,
                preprocess: Preprocess::Standard,
                precision: Precision::F32,
            },
        }
    }
}

impl Segmenter for ColourSegmenter {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        images
            .iter()
            .map(|image| {
                let shape = image.shape();
                let (rows, columns) = (shape.height.div_ceil(CELL), shape.width.div_ceil(CELL));
                let (mut sums, mut counts) = (vec![0.0; 3 * rows * columns], vec![0.0f32; rows * columns]);
                for (index, pixel) in image.rgb().chunks_exact(3).enumerate() {
                    let cell = index / shape.width / CELL * columns + index % shape.width / CELL;
                    counts[cell] += 1.0;
                    for (channel, value) in pixel.iter().enumerate() {
                        sums[channel * rows * columns + cell] += f32::from(*value);
                    }
                }
                let means = sums.iter().enumerate().map(|(i, sum)| sum / counts[i % counts.len()]).collect();
                Ok(EncodedImageFeatures {
                    model_type: self.spec.model_type,
                    checkpoint_path: self.spec.reference_checkpoint_path().to_string_lossy().into_owned(),
                    src_shape: shape,
                    dst_shape: shape,
                    payload: FeaturePayload::Sam(FeatureTensor::new(vec![1, 3, rows, columns], means)?),
                })
            })
            .collect()
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        let expected = self.spec.reference_checkpoint_path().to_string_lossy().into_owned();
        let found = format!("{} ({})", features.checkpoint_path, features.model_type);
        if features.checkpoint_path != expected || features.model_type != self.spec.model_type {
            return Err(Error::ModelMismatch { expected, found });
        }
        match &features.payload {
            FeaturePayload::Sam(means) if means.shape().len() == 4 && means.shape()[1] == 3 => {
                Ok(Box::new(ColourSession { means: means.clone(), shape: features.src_shape }))
            }
            other => Err(Error::invalid_argument("features", "[1, 3, rows, columns]", format_args!("{other:?}"))),
        }
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

/// One chip's mean colours.
#[derive(Debug)]
struct ColourSession {
    means: FeatureTensor,
    shape: Shape,
}

impl ColourSession {
    fn cells(&self) -> Shape {
        Shape::new(self.means.shape()[2], self.means.shape()[3])
    }

    fn colour(&self, cell: usize) -> [f32; 3] {
        [0, 1, 2].map(|channel| self.means.values()[channel * self.cells().area() + cell])
    }

    /// How much more alike than different a cell is to the prompt's; positive on the object.
    fn logits(&self, prompt: &PixelPrompt) -> Result<Vec<f32>> {
        let cells = self.cells();
        let cell_at = |p: PixelPoint| {
            let index = |at: f64, count: usize| (at.max(0.0) as usize / CELL).min(count - 1);
            index(p.row, cells.height) * cells.width + index(p.column, cells.width)
        };
        let center = prompt.bbox.map(|b| PixelPoint::new((b.left + b.right) / 2.0, (b.top + b.bottom) / 2.0));
        let reach = 2.0 * self.shape.height.max(self.shape.width) as f64;
        if prompt.points.iter().any(|p| !(p.column.abs() <= reach && p.row.abs() <= reach)) {
            return Err(Error::invalid_argument("point", "a place on the chip", "one far off it"));
        }
        let seed = prompt.points.first().copied().or(center);
        match (seed, &prompt.mask) {
            (Some(seed), _) => {
                let wanted = self.colour(cell_at(seed));
                let difference =
                    |cell| -> f32 { self.colour(cell).iter().zip(wanted).map(|(a, b)| (a - b).abs()).sum() };
                Ok((0..cells.area()).map(|cell| 30.0 - difference(cell)).collect())
            }
            (None, Some(MaskPrompt { logits, .. })) => Ok(logits.clone()),
            (None, None) => Err(Error::invalid_argument("prompt", "a point, a box or a mask", "none of them")),
        }
    }
}

impl PromptSession for ColourSession {
    fn size_in_bytes(&self) -> usize {
        size_of_val(self.means.values())
    }

    fn stability(&self, prediction: &Prediction, mask: usize, offset: f32) -> f32 {
        logits_stability(prediction, mask, offset)
    }

    fn predict(&self, prompts: &[PixelPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        let candidates = if options.multimask { 3 } else { 1 };
        let (cells, shape) = (self.cells(), self.shape);
        prompts
            .iter()
            .map(|prompt| {
                if prompt.points.len() != prompt.labels.len() {
                    return Err(Error::invalid_argument("labels", "one for each point", prompt.labels.len()));
                }
                let logits = self.logits(prompt)?;
                let mask = (0..shape.area())
                    .map(|pixel| logits[pixel / shape.width / CELL * cells.width + pixel % shape.width / CELL] > 0.0);
                Ok(Prediction {
                    masks: Masks::new(shape, mask.collect::<Vec<_>>().repeat(candidates))?,
                    scores: vec![1.0; candidates],
                    low_res: LowResLogits { shape: cells, values: logits.repeat(candidates) },
                })
            })
            .collect()
    }
}

pub(crate) fn main() -> Result<()> {
    // The contract of the seam, checked.
    conformance::segmenter(&ColourSegmenter::new());

    // A raster in memory: dark water, 10 km², in bright land.
    let shape = Shape::square(512);
    let lake = |column: usize, row: usize| (128..384).contains(&column) && (128..256).contains(&row);
    let band: Vec<u8> = (0..shape.area()).map(|i| if lake(i % 512, i / 512) { 20 } else { 180 }).collect();
    let grid = GeoGrid::new(Affine::from_origin(600_000.0, 4_100_000.0, 10.0, 10.0), shape, Crs::new("EPSG:32633"))?;
    let raster = MemoryRaster::new(Pixels::U8(band.repeat(3)), grid.clone())?;

    let engine = OnlineQueryEngine::new(
        Arc::new(raster),
        Arc::new(ColourSegmenter::new()),
        Arc::new(SameCrsOnly),
        OnlineQueryOptions::default(),
    )?;
    let click = Points::foreground(vec![WorldPoint::new(602_560.0, 4_098_080.0)], grid.crs)?;
    let result = engine.query(&click.into(), PredictOptions::default(), &mut OnlineQueryCache::new())?;
    let polygons = result.features(&VectorizeOptions::default())?;
    let area = polygons.features[0].properties["area"].as_f64().unwrap_or(0.0);
    println!("one lake of {:.2} km² within the chip", area / 1e6);
    assert_eq!(polygons.features.len(), 1);
    // The chip is 2.56 km wide and centred on the click, which is the middle of the lake, 2.56 by 1.28 km.
    assert!((area - 2560.0 * 1280.0).abs() < 1.0, "{area}");
    Ok(())
}
