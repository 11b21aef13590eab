//! A model whose objects are known: the regions of equal value of the chip.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use geosam_core::{
    ChipRecord, EncodedImageFeatures, FeaturePayload, FeatureStore, FeatureTensor, GeoGrid, GridGeoSampler,
    LowResLogits, Masks, MemoryFeatureStore, MemoryRaster, ModelImage, ModelSpec, ModelType, PixelPrompt, Pixels,
    Precision, PredictOptions, Prediction, Preprocess, PromptSession, Result, Segmenter, Shape, Tiling, Window,
    encode_and_open, logits_stability,
};

use super::{grid, record};

/// Side of the model's input, and of its chips.
pub(crate) const SIDE: usize = 32;

/// Answers a point with the region of pixels around it that have its value and share edges; 0 is ground, of which it is
/// never sure. The three masks of an answer are the same, but less and less sure and stable.
#[derive(Debug)]
pub(crate) struct RegionModel {
    spec: ModelSpec,
    pub(crate) prompts: Arc<AtomicUsize>,
    pub(crate) encoded: AtomicUsize,
    /// Pixels along the border of the chip that it does not see.
    blind: usize,
}

impl RegionModel {
    pub(crate) fn new() -> Arc<Self> {
        Self::blind_at_borders(0)
    }

    pub(crate) fn blind_at_borders(blind: usize) -> Arc<Self> {
        let spec = ModelSpec {
            model_id: "sam_b".to_string(),
            model_type: ModelType::Sam,
            checkpoint_path: "/models/weights.pth".into(),
            image_size: SIDE,
            fingerprint: Some("f00d".to_string()),
            preprocess: Preprocess::Standard,
            precision: Precision::F32,
        };
        Arc::new(Self { spec, prompts: Arc::default(), encoded: 0.into(), blind })
    }
}

impl Segmenter for RegionModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        self.encoded.fetch_add(images.len(), Ordering::SeqCst);
        let features = |image: &ModelImage| {
            let Shape { height, width } = image.shape();
            let values = image.rgb().chunks_exact(3).map(|pixel| f32::from(pixel[0])).collect();
            Ok(EncodedImageFeatures {
                model_type: ModelType::Sam,
                checkpoint_path: "/models/sam_b.pt".to_string(),
                src_shape: image.shape(),
                dst_shape: Shape::square(SIDE),
                payload: FeaturePayload::Sam(FeatureTensor::new(vec![1, 1, height, width], values)?),
            })
        };
        images.iter().map(features).collect()
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        let values = features.payload.embedding().values().to_vec();
        Ok(Box::new(Session { shape: features.src_shape, values, prompts: self.prompts.clone(), blind: self.blind }))
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

#[derive(Debug)]
struct Session {
    shape: Shape,
    values: Vec<f32>,
    prompts: Arc<AtomicUsize>,
    blind: usize,
}

impl PromptSession for Session {
    fn size_in_bytes(&self) -> usize {
        size_of_val(&self.values[..])
    }

    fn stability(&self, prediction: &Prediction, mask: usize, offset: f32) -> f32 {
        logits_stability(prediction, mask, offset)
    }

    fn predict(&self, prompts: &[PixelPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        self.prompts.fetch_add(prompts.len(), Ordering::SeqCst);
        let count = if options.multimask { 3 } else { 1 };
        let Shape { height, width } = self.shape;
        let seen = |row: usize, column: usize| {
            let inside = |at: usize, size: usize| size < SIDE || (self.blind..size - self.blind).contains(&at);
            inside(row, height) && inside(column, width)
        };
        let answer = |prompt: &PixelPrompt| {
            let (row, column) = (prompt.points[0].row as usize, prompt.points[0].column as usize);
            let on_object = self.values[row * width + column] > 0.0;
            let mut mask = region(&self.values, self.shape, row, column);
            (0..mask.len()).for_each(|at| mask[at] &= seen(at / width, at % width));
            let scores = [0.95, 0.9, 0.5].map(|score| if on_object { score } else { 0.3 });
            // Of ten logits all, nine and six stay above an offset of 1.
            let logits = [10, 9, 6].map(|sure| (0..10).map(|i| if i < sure { 4.0 } else { 0.5 }).collect::<Vec<f32>>());
            Ok(Prediction {
                masks: Masks::new(self.shape, mask.repeat(count))?,
                scores: scores[..count].to_vec(),
                low_res: LowResLogits { shape: Shape::new(1, 10), values: logits[..count].concat() },
            })
        };
        prompts.iter().map(answer).collect()
    }
}

/// The region around a pixel.
fn region(values: &[f32], shape: Shape, row: usize, column: usize) -> Vec<bool> {
    let mut mask = vec![false; shape.area()];
    let mut waiting = vec![(row, column)];
    let value = values[row * shape.width + column];
    while let Some((row, column)) = waiting.pop() {
        let at = row * shape.width + column;
        if mask[at] || values[at] != value {
            continue;
        }
        mask[at] = true;
        waiting.extend((row > 0).then(|| (row - 1, column)));
        waiting.extend((column > 0).then(|| (row, column - 1)));
        waiting.extend((row + 1 < shape.height).then_some((row + 1, column)));
        waiting.extend((column + 1 < shape.width).then_some((row, column + 1)));
    }
    mask
}

/// A scene of objects on ground, painted one over the other.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) shape: Shape,
    values: Vec<u8>,
    objects: u8,
}

impl Scene {
    pub(crate) fn new(height: usize, width: usize) -> Self {
        let shape = Shape::new(height, width);
        Self { shape, values: vec![0; shape.area()], objects: 0 }
    }

    /// One more object, made of windows: (first column, first row, columns, rows).
    pub(crate) fn object(mut self, windows: &[(usize, usize, usize, usize)]) -> Self {
        self.objects += 1;
        self.paint(self.objects, windows);
        self
    }

    /// Ground in these windows.
    pub(crate) fn ground(mut self, windows: &[(usize, usize, usize, usize)]) -> Self {
        self.paint(0, windows);
        self
    }

    fn paint(&mut self, value: u8, windows: &[(usize, usize, usize, usize)]) {
        for &(left, top, width, height) in windows {
            for row in top..top + height {
                self.values[row * self.shape.width + left..][..width].fill(value);
            }
        }
    }

    /// The pixels of every object, in pixels of the scene.
    pub(crate) fn truth(&self) -> Vec<Vec<bool>> {
        (1..=self.objects).map(|object| self.values.iter().map(|value| *value == object).collect()).collect()
    }

    pub(crate) fn raster(&self) -> MemoryRaster {
        MemoryRaster::new(Pixels::U8(self.values.clone()), self.grid()).unwrap()
    }

    pub(crate) fn grid(&self) -> GeoGrid {
        grid(self.shape.height, self.shape.width)
    }

    /// The scene, encoded by `model`.
    pub(crate) fn features(&self, model: &RegionModel, tiling: Tiling) -> Arc<MemoryFeatureStore> {
        let store = MemoryFeatureStore::new();
        let chips = GridGeoSampler::with_tiling(Window::whole(self.shape), Shape::square(SIDE), tiling).unwrap();
        for (number, window) in chips.windows().enumerate() {
            let Window { column, row, shape } = window;
            let pixels = (0..shape.area()).flat_map(|i| {
                let at = (row as usize + i / shape.width) * self.shape.width + column as usize + i % shape.width;
                [self.values[at]; 3]
            });
            let image = ModelImage::new(shape, pixels.collect()).unwrap();
            let features = model.encode(&[image]).unwrap().remove(0);
            let record: ChipRecord = record(number, self.grid().window(window).unwrap());
            store.put(&record, &features).unwrap();
        }
        Arc::new(store)
    }
}
