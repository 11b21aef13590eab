//! `geosam models`

use clap::Args;
use geosam::{MODEL_DEFINITIONS, ModelType, Result};
use serde_json::json;

use crate::console::{print_json, print_line};

/// List the models of the registry, the file each is known by, and whether this version runs it.
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
                        "image_size": d.model_type.image_size(),
                        "supported": is_supported(d.model_type),
                    })
                })
                .collect();
            print_json(&json!({ "models": models }));
            return Ok(());
        }
        print_line(&format!("{:<18} {:<20} {:<6} {:<22} {}", "id", "name", "type", "checkpoint", "runs here"));
        for d in MODEL_DEFINITIONS {
            let runs = if is_supported(d.model_type) { "yes" } else { "not yet" };
            print_line(&format!("{:<18} {:<20} {:<6} {:<22} {runs}", d.model_id, d.label, d.model_type, d.filename));
        }
        Ok(())
    }
}

fn is_supported(model_type: ModelType) -> bool {
    model_type == ModelType::Sam
}
