//! Golden outputs of the reference implementations, and the weights and inputs that they were made with.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData, Tolerance, s};
use geosam_core::Result;
use safetensors::SafeTensors;

use crate::image_features::ImageFeatures;
use crate::weights::{TensorSource, Weights};

/// Numbers in [-1, 1): splitmix64 of position, seeded with the FNV-1a hash of the name.
/// The generators in `tests/goldens` draw the same ones.
pub(crate) fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    (1..=count as u64).map(move |position| {
        let z = seed.wrapping_add(position.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

/// Has every tensor it is asked for, drawn from its name.
#[derive(Debug)]
struct Seeded;

impl TensorSource for Seeded {
    fn path(&self) -> PathBuf {
        PathBuf::from("seeded")
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, _: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        Some(wanted.to_vec())
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let fan_in: usize = shape.iter().skip(1).product();
        let table = ["pos_embed", "rel_pos", "attention_biases"].iter().any(|table| name.contains(table));
        let value = |u: f64| match shape.len() {
            _ if name.ends_with("running_var") => 1.0 + 0.2 * u.abs(),
            1 if name.ends_with("weight") => 1.0 + 0.1 * u,
            1 => 0.1 * u,
            _ if table => 0.5 * u,
            _ => u * (3.0 / fan_in as f64).sqrt(),
        };
        Ok(uniform(name, shape.iter().product()).map(|u| value(u) as f32).collect())
    }
}

/// A module with the weights that the goldens were made with.
pub(crate) fn load_seeded<M>(prefix: &str, build: impl FnOnce(&Weights<'_>) -> M) -> M {
    crate::weights::load(&Seeded, "golden", &Device::flex(), |weights| build(&weights.scope(prefix))).unwrap()
}

/// A tensor of values in [-scale, scale) drawn from its name.
pub(crate) fn input<const D: usize>(name: &str, shape: [usize; D], scale: f64) -> Tensor<D> {
    let values: Vec<f32> = uniform(name, shape.iter().product()).map(|u| (u * scale) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F32))
}

/// A file of `tests/goldens`.
#[derive(Debug)]
pub(crate) struct Golden(Vec<u8>);

impl Golden {
    pub(crate) fn open(file: &str) -> Self {
        Self(std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(file)).unwrap())
    }

    /// Bytes of a tensor.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        SafeTensors::deserialize(&self.0).unwrap().tensor(name).unwrap().data().to_vec()
    }

    /// ‖actual - expected‖ / ‖expected‖ over all elements; the number of elements must agree.
    pub(crate) fn error<const D: usize>(&self, name: &str, actual: Tensor<D>) -> f64 {
        let expected: Vec<f32> =
            self.bytes(name).chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        relative_error(actual, &expected)
    }

    /// [`Self::error`], of a tensor of which one element in `sampling` is stored, from the first on.
    pub(crate) fn sampled_error<const D: usize>(&self, name: &str, actual: Tensor<D>, sampling: usize) -> f64 {
        let count = actual.dims().iter().product::<usize>();
        self.error(name, actual.reshape([count]).slice_dim(0, s![..; sampling as isize]))
    }
}

/// ‖actual - expected‖ / ‖expected‖.
pub(crate) fn relative_error<const D: usize>(actual: Tensor<D>, expected: &[f32]) -> f64 {
    let actual = actual.into_data().try_into_vec::<f32>().unwrap();
    assert_eq!(actual.len(), expected.len());
    let difference: f64 = actual.iter().zip(expected).map(|(a, e)| f64::from(a - e).powi(2)).sum();
    let norm: f64 = expected.iter().map(|e| f64::from(*e).powi(2)).sum();
    (difference / norm).sqrt()
}

/// Encodes two images together and each alone, and compares.
pub(crate) fn assert_images_do_not_touch(encode: impl Fn(Tensor<4>) -> ImageFeatures, images: Tensor<4>) {
    let all = |images| {
        let ImageFeatures { embedding, high_res } = encode(images);
        [vec![embedding], high_res.map_or_else(Vec::new, Vec::from)].concat()
    };
    let together = all(images.clone());
    for (index, image) in images.split(1, 0).into_iter().enumerate() {
        for (together, alone) in together.iter().zip(all(image)) {
            let together = together.clone().slice(index..=index).into_data();
            together.assert_approx_eq::<f32>(&alone.into_data(), Tolerance::default());
        }
    }
}
