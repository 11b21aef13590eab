//! A model that knows the scene, as far as a chip shows it, but is off along edges and now and then not sure.

use std::sync::Arc;

use geosam::{
    EncodedImageFeatures, Error, FeaturePayload, FeatureTensor, LowResLogits, Masks, MemoryRaster, ModelImage,
    ModelSpec, ModelType, PixelPrompt, Pixels, Precision, PredictOptions, Prediction, Preprocess, PromptSession,
    Result, Segmenter, Shape, Window, encode_and_open, logits_stability,
};

use crate::scene::Scene;

const SIDE: usize = 512;
/// Pixels along a side of a cell, in which edges are off together.
const CELL: usize = 4;
/// Share of the answers that are too unsure to keep.
const UNSURE: f64 = 0.2;
/// Side of the squares that objects are looked up by.
const SQUARE: usize = 64;

/// The scene as a raster whose pixels are their own numbers, 24 bits each: so a chip says where it lies.
pub(crate) fn numbered(scene: &Scene) -> Result<MemoryRaster> {
    let area = scene.grid.shape.area();
    let band = |shift: usize| (0..area).map(move |pixel| (pixel >> shift) as u8);
    MemoryRaster::new(Pixels::U8(band(16).chain(band(8)).chain(band(0)).collect()), scene.grid.clone())
}

#[derive(Debug)]
pub(crate) struct Oracle {
    spec: ModelSpec,
    known: Arc<Known>,
}

/// Objects with what is seen of each, smallest first, and which of them meet a square.
#[derive(Debug)]
struct Known {
    shape: Shape,
    objects: Vec<(Window, Vec<bool>)>,
    of_square: Vec<Vec<usize>>,
}

impl Known {
    fn has(&self, object: usize, row: i64, column: i64) -> bool {
        let (window, mask) = &self.objects[object];
        let inside =
            (window.row..window.row_end()).contains(&row) && (window.column..window.column_end()).contains(&column);
        inside && mask[(row - window.row) as usize * window.shape.width + (column - window.column) as usize]
    }

    fn square(&self, row: usize, column: usize) -> usize {
        row / SQUARE * self.shape.width.div_ceil(SQUARE) + column / SQUARE
    }
}

impl Oracle {
    pub(crate) fn new(scene: &Scene) -> Self {
        let shape = scene.grid.shape;
        let mut objects: Vec<_> = scene.objects.iter().collect();
        objects.sort_by_key(|object| object.area);
        let objects: Vec<_> = objects.into_iter().map(|object| (object.window, object.mask.clone())).collect();
        let squares = shape.height.div_ceil(SQUARE) * shape.width.div_ceil(SQUARE);
        let mut known = Known { shape, objects: Vec::new(), of_square: vec![Vec::new(); squares] };
        for (number, (window, _)) in objects.iter().enumerate() {
            for row in window.row as usize / SQUARE..=(window.row_end() - 1) as usize / SQUARE {
                for column in window.column as usize / SQUARE..=(window.column_end() - 1) as usize / SQUARE {
                    let square = known.square(row * SQUARE, column * SQUARE);
                    known.of_square[square].push(number);
                }
            }
        }
        known.objects = objects;
        let spec = ModelSpec {
            model_id: "oracle".to_string(),
            model_type: ModelType::Sam2,
            checkpoint_path: "oracle".into(),
            image_size: SIDE,
            fingerprint: None,
            preprocess: Preprocess::Standard,
            precision: Precision::F32,
        };
        Self { spec, known: Arc::new(known) }
    }
}

impl Segmenter for Oracle {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        let features = |image: &ModelImage| {
            // Whole numbers of 24 bits are exact.
            let number = image.rgb()[..3].iter().fold(0.0, |number, byte| number * 256.0 + f32::from(*byte));
            Ok(EncodedImageFeatures {
                model_type: ModelType::Sam2,
                checkpoint_path: "oracle".to_string(),
                src_shape: image.shape(),
                dst_shape: Shape::square(SIDE),
                payload: FeaturePayload::Sam(FeatureTensor::new(vec![1], vec![number])?),
            })
        };
        images.iter().map(features).collect()
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        let first = features.payload.embedding().values()[0] as usize;
        let (row, column) = (first / self.known.shape.width, first % self.known.shape.width);
        let chip = Window::new(column as i64, row as i64, features.src_shape);
        Ok(Box::new(Session { chip, known: self.known.clone() }))
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

#[derive(Debug)]
struct Session {
    chip: Window,
    known: Arc<Known>,
}

impl Session {
    /// A number from 0 to 1 that is another one for every chip and `key`.
    fn chance(&self, key: usize) -> f64 {
        let mut z = (self.chip.row as u64) << 44 ^ (self.chip.column as u64) << 24 ^ key as u64;
        // SplitMix64.
        z = z.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }

    /// What the chip shows of an object: cells that are covered by more than a share of their own.
    fn mask(&self, object: usize) -> Vec<bool> {
        let Shape { height, width } = self.chip.shape;
        let mut mask = vec![false; height * width];
        for (top, left) in
            (0..height).step_by(CELL).flat_map(|top| (0..width).step_by(CELL).map(move |left| (top, left)))
        {
            let (bottom, right) = ((top + CELL).min(height), (left + CELL).min(width));
            let pixels = || (top..bottom).flat_map(|row| (left..right).map(move |column| (row, column)));
            let has = |(row, column): &(usize, usize)| {
                self.known.has(object, self.chip.row + *row as i64, self.chip.column + *column as i64)
            };
            let share = pixels().filter(has).count() as f64 / pixels().count() as f64;
            if share > 0.2 + 0.6 * self.chance(object << 20 | top << 10 | left) {
                pixels().for_each(|(row, column)| mask[row * width + column] = true);
            }
        }
        mask
    }
}

impl PromptSession for Session {
    fn size_in_bytes(&self) -> usize {
        0
    }

    fn stability(&self, prediction: &Prediction, mask: usize, offset: f32) -> f32 {
        logits_stability(prediction, mask, offset)
    }

    /// The three smallest objects under the point, the smallest again where there are fewer.
    fn predict(&self, prompts: &[PixelPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        let count = if options.multimask { 3 } else { 1 };
        let answer = |prompt: &PixelPrompt| {
            let point = prompt.points.first().ok_or_else(|| Error::invalid_argument("prompt", "a point", "none"))?;
            let (row, column) = (self.chip.row + point.row as i64, self.chip.column + point.column as i64);
            let near = &self.known.of_square[self.known.square(row as usize, column as usize)];
            let under: Vec<_> = near.iter().copied().filter(|object| self.known.has(*object, row, column)).collect();
            let (mut pixels, mut scores, mut logits) = (Vec::new(), Vec::new(), Vec::new());
            for number in 0..count {
                let key = (row as usize) << 20 | (column as usize) << 4 | number;
                match under.get(number) {
                    Some(object) if self.chance(key) > UNSURE => {
                        pixels.extend(self.mask(*object));
                        scores.push(0.82 + 0.15 * self.chance(key + 8) as f32);
                    }
                    _ => {
                        pixels.resize(pixels.len() + self.chip.shape.area(), false);
                        scores.push(0.0);
                    }
                }
                logits.push(5.0);
            }
            Ok(Prediction {
                masks: Masks::new(self.chip.shape, pixels)?,
                scores,
                low_res: LowResLogits { shape: Shape::square(1), values: logits },
            })
        };
        prompts.iter().map(answer).collect()
    }
}
