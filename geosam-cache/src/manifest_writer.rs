//! `manifest.parquet`, written.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Float64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use geosam_core::replace_file;
use geosam_core::{BoundingBox, Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::manifest::{EXTRA_COLUMNS, HEADER_KEY, Manifest, REQUIRED_COLUMNS, Row};
use crate::{geoparquet, python_json};

impl Manifest {
    /// Write the manifest, replacing the one at `path` in one step. There is at least one row.
    ///
    /// # Errors
    /// [`Error::Io`]; then `path` is as it was.
    pub(crate) fn write(&self, path: &Path, projjson: &str) -> Result<()> {
        // In memory first, so that a full disk is reported as what it is and not as a malformed file.
        let bytes = self
            .to_parquet(projjson)
            .map_err(|e| Error::io("write", path, std::io::Error::new(std::io::ErrorKind::InvalidData, e)))?;
        replace_file(path, |file| file.write_all(&bytes))
    }

    fn to_parquet(&self, projjson: &str) -> parquet::errors::Result<Vec<u8>> {
        let bounds: Vec<BoundingBox> = self.rows.iter().map(|row| row.record.grid.bounds()).collect();
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for name in REQUIRED_COLUMNS {
            let array = self.required_column(name, &bounds);
            fields.push(Field::new(name, array.data_type().clone(), false));
            arrays.push(array);
        }
        for name in EXTRA_COLUMNS {
            fields.push(Field::new(name, DataType::Utf8, true));
            arrays.push(self.extra_column(name));
        }
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), arrays)?;
        let mut metadata = vec![KeyValue::new(
            geoparquet::METADATA_KEY.to_string(),
            geoparquet::metadata(projjson, &total_bounds(&bounds)),
        )];
        if let Some(header) = self.header.as_ref().and_then(|header| serde_json::to_string(header).ok()) {
            metadata.push(KeyValue::new(HEADER_KEY.to_string(), header));
        }
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(metadata))
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
        writer.write(&batch)?;
        writer.into_inner()
    }

    fn required_column(&self, name: &str, bounds: &[BoundingBox]) -> ArrayRef {
        match name {
            "chip_center_x" => Arc::new(Float64Array::from_iter_values(bounds.iter().map(|b| b.center().x))),
            "chip_center_y" => Arc::new(Float64Array::from_iter_values(bounds.iter().map(|b| b.center().y))),
            geoparquet::GEOMETRY => {
                Arc::new(BinaryArray::from_iter_values(bounds.iter().map(geoparquet::rectangle_wkb)))
            }
            text => Arc::new(StringArray::from_iter_values(self.rows.iter().map(|row| required_text(text, row)))),
        }
    }

    fn extra_column(&self, name: &str) -> ArrayRef {
        let same_for_all = match name {
            "model_id" => self.facts.model_id.clone(),
            "origin_checkpoint" => self.facts.origin_checkpoint.clone(),
            "bands" => self.facts.bands.as_ref().and_then(|bands| serde_json::to_string(bands).ok()),
            "value_range" => self.facts.value_range.as_ref().and_then(|range| serde_json::to_string(range).ok()),
            "preprocess" => self.facts.preprocess.clone(),
            "dtype" => self.facts.dtype.clone(),
            "geosam_version" => self.facts.geosam_version.clone(),
            _ => None,
        };
        let text = |row: &Row| match name {
            "feature_relpath" => row.relative_path.clone(),
            "sha256" => row.sha256.clone(),
            "weights_fingerprint" => row.record.fingerprint.clone(),
            _ => same_for_all.clone(),
        };
        Arc::new(self.rows.iter().map(text).collect::<StringArray>())
    }
}

fn required_text(column: &str, row: &Row) -> String {
    let record = &row.record;
    match column {
        "feature_path" => row.feature_path.to_string_lossy().into_owned(),
        "chip_id" => record.chip_id.clone(),
        "source_path" => record.source_path.clone(),
        "checkpoint_path" => record.checkpoint_path.clone(),
        "model_type" => record.model_type.to_string(),
        "transform" => python_json::float_list(&record.grid.transform.to_array()),
        "shape" => python_json::shape(record.grid.shape),
        "crs" => record.grid.crs.as_str().to_string(),
        "dst_shape" => python_json::shape(record.dst_shape),
        other => unreachable!("{other} is not a text column of the manifest"),
    }
}

/// The box around all boxes, of which there is at least one.
pub(crate) fn total_bounds(bounds: &[BoundingBox]) -> BoundingBox {
    let mut total = bounds[0].clone();
    for b in bounds {
        total.left = total.left.min(b.left);
        total.bottom = total.bottom.min(b.bottom);
        total.right = total.right.max(b.right);
        total.top = total.top.max(b.top);
    }
    total
}
