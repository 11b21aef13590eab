use crate::affine::Affine;
use crate::coordinates::Shape;
use crate::crs::Crs;
use crate::error::Error;
use crate::features::{EncodedImageFeatures, FeaturePayload, FeatureTensor};
use crate::grid::GeoGrid;
use crate::model::{ModelSpec, ModelType};
use crate::store::{ChipRecord, FeatureStore};

/// Assert the contract of [`FeatureStore`] on an empty store for features of `model`. It is left with three chips.
///
/// # Panics
/// Where the store breaks the contract.
pub fn feature_store(store: &dyn FeatureStore, model: &ModelSpec) {
    assert_eq!(store.chips().expect("an empty store lists its chips"), [], "the store under test is empty");
    assert!(matches!(store.get("chip_000000"), Err(Error::InvalidArgument { .. })), "an unknown chip is an error");

    // Out of order, so that the store has to sort.
    let chips: Vec<_> = [2, 0, 1].map(|number| (record(model, number), features(model, number))).into();
    std::thread::scope(|scope| {
        for (record, features) in &chips {
            scope.spawn(|| store.put(record, features).unwrap_or_else(|e| panic!("put {}: {e}", record.chip_id)));
        }
    });
    store.commit().expect("commit");
    let listed = store.chips().expect("chips");
    let names: Vec<_> = listed.iter().map(|chip| chip.chip_id.as_str()).collect();
    assert_eq!(names, ["chip_000000", "chip_000001", "chip_000002"], "chips are listed by their identifiers");
    for (record, features) in &chips {
        let found = listed.iter().find(|chip| chip.chip_id == record.chip_id).expect("listed above");
        assert_eq!(**found, *record, "a record is read back as it was put");
        assert_eq!(store.get(&record.chip_id).expect("a committed chip"), *features, "features are read back");
    }

    let replacement = features(model, 7);
    store.put(&record(model, 1), &replacement).expect("put a chip again");
    store.commit().expect("commit again");
    assert_eq!(store.chips().expect("chips").len(), 3, "a chip that is put again replaces the first");
    assert_eq!(store.get("chip_000001").expect("a committed chip"), replacement, "the later features count");
    assert!(matches!(store.get("chip_000003"), Err(Error::InvalidArgument { .. })), "an unknown chip is an error");
}

fn record(model: &ModelSpec, number: usize) -> ChipRecord {
    let left = 500_000.0 + 512.0 * number as f64;
    ChipRecord {
        chip_id: format!("chip_{number:06}"),
        grid: GeoGrid::new(
            Affine::from_origin(left, 4_000_000.0, 2.0, 2.0),
            Shape::new(300, 512),
            Crs::new("EPSG:32618"),
        )
        .expect("a good grid"),
        dst_shape: Shape::square(model.image_size),
        source_path: "/data/raster.tif".to_string(),
        model_type: model.model_type,
        checkpoint_path: model.reference_checkpoint_path().display().to_string(),
        fingerprint: model.fingerprint.clone(),
    }
}

/// Features of the model's usual shapes whose values `f16` holds exactly, as a store may round to it.
fn features(model: &ModelSpec, seed: usize) -> EncodedImageFeatures {
    let side = model.image_size.div_ceil(model.model_type.patch_size()).max(1);
    let tensor = |channels: usize, side: usize| {
        let value = |i: usize| ((i * 31 + seed * 17) % 257) as f32 / 8.0 - 16.0;
        let shape = vec![1, channels, side, side];
        FeatureTensor::new(shape, (0..channels * side * side).map(value).collect()).expect("a value for each place")
    };
    let payload = match model.model_type {
        ModelType::Sam => FeaturePayload::Sam(tensor(256, side)),
        ModelType::Sam2 | ModelType::Sam3 => FeaturePayload::Sam2 {
            image_embed: tensor(256, side),
            high_res_feats: vec![tensor(32, 4 * side), tensor(64, 2 * side)],
        },
    };
    EncodedImageFeatures {
        model_type: model.model_type,
        checkpoint_path: model.reference_checkpoint_path().display().to_string(),
        src_shape: Shape::new(300, 512),
        dst_shape: Shape::square(model.image_size),
        payload,
    }
}
