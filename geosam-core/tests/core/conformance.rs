//! The implementations of this crate keep their contracts, and the functions that check it can fail.

use geosam_core::{
    Affine, CancelFlag, ChipSource, Crs, EncodedImageFeatures, Error, FeaturePayload, FeatureTensor, GeoGrid,
    LowResLogits, Masks, MemoryFeatureStore, MemoryRaster, ModelImage, ModelSpec, ModelType, NoProgress, PixelPrompt,
    Pixels, Precision, PredictOptions, Prediction, Preprocess, Progress, PromptSession, RasterSample, Result,
    SameCrsOnly, Segmenter, Shape, ValueRange, ValueRangeChoice, Window, WorldPoint, conformance, encode_and_open,
    logits_stability,
};

fn raster(pixels: Pixels) -> MemoryRaster {
    let grid = GeoGrid::new(Affine::from_origin(500_000.0, 4e6, 10.0, 10.0), Shape::new(4, 5), Crs::new("EPSG:32618"))
        .unwrap();
    MemoryRaster::new(pixels, grid).unwrap()
}

#[test]
fn memory_rasters() {
    conformance::chip_source(&raster(Pixels::U8((0..60).collect())));
    conformance::chip_source(&raster(Pixels::I16((0..40).map(|i| i * 100 - 2000).collect())).with_nodata(0.0));
    let valid = (0..20).map(|i| i % 3 != 0).collect();
    let floats = (0..20u8).map(|i| if i == 7 { f32::NAN } else { f32::from(i) }).collect();
    conformance::chip_source(&raster(Pixels::F32(floats)).with_nodata(f64::NAN).with_valid(valid).unwrap());
}

#[test]
fn crs_names_alone() {
    let crs = Crs::new("EPSG:32618");
    conformance::crs_transform(&SameCrsOnly, &crs, &crs, &[WorldPoint::new(500_000.0, 4e6), WorldPoint::new(0.1, 0.2)]);
}

#[test]
fn progress() {
    conformance::progress(&NoProgress);
    let flag = CancelFlag::new();
    conformance::progress(&flag);
    flag.cancel();
    conformance::progress(&flag);
    let log = conformance::ProgressLog::canceling_at(50.0);
    conformance::progress(&log);
    assert!(log.is_canceled());
    log.assert_finished();
    assert_eq!(log.messages().len(), 6);
}

#[test]
fn feature_stores() {
    for model_type in [ModelType::Sam, ModelType::Sam2] {
        conformance::feature_store(&MemoryFeatureStore::new(), &spec(model_type));
    }
}

fn spec(model_type: ModelType) -> ModelSpec {
    ModelSpec {
        model_id: "mean-colour".to_string(),
        model_type,
        checkpoint_path: "/models/mean-colour.pt".into(),
        image_size: 64,
        fingerprint: None,
        preprocess: Preprocess::Standard,
        precision: Precision::F32,
    }
}

/// A model that finds what has the colour under the first point, or in the middle of the box.
#[derive(Debug)]
struct SameColour {
    spec: ModelSpec,
    /// Misbehave: let what else is encoded leak into the features.
    leaks: bool,
}

impl Segmenter for SameColour {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        let leak = if self.leaks { images.len() as f32 } else { 0.0 };
        let features = |image: &ModelImage| {
            let shape = vec![1, 3, image.shape().height, image.shape().width];
            let values = (0..3).flat_map(|band| image.rgb().iter().skip(band).step_by(3)).map(|v| f32::from(*v) + leak);
            Ok(EncodedImageFeatures {
                model_type: self.spec.model_type,
                checkpoint_path: self.spec.reference_checkpoint_path().display().to_string(),
                src_shape: image.shape(),
                dst_shape: Shape::square(self.spec.image_size),
                payload: FeaturePayload::Sam(FeatureTensor::new(shape, values.collect())?),
            })
        };
        images.iter().map(features).collect()
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        let FeaturePayload::Sam(tensor) = &features.payload else {
            return Err(Error::ModelMismatch { expected: "sam".into(), found: "others".into() });
        };
        if features.model_type != self.spec.model_type {
            let (expected, found) = (self.spec.model_type.to_string(), features.model_type.to_string());
            return Err(Error::ModelMismatch { expected, found });
        }
        let shape = features.src_shape;
        if tensor.shape() != [1, 3, shape.height, shape.width] {
            return Err(Error::invalid_argument("features", "three bands", format!("{:?}", tensor.shape())));
        }
        Ok(Box::new(Session { shape, values: tensor.values().to_vec() }))
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

#[derive(Debug)]
struct Session {
    shape: Shape,
    values: Vec<f32>,
}

impl PromptSession for Session {
    fn size_in_bytes(&self) -> usize {
        size_of_val(&self.values[..])
    }

    fn stability(&self, prediction: &Prediction, mask: usize, offset: f32) -> f32 {
        logits_stability(prediction, mask, offset)
    }

    fn predict(&self, prompts: &[PixelPrompt], options: PredictOptions) -> Result<Vec<Prediction>> {
        prompts.iter().map(|prompt| self.answer(prompt, if options.multimask { 3 } else { 1 })).collect()
    }
}

impl Session {
    fn answer(&self, prompt: &PixelPrompt, masks: usize) -> Result<Prediction> {
        let Shape { height, width } = self.shape;
        let in_box = prompt.bbox.map(|b| ((b.left + b.right) / 2.0, (b.top + b.bottom) / 2.0));
        let at = prompt.points.first().map(|p| (p.column, p.row)).or(in_box);
        let (Some((column, row)), true) = (at, prompt.points.len() == prompt.labels.len()) else {
            return Err(Error::invalid_argument("prompt", "points with labels, or a box", "neither"));
        };
        if column > 2.0 * width as f64 || row > 2.0 * height as f64 {
            return Err(Error::invalid_argument("point", "a point on the chip", format!("{column}, {row}")));
        }
        let (column, row) = ((column as usize).min(width - 1), (row as usize).min(height - 1));
        let wanted = self.values[row * width + column];
        let logits: Vec<f32> = (0..masks)
            .flat_map(|mask| {
                let margin = 10.0 * (mask + 1) as f32;
                self.values[..height * width].iter().map(move |v| margin - (v - wanted).abs())
            })
            .collect();
        Ok(Prediction {
            masks: Masks::new(self.shape, logits.iter().map(|v| *v > 0.0).collect())?,
            scores: vec![0.5; masks],
            low_res: LowResLogits { shape: self.shape, values: logits },
        })
    }
}

#[test]
fn segmenters() {
    conformance::segmenter(&SameColour { spec: spec(ModelType::Sam), leaks: false });
}

#[test]
#[should_panic(expected = "features do not depend on the batch")]
fn a_leaking_segmenter_is_found_out() {
    conformance::segmenter(&SameColour { spec: spec(ModelType::Sam), leaks: true });
}

/// A source that forgets to say what lies past its edge.
#[derive(Debug)]
struct Careless(MemoryRaster);

impl ChipSource for Careless {
    fn grid(&self) -> &GeoGrid {
        self.0.grid()
    }

    fn source_path(&self) -> &str {
        self.0.source_path()
    }

    fn bands(&self) -> &[usize] {
        self.0.bands()
    }

    fn read(&self, window: Window) -> Result<RasterSample> {
        Ok(RasterSample { valid: None, ..self.0.read(window)? })
    }

    fn value_range(&self, choice: ValueRangeChoice, extent: Window, progress: &dyn Progress) -> Result<ValueRange> {
        self.0.value_range(choice, extent, progress)
    }
}

#[test]
#[should_panic(expected = "says which of its pixels hold data")]
fn a_careless_source_is_found_out() {
    conformance::chip_source(&Careless(raster(Pixels::U8((0..20).collect()))));
}
