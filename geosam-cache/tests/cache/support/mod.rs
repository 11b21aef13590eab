//! A raster, a model and a listener that tests can steer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use geosam_cache::{FeatureCacheBuilder, FeatureCacheConfig};
use geosam_core::{
    Affine, ChipRecord, ChipSource, EncodedImageFeatures, Error, FeaturePayload, FeatureTensor, GeoGrid, ModelImage,
    ModelSpec, ModelType, Pixels, Precision, Preprocess, Progress, PromptSession, RasterSample, Result, SameCrsOnly,
    Segmenter, Shape, ValueRange, ValueRangeChoice, Window, encode_and_open,
};

/// Side of the fake model's input.
pub(crate) const IMAGE_SIZE: usize = 8;

/// A raster of bytes that are its column numbers, without data left of `no_data_before`.
#[derive(Debug)]
pub(crate) struct FakeRaster {
    pub(crate) grid: GeoGrid,
    pub(crate) source_path: String,
    pub(crate) no_data_before: i64,
    pub(crate) resampling: Option<&'static str>,
    /// The read with this number fails.
    pub(crate) fail_at: Option<usize>,
    pub(crate) reads: AtomicUsize,
    /// How often a value range was settled.
    pub(crate) ranges: AtomicUsize,
}

impl FakeRaster {
    /// Half-metre pixels in EPSG:32618.
    pub(crate) fn new(height: usize, width: usize) -> Self {
        let transform = Affine::from_origin(500_000.0, 4_200_000.0, 0.5, 0.5);
        Self {
            grid: GeoGrid::new(transform, Shape::new(height, width), "EPSG:32618".into()).unwrap(),
            source_path: "harbour.tif".to_string(),
            no_data_before: 0,
            resampling: None,
            fail_at: None,
            reads: AtomicUsize::new(0),
            ranges: AtomicUsize::new(0),
        }
    }
}

impl ChipSource for FakeRaster {
    fn grid(&self) -> &GeoGrid {
        &self.grid
    }

    fn source_path(&self) -> &str {
        &self.source_path
    }

    fn bands(&self) -> &[usize] {
        &[1]
    }

    fn resampling(&self) -> Option<&str> {
        self.resampling
    }

    fn read(&self, window: Window) -> Result<RasterSample> {
        let number = self.reads.fetch_add(1, Ordering::SeqCst);
        if self.fail_at == Some(number) {
            return Err(Error::Dataset {
                operation: "read",
                dataset: self.source_path.clone(),
                reason: "the file is truncated".to_string(),
                source: None,
            });
        }
        let columns = || (0..window.shape.area()).map(|i| window.column + (i % window.shape.width) as i64);
        Ok(RasterSample {
            pixels: Pixels::U8(columns().map(|column| column as u8).collect()),
            bands: 1,
            grid: self.grid.window(window)?,
            valid: Some(columns().map(|column| column >= self.no_data_before).collect()),
            source_path: self.source_path.clone(),
        })
    }

    fn value_range(&self, choice: ValueRangeChoice, _extent: Window, _progress: &dyn Progress) -> Result<ValueRange> {
        self.ranges.fetch_add(1, Ordering::SeqCst);
        Ok(if choice == ValueRangeChoice::PerChip { ValueRange::PerChip } else { ValueRange::AsIs })
    }
}

/// A model whose features are the first eight bytes of the chip.
#[derive(Debug)]
pub(crate) struct FakeModel {
    pub(crate) spec: ModelSpec,
    /// Encoding the chip with this number fails.
    pub(crate) fail_at: Option<usize>,
    pub(crate) encoded: AtomicUsize,
}

impl FakeModel {
    pub(crate) fn new() -> Self {
        let spec = ModelSpec {
            model_id: "sam_b".to_string(),
            model_type: ModelType::Sam,
            checkpoint_path: "/models/sam_vit_b_01ec64.pth".into(),
            image_size: IMAGE_SIZE,
            fingerprint: Some("f00d".to_string()),
            preprocess: Preprocess::Standard,
            precision: Precision::F32,
        };
        Self { spec, fail_at: None, encoded: AtomicUsize::new(0) }
    }
}

impl Segmenter for FakeModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn encode(&self, images: &[ModelImage]) -> Result<Vec<EncodedImageFeatures>> {
        let encode = |image: &ModelImage| {
            if self.fail_at == Some(self.encoded.fetch_add(1, Ordering::SeqCst)) {
                return Err(Error::Unsupported { what: "this chip".to_string(), reason: "a test says so".to_string() });
            }
            let dst_shape = Shape::square(self.spec.image_size);
            Ok(EncodedImageFeatures { dst_shape, ..features(image.shape(), &image.rgb()[..8]) })
        };
        images.iter().map(encode).collect()
    }

    fn batch(&self) -> usize {
        1
    }

    fn open(&self, _features: &EncodedImageFeatures) -> Result<Box<dyn PromptSession>> {
        unimplemented!("the cache never prompts")
    }

    fn open_image(&self, image: &ModelImage) -> Result<Box<dyn PromptSession>> {
        encode_and_open(self, image)
    }
}

/// Features of a chip of `shape`, holding eight values.
pub(crate) fn features(shape: Shape, values: &[u8]) -> EncodedImageFeatures {
    let values = values.iter().map(|v| f32::from(*v)).collect();
    EncodedImageFeatures {
        model_type: ModelType::Sam,
        checkpoint_path: "/models/sam_b.pt".to_string(),
        src_shape: shape,
        dst_shape: Shape::square(IMAGE_SIZE),
        payload: FeaturePayload::Sam(FeatureTensor::new(vec![1, 2, 2, 2], values).unwrap()),
    }
}

/// A chip of four by four pixels that belongs to [`features`] of that shape.
pub(crate) fn record(chip_id: &str) -> ChipRecord {
    ChipRecord {
        chip_id: chip_id.to_string(),
        grid: FakeRaster::new(4, 4).grid,
        dst_shape: Shape::square(IMAGE_SIZE),
        source_path: "harbour.tif".to_string(),
        model_type: ModelType::Sam,
        checkpoint_path: "/models/sam_b.pt".to_string(),
        fingerprint: None,
    }
}

/// A builder with the default config, every part of which a test may replace.
pub(crate) fn builder(raster: FakeRaster, model: FakeModel, folder: &Path) -> FeatureCacheBuilder {
    builder_with(Arc::new(raster), Arc::new(model), folder, FeatureCacheConfig::default())
}

pub(crate) fn builder_with(
    raster: Arc<FakeRaster>,
    model: Arc<FakeModel>,
    folder: &Path,
    config: FeatureCacheConfig,
) -> FeatureCacheBuilder {
    FeatureCacheBuilder::new(raster, model, Arc::new(SameCrsOnly), folder, config)
}

/// Cancels once this many chips have been reported.
#[derive(Debug)]
pub(crate) struct CancelAfter {
    chips: usize,
    seen: AtomicUsize,
}

impl CancelAfter {
    pub(crate) fn new(chips: usize) -> Self {
        Self { chips, seen: AtomicUsize::new(0) }
    }
}

impl Progress for CancelAfter {
    fn set_progress(&self, _percent: f64) {}

    fn push_info(&self, _message: &str) {
        self.seen.fetch_add(1, Ordering::SeqCst);
    }

    fn is_canceled(&self) -> bool {
        self.seen.load(Ordering::SeqCst) >= self.chips
    }
}

/// Names of the files in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
