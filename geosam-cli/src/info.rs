//! `geosam info`

use std::path::Path;

use clap::Args;
use geosam::{Checkpoint, Error, FeatureSourceSummary, RasterInfo, Result, describe_feature_source};
use serde_json::{Value, json};

use crate::console::{print_json, print_line};

/// Say what a feature folder, a checkpoint or a raster holds.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A feature folder or its manifest, a checkpoint (.pt, .pth, .safetensors), or anything GDAL opens
    #[arg(value_name = "FOLDER|CHECKPOINT|RASTER")]
    path: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(&self) -> Result<()> {
        let path = Path::new(&self.path);
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let facts = match extension.as_str() {
            _ if is_feature_folder(path) => folder_facts(&describe_feature_source(path)?),
            "pt" | "pth" | "safetensors" => checkpoint_facts(&Checkpoint::open(path)?)?,
            _ if path.is_dir() => {
                return Err(Error::invalid_file(path, "feature folder", "a file manifest.parquet", "none"));
            }
            _ => raster_facts(&RasterInfo::read(&self.path)?),
        };
        if self.json {
            print_json(&facts.into_iter().map(|(key, value)| (key.replace(' ', "_"), value)).collect());
        } else {
            let width = facts.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
            for (key, value) in facts.iter().filter(|(_, value)| !value.is_null() && *value != json!([])) {
                print_line(&format!("{key:<width$}  {}", plain(value)));
            }
        }
        Ok(())
    }
}

/// A value as people read it: no quotes or brackets.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(entries) => {
            let shown = entries.iter().filter(|(_, v)| !v.is_null() && *v != "");
            shown.map(|(key, v)| format!("{key} {}", plain(v))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// Whether a path names a feature folder rather than a raster that happens to be a folder (Zarr, Esri grids).
pub(crate) fn is_feature_folder(path: &Path) -> bool {
    let is_manifest = |p: &Path| p.extension().is_some_and(|e| e == "parquet" || e == "pkl");
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|entry| entry.path()).any(|p| is_manifest(&p)) || path.join("features").is_dir();
    }
    is_manifest(path)
}

type Facts = Vec<(String, Value)>;

fn facts<const N: usize>(entries: [(&str, Value); N]) -> Facts {
    entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

fn folder_facts(s: &FeatureSourceSummary) -> Facts {
    facts([
        ("kind", json!("feature folder")),
        ("manifest", json!(s.manifest_path)),
        ("chips", json!(s.chip_count)),
        ("complete", json!(s.complete)),
        ("model", json!(s.model_id)),
        ("model type", json!(s.model_type.as_str())),
        ("checkpoint", json!(s.checkpoint_name)),
        ("crs", json!(s.crs)),
        ("extent", json!([s.extent.left, s.extent.bottom, s.extent.right, s.extent.top])),
        ("pixel area", json!(s.pixel_area)),
        ("raster", json!(s.source_path)),
        ("bands", json!(s.bands)),
        ("value range", json!(s.value_range)),
        ("preprocess", json!(s.preprocess)),
        ("encoder precision", json!(s.encoder_precision)),
        ("dtype", json!(s.dtype)),
        ("bytes", json!(s.storage_bytes)),
        ("fingerprint", json!(s.fingerprint)),
        ("written by", json!(s.geosam_version.as_ref().map(|v| format!("geosam {v}")))),
    ])
}

fn checkpoint_facts(checkpoint: &Checkpoint) -> Result<Facts> {
    let r = checkpoint.recognised();
    Ok(facts([
        ("kind", json!("checkpoint")),
        ("recognised", json!(r.to_string())),
        ("model", json!(r.model_id)),
        ("model type", json!(r.config.model_type().as_str())),
        ("image size", json!(r.config.image_size())),
        ("container", json!(r.container.to_string())),
        ("fingerprint", json!(checkpoint.fingerprint()?)),
    ]))
}

fn raster_facts(r: &RasterInfo) -> Facts {
    let bands =
        r.bands.iter().map(|b| json!({"band": b.number, "type": b.type_name, "name": b.name, "nodata": b.nodata}));
    facts([
        ("kind", json!("raster")),
        ("source", json!(r.source)),
        ("format", json!(r.driver)),
        ("shape", json!([r.shape.height, r.shape.width])),
        ("bands", bands.collect()),
        ("crs", json!(r.crs)),
        ("transform", json!(r.transform.to_array())),
        ("bounds", json!([r.bounds.left, r.bounds.bottom, r.bounds.right, r.bounds.top])),
        ("metres per pixel", json!(r.resolution.map(|(x, y)| [x, y]))),
        ("block", json!([r.block.height, r.block.width])),
        ("overviews", r.overviews.iter().map(|s| json!([s.height, s.width])).collect()),
        ("compression", json!(r.compression)),
    ])
}
