#![allow(clippy::unwrap_used)]

use geosam_core::{Masks, ModelImage, Segmenter, Shape};
use safetensors::SafeTensors;

use super::random::Random;
use super::*;
use crate::{ModelOptions, SamConfig, load_model};

/// Bright discs on a dark ground, and their masks.
fn example(seed: u64) -> Example {
    const SHAPE: Shape = Shape { height: 128, width: 128 };
    let mut random = Random::new(seed);
    let (mut rgb, mut masks) = (vec![40; 3 * SHAPE.area()], vec![false; 2 * SHAPE.area()]);
    for (disc, mask) in masks.chunks_exact_mut(SHAPE.area()).enumerate() {
        let centre = [30.0 + 60.0 * disc as f64, 30.0 + 60.0 * random.uniform()];
        let radius = 14.0 + 10.0 * random.uniform();
        for (pixel, inside) in mask.iter_mut().enumerate() {
            let [row, column] = [pixel / SHAPE.width, pixel % SHAPE.width].map(|at| at as f64 + 0.5);
            if (column - centre[0]).hypot(row - centre[1]) < radius {
                *inside = true;
                rgb[3 * pixel..][..3].copy_from_slice(&[200, 180, 90 + 100 * disc as u8]);
            }
        }
    }
    Example { image: ModelImage::new(SHAPE, rgb).unwrap(), masks: Masks::new(SHAPE, masks).unwrap() }
}

fn trainer(steps: usize) -> Trainer {
    let config = TrainConfig { warmup: 30, learning_rate: 5e-4, ..TrainConfig::new(SamConfig::small_sam2(), steps) };
    Trainer::new(config).unwrap()
}

#[test]
fn a_model_learns_what_it_is_shown() {
    let mut trainer = trainer(150);
    let examples = [example(1), example(2)];
    let reports: Vec<_> = (0..150).map(|_| trainer.step(&examples).unwrap()).collect();
    let mean = |reports: &[StepReport]| reports.iter().map(|report| report.loss).sum::<f64>() / reports.len() as f64;
    let (first, last) = (mean(&reports[..5]), mean(&reports[145..]));
    assert!(last < 0.5 * first, "loss {first} before, {last} after");
    let [first, last] = [&reports[0], &reports[149]].map(|report| report.neighbours);
    assert!(last < 0.5 * first, "loss of neighbours {first} before, {last} after");
    for Example { image, masks } in examples {
        let found = evaluate(&trainer.model().unwrap(), &image, &masks).unwrap();
        // Training and inference agree on where pixels and prompts are.
        assert!(found.iter().all(|object| object.click > 0.8 && object.bbox > 0.8 && object.clicks > 0.8), "{found:?}");
    }
}

#[test]
fn the_learning_rate_falls_to_zero_in_every_cycle() {
    let mut trainer = Trainer::new(TrainConfig { warmup: 1, ..TrainConfig::new(SamConfig::small_sam2(), 3) }).unwrap();
    let rates: Vec<_> = (0..6).map(|_| trainer.step(&[example(2)]).unwrap().rate).collect();
    assert!(rates[..3].is_sorted_by(|a, b| a >= b) && rates[2] < 0.6 * rates[0], "{rates:?}");
    assert_eq!(rates[..3], rates[3..]);
}

#[test]
fn an_interrupted_training_goes_on_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.safetensors");
    let examples = [example(3), example(4)];
    let mut whole = trainer(8);
    let steps = |trainer: &mut Trainer, count| (0..count).for_each(|_| _ = trainer.step(&examples).unwrap());
    steps(&mut whole, 6);

    let mut first = trainer(8);
    steps(&mut first, 3);
    first.save(&state).unwrap();
    let mut second = trainer(8);
    second.restore(&state).unwrap();
    assert_eq!(second.steps(), 3);
    steps(&mut second, 3);

    let weights = |trainer: &Trainer, name: &str| {
        let path = folder.path().join(name);
        trainer.write_weights(&path).unwrap();
        std::fs::read(path).unwrap()
    };
    assert_eq!(weights(&whole, "whole.safetensors"), weights(&second, "parts.safetensors"));
}

#[test]
fn a_state_of_another_training_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    Trainer::new(TrainConfig::new(SamConfig::small_sam3(), 5)).unwrap().save(&path).unwrap();
    let error = trainer(5).restore(&path).unwrap_err().to_string();
    assert!(error.contains("the state of this training") && error.contains("no value of"), "{error}");
    let mut other = Trainer::new(TrainConfig { seed: 1, ..TrainConfig::new(SamConfig::small_sam2(), 5) }).unwrap();
    other.step(&[example(3)]).unwrap();
    other.save(&path).unwrap();
    let mut refusing = trainer(5);
    let error = refusing.restore(&path).unwrap_err().to_string();
    assert!(error.contains("seed 1"), "{error}");
    assert_eq!(refusing.steps(), 0);
    other.restore(&path).unwrap();
    std::fs::write(&path, b"none").unwrap();
    let error = trainer(5).restore(&path).unwrap_err().to_string();
    assert!(error.contains("the state of this training"), "{error}");
}

#[test]
fn weights_are_a_checkpoint_that_answers_as_the_trained_model() {
    /// Of features, from rounding the weights to f16. Measured: 9.8e-4.
    const TOLERANCE: f32 = 3e-3;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let mut trainer = trainer(4);
    trainer.step(&[example(5)]).unwrap();
    trainer.write_weights(&path).unwrap();
    let loaded = load_model(&path, &ModelOptions::default()).unwrap();
    let image = example(6).image;
    let features = |model: &dyn Segmenter| {
        let encoded = model.encode(std::slice::from_ref(&image)).unwrap();
        encoded[0].payload.tensors().next().unwrap().values().to_vec()
    };
    let (trained, loaded) = (features(&trainer.model().unwrap()), features(&loaded));
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    let difference = length(&mut trained.iter().zip(&loaded).map(|(a, b)| a - b));
    let error = difference / length(&mut trained.iter().copied());
    assert!(error > 0.0 && error < TOLERANCE, "{error}");
}

#[test]
fn wrong_examples_are_refused() {
    let mut example = example(7);
    let shape = Shape::new(64, 128);
    example.masks = Masks::new(shape, vec![true; shape.area()]).unwrap();
    let error = trainer(5).step(&[example.clone()]).unwrap_err().to_string();
    assert!(error.contains("masks") && error.contains("128"), "{error}");
    let shape = example.image.shape();
    example.masks = Masks::new(shape, vec![false; shape.area()]).unwrap();
    let error = trainer(5).step(&[example]).unwrap_err().to_string();
    assert!(error.contains("at least one object"), "{error}");
}

#[test]
fn rates_at_which_nothing_is_learned_are_refused_and_a_step_that_diverged_changes_nothing() {
    for learning_rate in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let config = TrainConfig { learning_rate, ..TrainConfig::new(SamConfig::small_sam2(), 3) };
        let error = Trainer::new(config).unwrap_err().to_string();
        assert!(error.contains("learning rate"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let [before, after] = ["before", "after"].map(|name| folder.path().join(name));
    // The first step leaves weights behind of which no gradient is a number.
    let config = TrainConfig { learning_rate: 1e38, warmup: 0, ..TrainConfig::new(SamConfig::small_sam2(), 9) };
    let mut trainer = Trainer::new(config).unwrap();
    trainer.step(&[example(2)]).unwrap();
    trainer.save(&before).unwrap();
    let error = trainer.step(&[example(2)]).unwrap_err().to_string();
    assert!(error.contains("lower learning rate"), "{error}");
    trainer.save(&after).unwrap();
    let [before, after] = [before, after].map(|path| std::fs::read(path).unwrap());
    let [before, after] = [&before, &after].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    assert_eq!(trainer.steps(), 1);
    assert_eq!(before.len(), after.len());
    for (name, tensor) in before.tensors() {
        assert!(tensor.data() == after.tensor(&name).unwrap().data(), "{name}");
    }
}

#[test]
fn evaluation_refuses_masks_of_another_image() {
    let Example { image, .. } = example(8);
    let masks = Masks::new(Shape::square(64), vec![true; 64 * 64]).unwrap();
    let error = evaluate(&trainer(5).model().unwrap(), &image, &masks).unwrap_err().to_string();
    assert!(error.contains("masks") && error.contains("128"), "{error}");
}

#[test]
fn evaluation_asks_for_every_object() {
    let Example { image, masks } = example(8);
    let model = trainer(5).model().unwrap();
    let found = evaluate(&model, &image, &masks).unwrap();
    assert_eq!(found.len(), 2);
    let area = |mask: &[bool]| mask.iter().filter(|&&inside| inside).count();
    for (object, mask) in found.iter().zip(masks.iter()) {
        assert_eq!(object.area, area(mask));
        // Discs of 28 pixels and more, in logits of a few pixels each.
        assert!((0.8..1.0).contains(&object.resolution), "{object:?}");
        assert!(
            object.best_of_three >= 0.0 && [object.click, object.bbox, object.clicks].iter().all(|iou| *iou <= 1.0)
        );
    }
}

#[test]
fn a_tuned_decoder_knows_what_it_was_shown_and_the_encoder_is_as_before() {
    let folder = tempfile::tempdir().unwrap();
    for (name, config) in
        [("sam", SamConfig::small()), ("sam2", SamConfig::small_sam2()), ("sam3", SamConfig::small_sam3())]
    {
        let [before, after] =
            ["before.pt", "after.safetensors"].map(|file| folder.path().join(format!("{name}-{file}")));
        crate::write_random_checkpoint(&before, &config, 7).unwrap();
        let examples = [example(9), example(10)];
        let config = FineTuneConfig { steps: 6, warmup: 2, learning_rate: 1e-3, ..FineTuneConfig::default() };
        let mut tuning = FineTune::new(&crate::Checkpoint::open(&before).unwrap(), &examples, config).unwrap();
        let losses: Vec<_> = (0..6).map(|_| tuning.step().unwrap().loss).collect();
        assert!(losses[5] < losses[0], "{name}: {losses:?}");
        tuning.write_checkpoint(&after).unwrap();

        let fingerprint = |path| crate::Checkpoint::open(path).unwrap().fingerprint().unwrap();
        assert_eq!(fingerprint(&before), fingerprint(&after), "{name}: feature folders of one are the other's");
        let [before, after] = [before, after].map(|path| load_model(path, &ModelOptions::default()).unwrap());
        let [old, new] = [&before, &after].map(|model| model.encode(std::slice::from_ref(&examples[0].image)).unwrap());
        assert_eq!(old[0].payload, new[0].payload, "{name}: features are the same");
        let Example { image, masks } = &examples[0];
        let [old, new] = [&before, &after].map(|model| evaluate(model, image, masks).unwrap());
        assert_ne!(old, new, "{name}: answers are not");
    }
}

#[test]
fn a_tuned_model_is_still_the_one_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuned.safetensors");
    let first = super::first_weights::FirstWeights { seed: 0 };
    let load = |weights: &crate::weights::Weights<'_>| {
        crate::segmenter::Network::load(weights, &SamConfig::hiera_tiny(), geosam_core::Precision::F32)
    };
    let parameters = super::parameters::Parameters::of(&first, load, |_| true).unwrap();
    // A model of another architecture is not believed.
    for (said, id) in [(None, "sam2_t"), (Some("sam2.1_t"), "sam2.1_t"), (Some("sam2.1_s"), "sam2_t")] {
        parameters.write(&path, safetensors::Dtype::F16, said).unwrap();
        assert_eq!(crate::recognise(&path).unwrap().model_id, id);
    }
}

#[test]
fn tuning_without_an_object_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.pt");
    crate::write_random_checkpoint(&path, &SamConfig::small_sam2(), 7).unwrap();
    let checkpoint = crate::Checkpoint::open(&path).unwrap();
    let Example { image, masks } = example(11);
    let empty = Masks::new(masks.shape(), vec![false; masks.shape().area()]).unwrap();
    let chips = [Example { image, masks: empty }];
    let error = FineTune::new(&checkpoint, &chips, FineTuneConfig::default()).unwrap_err().to_string();
    assert!(error.contains("at least one object"), "{error}");
    let error = FineTune::new(&checkpoint, &chips, FineTuneConfig { chips: 0, ..Default::default() }).unwrap_err();
    assert!(error.to_string().contains("chips"), "{error}");
    let error = FineTune::new(&checkpoint, &chips, FineTuneConfig { views: 9, ..Default::default() }).unwrap_err();
    assert!(error.to_string().contains("1 to 8"), "{error}");
}
