//! What the chips of a folder were made from, and how.

use geosam_core::{GeoGrid, ModelType, Precision, Preprocess, Shape, ValueRange, ValueRangeChoice, Window};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Settings that say which raster it is.
const RASTER: [&str; 3] = ["source_path", "source_state", "grid"];

/// Raster, model and chip grid of a folder: two runs with equal settings make the same chips.
///
/// Recorded in the manifest, and compared when a run meets a folder that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FolderSettings {
    /// The raster.
    pub source_path: String,
    /// Size and time of modification of the raster where it is a file, to notice that it was replaced.
    pub source_state: Option<String>,
    /// The whole raster's grid.
    pub grid: GeoGrid,
    /// Bands read, 1-based.
    pub bands: Vec<usize>,
    /// Kernel with which the raster was warped, if it was.
    #[serde(default)]
    pub resampling: Option<String>,
    /// Which values became 0 and 255.
    pub value_range: ValueRange,
    /// What that was settled from, so that a later run need not read the raster for it again; the range itself counts when
    /// runs are compared.
    pub value_range_choice: Option<ValueRangeChoice>,
    /// Identifier of the model.
    pub model_id: String,
    /// Its family.
    pub model_type: ModelType,
    /// The file its weights came from.
    pub origin_checkpoint: String,
    /// Hash of the weights that features depend on, where the model has one.
    pub fingerprint: Option<String>,
    /// How chips were prepared for it.
    pub preprocess: Preprocess,
    /// How exactly they were encoded; f32 where a folder does not say.
    #[serde(default)]
    pub encoder_precision: Precision,
    /// The part of the raster that was encoded.
    pub extent: Window,
    /// Size of a chip.
    pub chip: Shape,
    /// Distance from chip to chip.
    pub stride: Shape,
}

impl FolderSettings {
    /// The first setting in which `other` differs: its name, this value and the other.
    ///
    /// Name and place of the checkpoint do not count where the hash of what features depend on is known.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<(String, String, String)> {
        let (Ok(Value::Object(own)), Ok(Value::Object(others))) =
            (serde_json::to_value(self), serde_json::to_value(other))
        else {
            return None;
        };
        let by_hash = self.fingerprint.is_some() && other.fingerprint.is_some();
        let not_counted: &[&str] =
            if by_hash { &["value_range_choice", "model_id", "origin_checkpoint"] } else { &["value_range_choice"] };
        // The rest often follows from the raster.
        let names = RASTER.into_iter().chain(own.keys().map(String::as_str).filter(|name| !RASTER.contains(name)));
        names
            .filter(|name| !not_counted.contains(name))
            .find(|name| others.get(*name) != own.get(*name))
            .map(|name| (name.to_string(), shown(own.get(name)), shown(others.get(name))))
    }
}

/// A setting for people.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".to_string(),
        Some(Value::Object(sides))
            if sides.len() == 2 && sides.contains_key("height") && sides.contains_key("width") =>
        {
            format!("{}×{}", sides["height"], sides["width"])
        }
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Size and modification time of a source that is a file on this machine; `None` for connection strings.
pub(crate) fn source_state(source_path: &str) -> Option<String> {
    let metadata = std::fs::metadata(source_path).ok()?;
    let modified = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(format!("{} bytes, modified {}.{:09}", metadata.len(), modified.as_secs(), modified.subsec_nanos()))
}
