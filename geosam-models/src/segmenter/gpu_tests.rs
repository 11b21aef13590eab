//! Every family on a GPU, against the CPU: `cargo test -p geosam-models --features wgpu -- --ignored gpu`, on the device that
//! `GEOSAM_TEST_DEVICE` names (default `wgpu:0`).

#![allow(clippy::unwrap_used)]

use geosam_core::{LowResLogits, MaskPrompt, Precision, Prediction, conformance};

use super::*;
use crate::golden::{input, relative_error};
use crate::kernels::{self, Position, QkvOrder, WindowAttention, in_type};
use crate::{DeviceChoice, TinyVitConfig};

/// Of features, logits and attention in f32, ‖Δ‖ / ‖reference‖. Measured with llvmpipe: features 6.1e-7 to 9.7e-7, the decoder's
/// logits at most 1.5e-6, attention 3.7e-7 to 1.6e-6.
const SINGLE: f64 = 1e-5;
/// Masks' IoU at the chip's resolution, at least. Measured with llvmpipe: 1.0000.
const IOU: f64 = 0.99;
/// Of features in f16, and in f32 where that may be multiplied in TF32, which has the digits of f16. Measured with llvmpipe, in
/// f16: features 8.7e-4 (`sam3`) to 2.3e-3 (`mobile`), attention 2.9e-4.
const HALF: f64 = 5e-3;
/// In bf16, which has three bits less: eight times [`HALF`]. Not measured, as llvmpipe does not compute in it.
const BRAIN: f64 = 4e-2;

fn device() -> DeviceChoice {
    std::env::var("GEOSAM_TEST_DEVICE").unwrap_or("wgpu:0".to_string()).parse().unwrap()
}

/// How far f32 may be off.
fn tolerance() -> f64 {
    if matches!(device(), DeviceChoice::Cuda(_)) { HALF } else { SINGLE }
}

fn families() -> [(&'static str, SamConfig); 4] {
    [
        ("sam", SamConfig::small()),
        ("mobile", SamConfig { image_encoder: ImageEncoderConfig::Tiny(TinyVitConfig::small()) }),
        ("sam2", SamConfig::small_sam2()),
        ("sam3", SamConfig::small_sam3()),
    ]
}

fn model(config: &SamConfig, device: DeviceChoice, precision: Precision) -> Result<Sam> {
    Sam::random(config, 1, &ModelOptions { device, precision, ..ModelOptions::default() })
}

fn image(shape: Shape, step: usize) -> ModelImage {
    ModelImage::new(shape, (0..3 * shape.area()).map(|i| (i * step % 251) as u8).collect()).unwrap()
}

fn prompts() -> Vec<PixelPrompt> {
    let clicks = |points: &[(f64, f64, Label)]| PixelPrompt {
        points: points.iter().map(|&(column, row, _)| PixelPoint::new(column, row)).collect(),
        labels: points.iter().map(|&(_, _, label)| label).collect(),
        ..PixelPrompt::default()
    };
    let bbox = Some(PixelBox { left: 5.0, top: 9.5, right: 41.0, bottom: 60.0 });
    let mask = MaskPrompt { shape: Shape::new(50, 70), logits: (0..50 * 70).map(|i| (i % 13) as f32 - 6.0).collect() };
    vec![
        clicks(&[(20.0, 30.0, Label::Foreground)]),
        PixelPrompt { bbox, ..PixelPrompt::default() },
        clicks(&[(60.5, 11.0, Label::Foreground), (3.0, 70.0, Label::Background)]),
        clicks(&[(33.0, 44.0, Label::Foreground)]),
        PixelPrompt { mask: Some(mask), ..clicks(&[(20.0, 30.0, Label::Foreground)]) },
    ]
}

fn error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    squares(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)))
        / squares(&mut expected.iter().map(|value| f64::from(*value)))
}

fn features_error(found: &EncodedImageFeatures, expected: &EncodedImageFeatures) -> f64 {
    let pairs = found.payload.tensors().zip(expected.payload.tensors());
    pairs.map(|(found, expected)| error(found.values(), expected.values())).fold(0.0, f64::max)
}

fn iou(found: &Prediction, expected: &Prediction) -> f64 {
    let pairs = || found.masks.values().iter().zip(expected.masks.values());
    let both = pairs().filter(|(a, b)| **a && **b).count();
    let either = pairs().filter(|(a, b)| **a || **b).count();
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}

#[test]
#[ignore = "needs a GPU or a software Vulkan driver"]
fn gpu_features_and_masks_are_those_of_the_cpu() {
    for (family, config) in families() {
        let [cpu, gpu] = [DeviceChoice::Cpu, device()].map(|device| model(&config, device, Precision::F32).unwrap());
        let image = image(Shape::new(80, 100), 7);
        let [expected, found] = [&cpu, &gpu].map(|model| model.encode(std::slice::from_ref(&image)).unwrap().remove(0));
        let features = features_error(&found, &expected);
        println!("{family} on {}: features {features:.1e}", gpu.device_name());
        assert!(features < tolerance(), "{family}: {features}");

        for multimask in [false, true] {
            let options = PredictOptions { multimask };
            // From the same features; and from those that never left the device.
            let expected_answers = cpu.open(&expected).unwrap().predict(&prompts(), options).unwrap();
            let opened = [gpu.open(&expected).unwrap(), gpu.open_image(&image).unwrap()];
            for session in opened {
                let found = session.predict(&prompts(), options).unwrap();
                for (index, (found, expected)) in found.iter().zip(&expected_answers).enumerate() {
                    let LowResLogits { shape, values } = &found.low_res;
                    assert_eq!(*shape, expected.low_res.shape);
                    let (logits, iou) = (error(values, &expected.low_res.values), iou(found, expected));
                    println!("{family}, prompt {index}: logits {logits:.1e}, IoU {iou:.4}");
                    assert!(logits < tolerance() && iou >= IOU, "{family}, prompt {index}: {logits} {iou}");
                }
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU or a software Vulkan driver"]
fn gpu_batches_are_their_images() {
    for (family, config) in families() {
        let model = model(&config, device(), Precision::F32).unwrap();
        let images = [image(Shape::new(80, 100), 7), image(Shape::square(128), 11), image(Shape::new(30, 9), 13)];
        let together = model.encode(&images).unwrap();
        assert_eq!(together.len(), images.len());
        for (image, found) in images.iter().zip(&together) {
            assert_eq!(found.src_shape, image.shape());
            let alone = model.encode(std::slice::from_ref(image)).unwrap().remove(0);
            let error = features_error(found, &alone);
            assert!(error < tolerance(), "{family}: {error}");
        }
        assert!(model.encode(&[]).unwrap().is_empty());
    }
}

#[test]
#[ignore = "needs a GPU or a software Vulkan driver"]
fn gpu_models_keep_the_contract_of_a_segmenter_and_warm_up() {
    let model = model(&SamConfig::small(), device(), Precision::F32).unwrap();
    assert!(model.device_name().starts_with(&device().to_string()) && model.passed_over().is_empty());
    model.warmup().unwrap();
    conformance::segmenter(&model);
}

#[test]
#[ignore = "needs a GPU or a software Vulkan driver, with half precision"]
fn gpu_features_in_half_precision_are_close() {
    for (family, config) in families() {
        let cpu = model(&config, DeviceChoice::Cpu, Precision::F32).unwrap();
        let image = image(Shape::new(80, 100), 7);
        let encode = |model: &Sam| model.encode(std::slice::from_ref(&image)).unwrap().remove(0);
        let expected = encode(&cpu);
        let device = device().open().unwrap().device;
        for (precision, bound) in [(Precision::F16, HALF), (Precision::Bf16, BRAIN)] {
            if device.supports_dtype(dtype(precision)) {
                let error = features_error(&encode(&model(&config, self::device(), precision).unwrap()), &expected);
                println!("{family} in {precision}: features {error:.1e}");
                assert!(error > 0.0 && error < bound, "{family} in {precision}: {error}");
            }
        }
    }
}

/// Of the published models, of which the small ones above have no window that is long enough for a kernel without logits.
#[test]
#[ignore = "needs a GPU or a software Vulkan driver, with half precision"]
fn gpu_attention_of_published_sizes_is_that_of_the_cpu() {
    let relative = |window: usize, depth: usize| {
        let [rows, columns] = ["rows", "columns"].map(|name| input(name, [2 * window - 1, depth], 0.5));
        Position::Relative { rows, columns }
    };
    let rotary = |window: usize, depth: usize| {
        let angles = input::<2>("angles", [window * window, depth / 2], 3.0);
        Position::Rotary { cos: angles.clone().cos(), sin: angles.sin() }
    };
    let cases = [
        ("SAM's windows", [20, 28], 14, [2, 64], relative(14, 64), 1),
        ("SAM's whole image", [64, 64], 64, [1, 80], relative(64, 80), 1),
        ("SAM 2's windows", [32, 32], 8, [2, 56], Position::Unknown, 1),
        ("SAM 2's pooled windows", [32, 32], 16, [2, 96], Position::Unknown, 2),
        ("SAM 2's whole image", [64, 64], 64, [1, 72], Position::Unknown, 1),
        ("SAM 3's windows", [48, 24], 24, [2, 64], rotary(24, 64), 1),
        ("SAM 3's whole image", [72, 72], 72, [1, 64], rotary(72, 64), 1),
    ];
    let [cpu, gpu] = [DeviceChoice::Cpu, device()].map(|choice| choice.open().unwrap().device);
    let of_type = [(Precision::F32, tolerance()), (Precision::F16, HALF), (Precision::Bf16, BRAIN)];
    for (name, [height, width], window, [heads, depth], position, pool) in cases {
        let attention = WindowAttention { heads, window, order: QkvOrder::PartMajor, pool, precision: Precision::F32 };
        let fused = 3 * heads * depth;
        let there = |x: Tensor<2>| x.to_device(&gpu);
        let position_there = match position.clone() {
            Position::Relative { rows, columns } => Position::Relative { rows: there(rows), columns: there(columns) },
            Position::Rotary { cos, sin } => Position::Rotary { cos: there(cos), sin: there(sin) },
            other => other,
        };
        for (precision, bound) in of_type.into_iter().filter(|(precision, _)| gpu.supports_dtype(dtype(*precision))) {
            let qkv = in_type(input::<4>("qkv", [1, height, width, fused], 3.0).to_device(&gpu), dtype(precision));
            let filling = in_type(input::<1>("filling", [fused], 1.0).to_device(&gpu), dtype(precision));
            // The same values, as far as the type holds them.
            let here = (in_type(qkv.clone(), DType::F32), in_type(filling.clone(), DType::F32));
            let here = (here.0.to_device(&cpu), here.1.to_device(&cpu));
            let expected = kernels::window_attention(here.0, here.1, position.clone(), attention);
            let found = kernels::window_attention(qkv, filling, position_there.clone(), attention);
            assert_eq!((found.dtype(), found.dims()), (dtype(precision), expected.dims()));
            let expected = expected.into_data().try_into_vec::<f32>().unwrap();
            let error = relative_error(in_type(found, DType::F32), &expected);
            println!("{name}, {precision}: {error:.1e}");
            assert!(error < bound, "{name}, {precision}: {error}");
        }
    }
}

#[test]
#[ignore = "needs a GPU or a software Vulkan driver"]
fn gpu_numbers_that_are_not_there_are_refused() {
    let choice = match device() {
        DeviceChoice::Cuda(_) => DeviceChoice::Cuda(99),
        _ => DeviceChoice::Wgpu(99),
    };
    let error = model(&SamConfig::small(), choice, Precision::F32).unwrap_err().to_string();
    assert!(error.starts_with(&format!("device {choice} is not supported: this machine has")), "{error}");
}
