//! Features decode at the size they were encoded at.

use geosam_core::{
    Affine, ChipRecord, EncodedImageFeatures, Error, FeaturePayload, FeatureTensor, GeoGrid, ModelType, Shape,
};

/// Features whose embedding has `rows` × `rows` places, recorded as made from an input of `dst` × `dst`.
fn features(model_type: ModelType, rows: usize, dst: usize) -> EncodedImageFeatures {
    let map = |channels: usize, side: usize| {
        FeatureTensor::new(vec![1, channels, side, side], vec![0.0; channels * side * side]).unwrap()
    };
    let payload = match model_type {
        ModelType::Sam => FeaturePayload::Sam(map(4, rows)),
        ModelType::Sam2 | ModelType::Sam3 => {
            FeaturePayload::Sam2 { image_embed: map(4, rows), high_res_feats: vec![map(1, 4 * rows), map(2, 2 * rows)] }
        }
    };
    EncodedImageFeatures {
        model_type,
        checkpoint_path: format!("/models/{model_type}.pt"),
        src_shape: Shape::new(700, 1008),
        dst_shape: Shape::square(dst),
        payload,
    }
}

fn record(model_type: ModelType, dst: usize) -> ChipRecord {
    let shape = Shape::square(1024);
    ChipRecord {
        chip_id: "chip_000000".to_string(),
        grid: GeoGrid::new(Affine::from_origin(0.0, 0.0, 1.0, 1.0), shape, "EPSG:32618".into()).unwrap(),
        dst_shape: Shape::square(dst),
        source_path: "harbour.tif".to_string(),
        model_type,
        checkpoint_path: "/models/sam3.pt".to_string(),
        fingerprint: None,
    }
}

#[test]
fn features_at_the_size_of_their_model_pass() {
    for model_type in [ModelType::Sam, ModelType::Sam2, ModelType::Sam3] {
        let (size, patch) = (model_type.image_size(), model_type.patch_size());
        features(model_type, size / patch, size).check_encode_size(size).unwrap();
        record(model_type, size).check_encode_size(size).unwrap();
        // A model of another size than the published ones.
        features(model_type, 4, 4 * patch).check_encode_size(4 * patch).unwrap();
    }
}

#[test]
fn sam_3_features_of_python_geosam_at_1036_are_refused_with_reason_and_remedy() {
    let expected = "invalid features: expected sam3 features encoded at 1008×1008, found ones encoded at 1036×1036 and \
                    recorded as 1024×1024, as Python geosam does by default, so that every click would land 1.2 % too near \
                    the top left; encode again with image size 1008 (imgsz=1008 in Python geosam), or with `geosam encode`";
    let of_features = features(ModelType::Sam3, 74, 1024).check_encode_size(1008).unwrap_err();
    assert!(matches!(of_features, Error::InvalidArgument { .. }));
    assert_eq!(of_features.to_string(), expected);
    let of_record = record(ModelType::Sam3, 1024).check_encode_size(1008).unwrap_err();
    assert_eq!(of_record.to_string(), expected);
}

#[test]
fn other_sizes_are_refused_without_a_guess_at_who_made_them() {
    let message = |error: geosam_core::Result<()>| error.unwrap_err().to_string();
    let honest = message(features(ModelType::Sam3, 74, 1036).check_encode_size(1008));
    assert!(honest.contains("found ones encoded at 1036×1036; encode again"), "{honest}");
    let sam = message(features(ModelType::Sam, 32, 512).check_encode_size(1024));
    assert!(sam.contains("expected sam features encoded at 1024×1024, found ones encoded at 512×512;"), "{sam}");
    let mislabelled = message(features(ModelType::Sam2, 32, 1024).check_encode_size(1024));
    assert!(mislabelled.contains("found ones encoded at 512×512 and recorded as 1024×1024;"), "{mislabelled}");
    assert!(!mislabelled.contains("as Python geosam does"), "{mislabelled}");
    // Sizes that overflow when they are rounded up.
    assert!(record(ModelType::Sam3, usize::MAX).check_encode_size(1008).is_err());
}

#[test]
fn the_size_of_features_is_known_without_a_model() {
    let mib = |model_type: ModelType| model_type.feature_bytes() as f64 / f64::from(1 << 20);
    assert_eq!([ModelType::Sam, ModelType::Sam2, ModelType::Sam3].map(mib), [4.0, 16.0, 20.25]);
}
