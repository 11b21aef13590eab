use crate::coordinates::{PixelBox, PixelPoint, Shape};
use crate::error::Error;
use crate::features::{EncodedImageFeatures, FeaturePayload, FeatureTensor};
use crate::image::ModelImage;
use crate::model::ModelType;
use crate::points::Label;
use crate::segmenter::{PixelPrompt, PredictOptions, Prediction, PromptSession, Segmenter};

/// Largest ‖a − b‖ / ‖b‖ between computations that agree "up to rounding".
const ROUNDING: f64 = 1e-4;

/// Assert the contracts of [`Segmenter`] and of the [`PromptSession`]s it opens. Encodes six images.
///
/// # Panics
/// Where the model breaks the contract.
pub fn segmenter(model: &dyn Segmenter) {
    let images = [image(Shape::new(48, 64), 1), image(Shape::new(80, 40), 2)];
    let both = model.encode(&images).expect("two small images are encoded");
    assert_eq!(both.len(), 2, "one result for each image");
    for (features, image) in both.iter().zip(&images) {
        assert_eq!(features.src_shape, image.shape(), "features know the shape of their image");
        assert_eq!(features.model_type, model.spec().model_type, "features name their model");
    }
    assert!(
        model.encode(&[]).expect("no image is no work").is_empty(),
        "one result for each image, of which there is none"
    );

    let alone = model.encode(&images[1..]).expect("one image is encoded");
    assert_close(&values(&alone[0]), &values(&both[1]), "features do not depend on the batch");
    assert!(distance(&values(&both[0]), &values(&both[1])) > ROUNDING, "different images have different features");
    let again = model.encode(&images).expect("two images are encoded again");
    assert_eq!(again, both, "encoding is deterministic");

    refuses_strangers(model, &both[0]);
    for (features, image) in both.iter().zip(&images) {
        let session = model.open(features).expect("its own features");
        prompt_session(&*session, image.shape());
    }
    assert!(model.batch() > 0, "a batch has images");
    let opened = model.open_image(&images[1]).expect("an image is opened");
    let box_of_all = PixelBox { left: 0.0, top: 0.0, right: 40.0, bottom: 80.0 };
    let prompt = [PixelPrompt { bbox: Some(box_of_all), ..PixelPrompt::default() }];
    let answers = [opened, model.open(&both[1]).expect("its own features")]
        .map(|session| predict(&*session, &prompt, PredictOptions::default()).remove(0).low_res.values);
    assert_close(&answers[0], &answers[1], "opening an image is encoding it and opening its features");
}

fn refuses_strangers(model: &dyn Segmenter, features: &EncodedImageFeatures) {
    let other = match features.model_type {
        ModelType::Sam => ModelType::Sam2,
        ModelType::Sam2 | ModelType::Sam3 => ModelType::Sam,
    };
    let foreign = EncodedImageFeatures { model_type: other, ..features.clone() };
    assert!(matches!(model.open(&foreign), Err(Error::ModelMismatch { .. })), "another model's features are refused");

    let small = || FeatureTensor::new(vec![1, 2, 3, 3], vec![0.0; 18]).expect("a value for each place");
    let payload = match &features.payload {
        FeaturePayload::Sam(_) => FeaturePayload::Sam(small()),
        FeaturePayload::Sam2 { high_res_feats, .. } => {
            FeaturePayload::Sam2 { image_embed: small(), high_res_feats: high_res_feats.clone() }
        }
    };
    let misshapen = EncodedImageFeatures { payload, ..features.clone() };
    assert!(matches!(model.open(&misshapen), Err(Error::InvalidArgument { .. })), "misshapen features are refused");
}

/// Assert the contract of [`PromptSession`] on a session for a chip of `shape`.
///
/// # Panics
/// Where the session breaks the contract.
pub fn prompt_session(session: &dyn PromptSession, shape: Shape) {
    let (height, width) = (shape.height as f64, shape.width as f64);
    let click = PixelPrompt {
        points: vec![PixelPoint::new(width / 2.0, height / 2.0), PixelPoint::new(0.0, height)],
        labels: vec![Label::Foreground, Label::Background],
        ..PixelPrompt::default()
    };
    let outline = PixelPrompt {
        bbox: Some(PixelBox { left: width / 4.0, top: height / 4.0, right: width * 0.75, bottom: height * 0.8 }),
        ..PixelPrompt::default()
    };
    let one = PredictOptions { multimask: false };
    let three = PredictOptions { multimask: true };
    for (options, masks) in [(one, 1), (three, 3)] {
        let together = predict(session, &[click.clone(), outline.clone()], options);
        for (answer, prompt) in together.iter().zip([&click, &outline]) {
            assert_eq!(answer.masks.len(), masks, "the number of masks that was asked for");
            assert_eq!(answer.masks.shape(), shape, "masks have the shape of the chip");
            assert_eq!(answer.scores.len(), masks, "a score for each mask");
            assert!(answer.scores.iter().all(|score| score.is_finite()), "scores are finite");
            assert_eq!(answer.low_res.values.len(), masks * answer.low_res.shape.area(), "logits for each mask");

            let alone = predict(session, std::slice::from_ref(prompt), options);
            assert_close(&alone[0].low_res.values, &answer.low_res.values, "prompts are answered one by one");
            assert_close(&alone[0].scores, &answer.scores, "prompts are scored one by one");
        }
    }
    let first = predict(session, std::slice::from_ref(&click), one).remove(0);
    let [half, one_logit] = [0.5, 1.0].map(|offset| session.stability(&first, 0, offset));
    assert!(
        (0.0..=1.0).contains(&one_logit) && one_logit <= half && half <= 1.0,
        "a mask loses pixels with the threshold"
    );
    let refined = PixelPrompt { mask: Some(first.low_res.as_prompt(0)), ..click.clone() };
    assert_eq!(predict(session, &[refined], one)[0].masks.len(), 1, "an answer is a good mask prompt");
    assert!(predict(session, &[], one).is_empty(), "no prompt, no answer");

    let far = PixelPoint::new(width * 5.0, height / 2.0);
    for (prompt, why) in [
        (PixelPrompt::default(), "a prompt asks for something"),
        (
            PixelPrompt { points: vec![far], labels: vec![Label::Foreground], ..PixelPrompt::default() },
            "a point far off the chip",
        ),
        (PixelPrompt { labels: vec![Label::Foreground], ..click }, "a label for each point"),
    ] {
        assert!(matches!(session.predict(&[prompt], one), Err(Error::InvalidArgument { .. })), "refused: {why}");
    }
}

fn predict(session: &dyn PromptSession, prompts: &[PixelPrompt], options: PredictOptions) -> Vec<Prediction> {
    let answers = session.predict(prompts, options).unwrap_or_else(|e| panic!("{prompts:?}: {e}"));
    assert_eq!(answers.len(), prompts.len(), "one answer for each prompt");
    answers
}

/// A gradient with a bright square, different for every seed.
fn image(shape: Shape, seed: usize) -> ModelImage {
    let byte = |i: usize| {
        let (row, column, band) = (i / 3 / shape.width, i / 3 % shape.width, i % 3);
        let square = (10..25).contains(&row) && (10 * seed..10 * seed + 20).contains(&column);
        if square { 230 } else { ((row * 3 + column * 2 + band * 40 + seed * 50) % 180) as u8 }
    };
    ModelImage::new(shape, (0..3 * shape.area()).map(byte).collect()).expect("three bytes a pixel")
}

fn values(features: &EncodedImageFeatures) -> Vec<f32> {
    features.payload.tensors().flat_map(|tensor| tensor.values().iter().copied()).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut b.iter().map(|v| f64::from(*v))).max(f64::MIN_POSITIVE)
}

fn assert_close(a: &[f32], b: &[f32], what: &str) {
    let distance = distance(a, b);
    assert!(distance <= ROUNDING, "{what}: relative difference {distance}");
}
