//! A raster, a model and features to ask.

pub(crate) mod region_model;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use geosam_core::{
    Affine, ChipRecord, ChipSource, EncodedImageFeatures, Error, FeaturePayload, FeatureStore, FeatureTensor, GeoGrid,
    Label, LowResLogits, Masks, MemoryFeatureStore, ModelImage, ModelSpec, ModelType, PixelPrompt, Pixels, Points,
    Precision, PredictOptions, Prediction, Preprocess, Progress, PromptSession, PromptSet, RasterSample, Result,
    Segmenter, Shape, ValueRange, ValueRangeChoice, Window, WorldPoint, encode_and_open, logits_stability,
};

/// Side of the fake model's input, and of its chips.
pub(crate) const SIDE: usize = 16;

/// Upper left corner of every grid here, in EPSG:32618; pixels are half a metre.
const ORIGIN: WorldPoint = WorldPoint::new(500_000.0, 4_200_000.0);

pub(crate) fn grid(height: usize, width: usize) -> GeoGrid {
    let transform = Affine::from_origin(ORIGIN.x, ORIGIN.y, 0.5, 0.5);
    GeoGrid::new(transform, Shape::new(height, width), "EPSG:32618".into()).unwrap()
}

/// A foreground point at a continuous pixel position of [`grid`].
pub(crate) fn click(column: f64, row: f64) -> PromptSet {
    clicks(&[(column, row)])
}

/// Foreground points of one object.
pub(crate) fn clicks(pixels: &[(f64, f64)]) -> PromptSet {
    let world = pixels.iter().map(|(column, row)| WorldPoint::new(ORIGIN.x + column / 2.0, ORIGIN.y - row / 2.0));
    let labels = vec![Label::Foreground; pixels.len()];
    Points::new(world.collect(), labels, Some("EPSG:32618".into())).unwrap().into()
}

/// Answers a prompt with the pixel its first point is on; a prompt without points fails.
#[derive(Debug)]
pub(crate) struct FakeModel {
    pub(crate) spec: ModelSpec,
    pub(crate) encoded: AtomicUsize,
    pub(crate) opened: AtomicUsize,
    /// How many prompts each call of the decoder was given.
    pub(crate) calls: Arc<std::sync::Mutex<Vec<usize>>>,
}

impl FakeModel {
    pub(crate) fn new() -> Arc<Self> {
        let spec = ModelSpec {
            model_id: "sam_b".to_string(),
            model_type: ModelType::Sam,
            checkpoint_path: "/models/weights.pth".into(),
            image_size: SIDE,
            fingerprint: Some("f00d".to_string()),
            preprocess: Preprocess::Standard,
            precision: Precision::F32,
        };
        Arc::new(Self { spec, encoded: 0.into(), opened: 0.into(), calls: Arc::default() })
    }
}

impl Segmenter for FakeModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        self.encoded.fetch_add(images.len(), Ordering::SeqCst);
        Ok(images.iter().map(|image| features(image.shape(), image.rgb()[0])).collect())
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let first = features.payload.tensors().next().unwrap().values()[0];
        Ok(Box::new(FakeSession {
            shape: features.src_shape,
            first,
            bytes: features.size_in_bytes(),
            calls: self.calls.clone(),
        }))
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

#[derive(Debug)]
struct FakeSession {
    shape: Shape,
    first: f32,
    bytes: usize,
    calls: Arc<std::sync::Mutex<Vec<usize>>>,
}

impl PromptSession for FakeSession {
    fn size_in_bytes(&self) -> usize {
        self.bytes
    }

    fn stability(&self, prediction: &Prediction, mask: usize, offset: f32) -> f32 {
        logits_stability(prediction, mask, offset)
    }

    fn predict(&self, prompts: &[PixelPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        self.calls.lock().unwrap().push(prompts.len());
        let count = if options.multimask { 3 } else { 1 };
        let answer = |prompt: &PixelPrompt| {
            let Some(point) = prompt.points.first() else {
                return Err(Error::invalid_argument("prompt", "a point", "none"));
            };
            let at = point.row as usize * self.shape.width + point.column as usize;
            let mask = (0..self.shape.area()).map(|i| i == at);
            Ok(Prediction {
                masks: Masks::new(self.shape, mask.cycle().take(count * self.shape.area()).collect())?,
                scores: vec![self.first; count],
                low_res: LowResLogits { shape: Shape::square(1), values: vec![0.5; count] },
            })
        };
        prompts.iter().map(answer).collect()
    }
}

/// Features of one value.
pub(crate) fn features(shape: Shape, value: u8) -> EncodedImageFeatures {
    EncodedImageFeatures {
        model_type: ModelType::Sam,
        checkpoint_path: "/models/sam_b.pt".to_string(),
        src_shape: shape,
        dst_shape: Shape::square(SIDE),
        payload: FeaturePayload::Sam(FeatureTensor::new(vec![1, 1, 1, 1], vec![f32::from(value)]).unwrap()),
    }
}

pub(crate) fn record(number: usize, grid: GeoGrid) -> ChipRecord {
    ChipRecord {
        chip_id: format!("chip_{number:06}"),
        grid,
        dst_shape: Shape::square(SIDE),
        source_path: "harbour.tif".to_string(),
        model_type: ModelType::Sam,
        checkpoint_path: "/models/sam_b.pt".to_string(),
        fingerprint: Some("f00d".to_string()),
    }
}

/// Four chips of 16×16 in a row, every 8 pixels; the features of each hold its number.
pub(crate) fn four_chips() -> Arc<MemoryFeatureStore> {
    let store = MemoryFeatureStore::new();
    for number in 0..4 {
        let window = Window::new(8 * number as i64, 0, Shape::square(SIDE));
        let record = record(number, grid(SIDE, 40).window(window).unwrap());
        store.put(&record, &features(record.grid.shape, number as u8)).unwrap();
    }
    Arc::new(store)
}

/// A raster of bytes that are its column numbers, without data left of `no_data_before`.
#[derive(Debug)]
pub(crate) struct FakeRaster {
    pub(crate) grid: GeoGrid,
    pub(crate) no_data_before: i64,
}

impl ChipSource for FakeRaster {
    fn grid(&self) -> &GeoGrid {
        &self.grid
    }

    fn source_path(&self) -> &str {
        "harbour.tif"
    }

    fn bands(&self) -> &[usize] {
        &[1]
    }

    fn read(&self, window: Window) -> Result<RasterSample> {
        let columns = || (0..window.shape.area()).map(|i| window.column + (i % window.shape.width) as i64);
        Ok(RasterSample {
            pixels: Pixels::U8(columns().map(|column| column as u8).collect()),
            bands: 1,
            grid: self.grid.window(window)?,
            valid: Some(columns().map(|column| column >= self.no_data_before).collect()),
            source_path: self.source_path().to_string(),
        })
    }

    fn value_range(&self, choice: ValueRangeChoice, _extent: Window, _progress: &dyn Progress) -> Result<ValueRange> {
        Ok(if choice == ValueRangeChoice::PerChip { ValueRange::PerChip } else { ValueRange::AsIs })
    }
}
