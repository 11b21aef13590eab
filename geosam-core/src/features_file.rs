//! Chip files: encoded features as Python geosam's `EncodedImageFeatures.save` writes them.

use std::path::Path;

use crate::coordinates::Shape;
use crate::error::Result;
use crate::features::{EncodedImageFeatures, FeaturePayload, FeatureTensor};
use crate::torch_file::{TensorRef, TorchFile, Value, write_torch_file};

/// Precision in which features are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeaturePrecision {
    /// 32-bit, as Python geosam writes.
    #[default]
    F32,
    /// 16-bit: half the size. Values are rounded, and Python geosam has to cast them before it can use them.
    F16,
}

impl FeaturePrecision {
    /// `f32` or `f16`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

impl EncodedImageFeatures {
    /// Writes the chip file that Python geosam and the QGIS plugin read. It appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io)
    pub fn save_pt(&self, path: &Path, precision: FeaturePrecision) -> Result<()> {
        let tensor = |tensor: &FeatureTensor| {
            let tensor = match precision {
                FeaturePrecision::F32 => TensorRef::from_f32(tensor.shape(), tensor.values()),
                FeaturePrecision::F16 => TensorRef::from_f32_as_f16(tensor.shape(), tensor.values()),
            };
            tensor.map(Value::Tensor)
        };
        let shape = |shape: Shape| Value::Tuple(vec![Value::Int(shape.height as i64), Value::Int(shape.width as i64)]);
        let (kind, features) = match &self.payload {
            FeaturePayload::Sam(features) => ("sam", tensor(features)?),
            FeaturePayload::Sam2 { image_embed, high_res_feats } => {
                let levels = high_res_feats.iter().map(tensor).collect::<Result<_>>()?;
                let entries = [("image_embed", tensor(image_embed)?), ("high_res_feats", Value::List(levels))];
                ("sam2", Value::dict(entries))
            }
        };
        let entries = [
            ("model_type", Value::Str(self.model_type.to_string())),
            ("checkpoint_path", Value::Str(self.checkpoint_path.clone())),
            ("src_shape", shape(self.src_shape)),
            ("dst_shape", shape(self.dst_shape)),
            ("feature_kind", Value::Str(kind.to_string())),
            ("features", features),
        ];
        write_torch_file(path, &Value::dict(entries))
    }

    /// Reads a chip file of this crate, Python geosam or the QGIS plugin. Tensors of any real type become `f32`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); [`Error::InvalidFile`](crate::Error::InvalidFile) if the file is truncated or
    /// malformed, or a required entry is missing or of another kind.
    pub fn load_pt(path: &Path) -> Result<Self> {
        let file = TorchFile::open(path)?;
        let model_type = string(&file, "model_type")?;
        Ok(Self {
            model_type: model_type.parse().map_err(|_| file.invalid("model_type sam, sam2 or sam3", model_type))?,
            checkpoint_path: string(&file, "checkpoint_path")?.to_string(),
            src_shape: shape(&file, "src_shape")?,
            dst_shape: shape(&file, "dst_shape")?,
            payload: payload(&file)?,
        })
    }
}

fn entry<'a>(file: &'a TorchFile, key: &str) -> Result<&'a Value> {
    file.root().get(key).ok_or_else(|| file.invalid(format!("encoded features with an entry {key}"), contents(file)))
}

fn string<'a>(file: &'a TorchFile, key: &str) -> Result<&'a str> {
    let value = entry(file, key)?;
    value.as_str().ok_or_else(|| file.invalid(format!("a string as {key}"), value.kind()))
}

/// Of a chip, in pixels: what a damaged file says must not be asked of the memory.
const LONGEST_SIDE: i64 = 1 << 16;

fn shape(file: &TorchFile, key: &str) -> Result<Shape> {
    let value = entry(file, key)?;
    let sides = value.as_sequence().map(|sides| sides.iter().map(Value::as_int).collect::<Vec<_>>());
    match sides.as_deref() {
        Some([Some(height @ 1..=LONGEST_SIDE), Some(width @ 1..=LONGEST_SIDE)]) => {
            Ok(Shape::new(*height as usize, *width as usize))
        }
        _ => Err(file.invalid(format!("two integers from 1 to {LONGEST_SIDE} as {key}"), value.kind())),
    }
}

fn payload(file: &TorchFile) -> Result<FeaturePayload> {
    let tensor = |value: &Value, name: &str| {
        let tensor = value.as_tensor().ok_or_else(|| file.invalid(format!("a tensor as {name}"), value.kind()))?;
        FeatureTensor::new(tensor.shape().to_vec(), tensor.read_f32()?)
    };
    match entry(file, "features")? {
        features @ Value::Tensor(_) => Ok(FeaturePayload::Sam(tensor(features, "features")?)),
        Value::Dict(_) => {
            let image_embed = tensor(entry(file, "features.image_embed")?, "features.image_embed")?;
            let levels = entry(file, "features.high_res_feats")?;
            let Some(levels) = levels.as_sequence() else {
                return Err(file.invalid("a list as features.high_res_feats", levels.kind()));
            };
            let levels = levels.iter().map(|level| tensor(level, "an element of features.high_res_feats"));
            Ok(FeaturePayload::Sam2 { image_embed, high_res_feats: levels.collect::<Result<_>>()? })
        }
        other => Err(file.invalid("a tensor or a dict as features", other.kind())),
    }
}

/// What a file holds instead of encoded features.
fn contents(file: &TorchFile) -> String {
    let Some(entries) = file.root().as_dict() else { return file.root().kind() };
    let keys: Vec<_> = entries.iter().filter_map(|(key, _)| key.as_str()).take(6).collect();
    format!(
        "{} with {}",
        file.root().kind(),
        if keys.is_empty() { "no string keys".to_string() } else { keys.join(", ") }
    )
}
