//! `geosam models`

use clap::Args;
use geosam::{MODEL_DEFINITIONS, Result};
use serde_json::json;

use crate::console::{print_json, print_line};

/// List the models: the file each is known by, the side of its input, which is the size of a chip, and how large the
/// features of a chip are.
#[derive(Debug, Args)]
pub(crate) struct Models {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Models {
    pub(crate) fn run(&self) -> Result<()> {
        if self.json {
            let models: Vec<_> = MODEL_DEFINITIONS
                .iter()
                .map(|d| {
                    json!({
                        "id": d.model_id,
                        "label": d.label,
                        "type": d.model_type.as_str(),
                        "filename": d.filename,
                        "image_size": d.image_size,
                        "feature_bytes": d.feature_bytes(),
                    })
                })
                .collect();
            print_json(&json!({ "models": models }));
            return Ok(());
        }
        print_line(&format!(
            "{:<18} {:<20} {:<6} {:<22} {:>5} {:>10}",
            "id", "name", "type", "checkpoint", "input", "features"
        ));
        for d in MODEL_DEFINITIONS {
            let mib = d.feature_bytes() as f64 / f64::from(1 << 20);
            print_line(&format!(
                "{:<18} {:<20} {:<6} {:<22} {:>5} {mib:>6.2} MiB",
                d.model_id, d.label, d.model_type, d.filename, d.image_size
            ));
        }
        Ok(())
    }
}
