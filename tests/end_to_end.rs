//! From a raster file to polygons, through both engines, every output format, and a folder that moved.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use geosam::{
    BoundingBox, ChipRecord, ChipSource, Crs, CrsTransform, Error, ExistingFolder, FeatureCacheBuilder,
    FeatureCacheConfig, FeatureFolder, FeatureStore, FolderOptions, ImageEncoderConfig, MaskFormat, ModelImage,
    ModelOptions, ModelType, NoProgress, OnlineQueryCache, OnlineQueryOptions, Osr, OverlayStyle,
    PerceptionEncoderConfig, PixelPoint, Points, PredictOptions, PromptSet, RasterDataset, RasterInfo, RasterOptions,
    Sam, SamConfig, Segmenter, Shape, Tiling, ValueRange, VectorizeOptions, Window, WorldPoint, load_model,
    open_folder, query_raster, write_logits, write_mask, write_overlay, write_random_checkpoint, write_raster,
    write_vector,
};
use tempfile::TempDir;

#[path = "../examples/shared/scene/mod.rs"]
pub(crate) mod scene;
use scene::Scene;

/// A raster of 300 × 400 pixels, encoded with a small model: the smallest SAM has chips of 128 pixels.
struct Encoded {
    folder: TempDir,
    raster: Arc<RasterDataset>,
    model: Arc<Sam>,
    features: PathBuf,
}

impl Encoded {
    fn new() -> Self {
        Self::with(&SamConfig::small())
    }

    fn with(config: &SamConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scene.tif");
        let scene = Scene::draw(Shape::new(300, 400), 1).unwrap();
        write_raster(&path, &scene.grid, &scene.pixels, Scene::BANDS, Some(0.0)).unwrap();
        let raster = Arc::new(RasterDataset::open(path.to_str().unwrap(), &RasterOptions::default()).unwrap());
        let model = Arc::new(Sam::random(config, 0, &ModelOptions::default()).unwrap());
        let features = folder.path().join("features");
        let encoded = Self { folder, raster, model, features };
        encoded.build(ExistingFolder::Resume).unwrap();
        encoded
    }

    fn build(&self, existing: ExistingFolder) -> geosam::Result<geosam::BuildReport> {
        let config = FeatureCacheConfig { existing, ..FeatureCacheConfig::default() };
        FeatureCacheBuilder::new(self.raster.clone(), self.model.clone(), Arc::new(Osr), &self.features, config)
            .build(&NoProgress)
    }

    /// A click in the middle of the raster.
    fn click(&self) -> PromptSet {
        let grid = self.raster.grid();
        Points::foreground(vec![grid.bounds().center()], grid.crs.clone()).unwrap().into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn chips_have_the_size_of_the_model_in_the_folder_and_in_both_engines() {
    for (config, model_type, side) in [
        (SamConfig::small(), ModelType::Sam, 128),
        (SamConfig::small_sam2(), ModelType::Sam2, 128),
        (SamConfig::small_sam3(), ModelType::Sam3, 126),
    ] {
        let encoded = Encoded::with(&config);
        let store = FeatureFolder::open(&encoded.features).unwrap();
        let settings = store.settings().unwrap();
        assert_eq!((settings.model_type, settings.chip), (model_type, Shape::square(side)));
        assert_eq!(settings.stride, Tiling::HalfOverlap.stride(Shape::square(side)));
        for chip in store.chips().unwrap() {
            assert_eq!((chip.grid.shape, chip.dst_shape), (Shape::square(side), Shape::square(side)), "{model_type}");
        }
        let engine = open_folder(&encoded.features, encoded.model.clone()).unwrap();
        let result = engine.query(&encoded.click(), PredictOptions { multimask: true }).unwrap();
        assert_eq!((result.model_type, result.masks.shape()), (model_type, Shape::square(side)));
        assert_eq!((result.masks.len(), result.scores.len()), (3, 3));
        let live = query_raster(encoded.raster.clone(), encoded.model.clone(), OnlineQueryOptions::default()).unwrap();
        let live = live.query(&encoded.click(), PredictOptions::default(), &mut OnlineQueryCache::new()).unwrap();
        assert_eq!(live.masks.shape(), Shape::square(side));
    }
}

/// Python geosam's defect in small: the encoder runs at the next whole number of patches, 140, and records 128.
#[test]
fn features_of_sam_3_at_another_size_are_refused_wherever_they_are() {
    let encoded = Encoded::with(&SamConfig::small_sam3());
    let larger = SamConfig {
        image_encoder: match SamConfig::small_sam3().image_encoder {
            ImageEncoderConfig::Perception(config) => {
                ImageEncoderConfig::Perception(PerceptionEncoderConfig { image_size: 140, ..config })
            }
            _ => unreachable!("SAM 3's encoder is the Perception Encoder"),
        },
    };
    let larger = Sam::random(&larger, 0, &ModelOptions::default()).unwrap();
    let chip = ModelImage::new(Shape::square(128), vec![90; 3 * 128 * 128]).unwrap();
    let mut features = larger.encode(&[chip]).unwrap().remove(0);
    features.checkpoint_path = encoded.model.spec().reference_checkpoint_path().to_string_lossy().into_owned();
    features.dst_shape = Shape::square(128);
    let refused = encoded.model.open(&features).unwrap_err();
    assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains("encoded at 140×140 and recorded as 128×128, as Python geosam does"), "{refused}");
    assert!(refused.contains("encode again with image size 126 (imgsz=126 in Python geosam)"), "{refused}");

    let path = encoded.path("python");
    let record = ChipRecord {
        chip_id: "chip_000000".to_string(),
        grid: encoded.raster.grid().window(Window::whole(features.src_shape)).unwrap(),
        dst_shape: features.dst_shape,
        source_path: encoded.raster.source_path().to_string(),
        model_type: features.model_type,
        checkpoint_path: features.checkpoint_path.clone(),
        fingerprint: None,
    };
    let folder = FeatureFolder::create(&path, Arc::new(Osr), FolderOptions::default()).unwrap();
    folder.put(&record, &features).unwrap();
    folder.commit().unwrap();
    drop(folder);
    let refused = open_folder(&path, encoded.model.clone()).unwrap_err();
    assert!(matches!(refused, Error::InvalidFile { .. }), "{refused}");
    assert!(refused.to_string().contains("as Python geosam does by default"), "{refused}");
}

#[test]
fn a_folder_answers_after_it_was_moved() {
    let encoded = Encoded::new();
    let before = open_folder(&encoded.features, encoded.model.clone()).unwrap();
    let before = before.query(&encoded.click(), PredictOptions::default()).unwrap();
    let elsewhere = encoded.path("moved/deeper");
    std::fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
    std::fs::rename(&encoded.features, &elsewhere).unwrap();
    let after = open_folder(&elsewhere, encoded.model.clone()).unwrap();
    assert_eq!(after.query(&encoded.click(), PredictOptions::default()).unwrap(), before);
}

#[test]
fn both_engines_agree_on_the_same_chip() {
    let encoded = Encoded::new();
    let folder = open_folder(&encoded.features, encoded.model.clone()).unwrap();
    let from_folder = folder.query(&encoded.click(), PredictOptions { multimask: true }).unwrap();
    // The live engine centres its chip on the prompt; ask for the centre of the folder's chip to get the same one.
    let center = from_folder.chip_bounds.center();
    let click: PromptSet = Points::foreground(vec![center], from_folder.grid.crs.clone()).unwrap().into();
    let from_folder = folder.query(&click, PredictOptions { multimask: true }).unwrap();
    let live = query_raster(encoded.raster.clone(), encoded.model.clone(), OnlineQueryOptions::default()).unwrap();
    let live = live.query(&click, PredictOptions { multimask: true }, &mut OnlineQueryCache::new()).unwrap();
    assert_eq!(live.grid, from_folder.grid);
    assert_eq!(live.scores, from_folder.scores);
    assert_eq!(live.masks, from_folder.masks);
    assert_eq!(live.low_res, from_folder.low_res);
}

#[test]
fn a_folder_of_chips_side_by_side_answers_everywhere() {
    let encoded = Encoded::new();
    let features = encoded.path("side-by-side");
    let config = FeatureCacheConfig { tiling: Tiling::NonOverlapping, ..FeatureCacheConfig::default() };
    let raster = encoded.raster.clone();
    let report = FeatureCacheBuilder::new(raster, encoded.model.clone(), Arc::new(Osr), &features, config)
        .build(&NoProgress)
        .unwrap();
    // 300 × 400 pixels in chips of 128: three rows of four.
    assert_eq!((report.chips, report.written), (12, 12));

    let engine = open_folder(&features, encoded.model.clone()).unwrap();
    let grid = encoded.raster.grid();
    let click = |column: f64, row: f64| -> PromptSet {
        let at = grid.to_world(PixelPoint::new(column, row));
        Points::foreground(vec![at], grid.crs.clone()).unwrap().into()
    };
    // Corners, seams between chips, and where the last row and column were moved inwards.
    for (column, row, chip) in
        [(0.0, 0.0, 0), (399.9, 299.9, 11), (127.9, 60.0, 0), (128.1, 60.0, 1), (300.0, 250.0, 10)]
    {
        let result = engine.query(&click(column, row), PredictOptions::default()).unwrap();
        assert_eq!(result.chip_id, Some(format!("chip_{chip:06}")), "column {column}, row {row}");
        assert_eq!(result.masks.shape(), Shape::square(128));
    }
    let across_a_seam = grid.window(Window::new(100, 40, Shape::square(60))).unwrap().bounds();
    let error = engine.query(&across_a_seam.into(), PredictOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NotCovered { .. }), "{error}");
}

#[test]
fn a_prompt_in_degrees_is_the_same_prompt() {
    let encoded = Encoded::new();
    let engine = open_folder(&encoded.features, encoded.model.clone()).unwrap();
    let here = engine.query(&encoded.click(), PredictOptions::default()).unwrap();
    let in_degrees = encoded.click().to_crs(&Crs::wgs84(), &Osr).unwrap();
    let there = engine.query(&in_degrees, PredictOptions::default()).unwrap();
    assert_eq!(there.chip_id, here.chip_id);
    assert_eq!(there.masks, here.masks);
}

#[test]
fn every_output_format_is_written_and_read_back() {
    let encoded = Encoded::new();
    let engine = open_folder(&encoded.features, encoded.model.clone()).unwrap();
    let result = engine.query(&encoded.click(), PredictOptions { multimask: true }).unwrap();
    let polygons = result.features(&VectorizeOptions { simplify_tolerance: 0.5, ..Default::default() }).unwrap();
    assert!(!polygons.features.is_empty());
    for extension in ["geojson", "gpkg", "fgb", "shp"] {
        let path = encoded.path("objects").with_extension(extension);
        write_vector(&path, &polygons).unwrap();
        // Polygons read back as box prompts: as many as were written, each on the chip.
        let read = geosam::read_prompts(&path, &Default::default()).unwrap();
        assert_eq!(read.len(), polygons.features.len(), "{extension}");
        // GeoJSON is in degrees, in which a box is larger than in metres; its centre stays where it was.
        for prompt in read {
            let there = prompt.prompt.to_crs(&result.grid.crs, &Osr).unwrap().bounds().center();
            assert!(result.chip_bounds.contains_point(there), "{extension}: {there:?}");
        }
    }

    let mask = encoded.path("mask.tif");
    write_mask(&mask, &result.masks, &result.grid, MaskFormat::Cog).unwrap();
    let read = RasterDataset::open(mask.to_str().unwrap(), &RasterOptions::default()).unwrap();
    assert_eq!(*read.grid(), result.grid);
    let values = read.read(Window::whole(result.grid.shape)).unwrap().pixels;
    let expected: Vec<u8> = result.masks.values().iter().map(|on| u8::from(*on)).collect();
    assert_eq!(values, geosam::Pixels::U8(expected));

    let image = encoded.raster.read(encoded.raster.grid().window_of(&result.chip_bounds).unwrap()).unwrap();
    let image = image.to_model_image(&ValueRange::PerChip).unwrap();
    let prompt = result.grid.to_pixel_prompt(&encoded.click(), &Osr).unwrap();
    let picture = encoded.path("mask.png");
    write_overlay(&picture, &image, &result.masks, &[prompt], &OverlayStyle::default()).unwrap();
    assert_eq!(RasterInfo::read(picture.to_str().unwrap()).unwrap().shape, result.grid.shape);

    let logits = encoded.path("logits.safetensors");
    write_logits(&logits, &[&result]).unwrap();
    let bytes = std::fs::read(&logits).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("scores").unwrap().shape(), [3]);
    assert_eq!(tensors.tensor("masks").unwrap().shape(), [3, 128, 128]);
    assert_eq!(tensors.tensor("low_res").unwrap().shape(), [3, 32, 32]);
}

#[test]
fn a_checkpoint_file_gives_the_same_answers_as_its_weights() {
    let encoded = Encoded::new();
    let path = encoded.path("small.pt");
    write_random_checkpoint(&path, &SamConfig::small(), 0).unwrap();
    let loaded = Arc::new(load_model(&path, &ModelOptions::default()).unwrap());
    let answer = |model: Arc<Sam>| {
        let engine = query_raster(encoded.raster.clone(), model, OnlineQueryOptions::default()).unwrap();
        engine.query(&encoded.click(), PredictOptions::default(), &mut OnlineQueryCache::new()).unwrap()
    };
    let (ours, theirs) = (answer(encoded.model.clone()), answer(loaded));
    assert_eq!(ours.low_res, theirs.low_res);
    assert_eq!(ours.masks, theirs.masks);
}

#[test]
fn features_of_another_model_are_refused() {
    let encoded = Encoded::new();
    let other = Arc::new(Sam::random(&SamConfig::small(), 1, &ModelOptions::default()).unwrap());
    let error = open_folder(&encoded.features, other).unwrap_err();
    assert!(matches!(error, Error::ModelMismatch { .. }), "{error}");
}

#[test]
fn a_second_run_has_nothing_to_do_and_another_raster_is_refused() {
    let encoded = Encoded::new();
    let again = encoded.build(ExistingFolder::Resume).unwrap();
    assert_eq!((again.written, again.resumed), (0, again.chips));

    let other = encoded.path("other.tif");
    let scene = Scene::draw(Shape::new(200, 200), 2).unwrap();
    write_raster(&other, &scene.grid, &scene.pixels, Scene::BANDS, None).unwrap();
    let raster = Arc::new(RasterDataset::open(other.to_str().unwrap(), &RasterOptions::default()).unwrap());
    let builder = FeatureCacheBuilder::new(
        raster,
        encoded.model.clone(),
        Arc::new(Osr),
        &encoded.features,
        FeatureCacheConfig::default(),
    );
    let error = builder.build(&NoProgress).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
    assert!(open_folder(&encoded.features, encoded.model.clone()).is_ok(), "the folder is as it was");
}

#[test]
fn prompts_without_an_answer_say_why() {
    let encoded = Encoded::new();
    let engine = open_folder(&encoded.features, encoded.model.clone()).unwrap();
    let crs = encoded.raster.grid().crs.clone();
    let ask = |prompt: PromptSet| engine.query(&prompt, PredictOptions::default()).unwrap_err();

    let nowhere = Points::foreground(vec![WorldPoint::new(0.0, 0.0)], crs.clone()).unwrap();
    assert!(matches!(ask(nowhere.into()), Error::NotCovered { .. }));
    let without_crs = Points::foreground(vec![WorldPoint::new(0.0, 0.0)], None).unwrap();
    assert!(matches!(ask(without_crs.into()), Error::MissingCrs { .. }));
    let b = encoded.raster.grid().bounds();
    let larger_than_a_chip = BoundingBox::new(b.left, b.bottom, b.right, b.top, crs).unwrap();
    assert!(matches!(ask(larger_than_a_chip.into()), Error::NotCovered { .. }));
}

#[test]
fn the_extent_may_be_in_any_crs() {
    let encoded = Encoded::new();
    let grid = encoded.raster.grid();
    let (west, _) = grid.bounds().split_at_x(0.4).unwrap();
    let in_degrees = Osr.transform_bounds(&west, &Crs::wgs84()).unwrap();
    let window = encoded.raster.window_of(&in_degrees).unwrap();
    // 40 % of 400 columns, and what the meridians lean over 300 rows (0.9° here, five columns).
    assert!((160..=166).contains(&window.shape.width), "{window}");
    assert_eq!(window.shape.height, 300);
    let far = BoundingBox::new(100.0, 0.0, 101.0, 1.0, Crs::wgs84()).unwrap();
    assert!(matches!(encoded.raster.window_of(&far), Err(Error::OutOfBounds { .. })));
}

#[test]
fn a_raster_that_is_not_there_is_named() {
    let error = RasterDataset::open("/no/such/raster.tif", &RasterOptions::default()).unwrap_err();
    assert!(error.to_string().contains("/no/such/raster.tif"), "{error}");
    assert!(!Path::new("/no/such").exists());
}
