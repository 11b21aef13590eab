//! `manifest.parquet`, read: ours, Python geosam's and the QGIS plugin's.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use geosam_core::{Affine, ChipRecord, Crs, Error, GeoGrid, Result, Shape};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use serde::de::DeserializeOwned;

use crate::geoparquet;
use crate::manifest::{EXTRA_COLUMNS, FORMAT_VERSION, Facts, HEADER_KEY, Header, Manifest, REQUIRED_COLUMNS, Row};

const FORMAT: &str = "feature manifest";

/// The first of [`REQUIRED_COLUMNS`] are texts; centre and geometry follow.
const TEXT_COLUMNS: usize = 9;

impl Manifest {
    /// Read a manifest: at least one row, all in one CRS, no chip twice.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::InvalidFile`]
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|e| Error::invalid_file(path, FORMAT, "a Parquet file", e.to_string()))?;
        let schema = builder.schema().clone();
        let missing: Vec<_> =
            REQUIRED_COLUMNS.into_iter().filter(|name| schema.field_with_name(name).is_err()).collect();
        if !missing.is_empty() {
            let expected = format!("the columns {}", REQUIRED_COLUMNS.join(", "));
            return Err(Error::invalid_file(path, FORMAT, expected, format!("no {}", missing.join(", no "))));
        }
        let entries = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        let header = read_header(path, &entries)?;
        let file_crs = entry(&entries, geoparquet::METADATA_KEY).and_then(geoparquet::crs);

        // Transform, shape and CRS say where a chip is; geometry and centre repeat it and are left unread.
        let wanted = REQUIRED_COLUMNS.into_iter().take(TEXT_COLUMNS).chain(EXTRA_COLUMNS);
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
        let reader = builder
            .with_projection(mask)
            .build()
            .map_err(|e| Error::invalid_file(path, FORMAT, "a Parquet file", e.to_string()))?;
        let mut manifest = Self { rows: Vec::new(), header, facts: Facts::default() };
        for batch in reader {
            let batch = batch.map_err(|e| Error::invalid_file(path, FORMAT, "readable rows", e.to_string()))?;
            let columns = Columns::new(path, &batch, manifest.rows.len(), file_crs.as_ref())?;
            if manifest.rows.is_empty() && batch.num_rows() > 0 {
                manifest.facts = columns.facts()?;
            }
            for index in 0..batch.num_rows() {
                manifest.rows.push(columns.row(index)?);
            }
        }
        manifest.check(path)?;
        Ok(manifest)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let Some(first) = self.rows.first() else {
            return Err(Error::invalid_file(path, FORMAT, "at least one chip", "none; encode the raster again"));
        };
        let mut seen = HashSet::new();
        for row in &self.rows {
            if row.record.grid.crs != first.record.grid.crs {
                let found = format!("{} and {}", first.record.grid.crs, row.record.grid.crs);
                return Err(Error::invalid_file(path, FORMAT, "one CRS for all chips", found));
            }
            if !seen.insert(&row.record.chip_id) {
                return Err(Error::invalid_file(
                    path,
                    FORMAT,
                    "each chip once",
                    format!("{} twice", row.record.chip_id),
                ));
            }
        }
        Ok(())
    }
}

fn entry<'a>(entries: &'a [KeyValue], key: &str) -> Option<&'a str> {
    entries.iter().find(|entry| entry.key == key)?.value.as_deref()
}

fn read_header(path: &Path, entries: &[KeyValue]) -> Result<Option<Header>> {
    let Some(text) = entry(entries, HEADER_KEY) else { return Ok(None) };
    let version = serde_json::from_str::<serde_json::Value>(text).ok().and_then(|v| v["format_version"].as_u64());
    if version.is_some_and(|version| version > u64::from(FORMAT_VERSION)) {
        return Err(Error::Unsupported {
            what: format!("version {} of the feature folder {}", version.unwrap_or_default(), path.display()),
            reason: format!("this program reads version {FORMAT_VERSION}; use a newer one"),
        });
    }
    let header = serde_json::from_str(text)
        .map_err(|e| Error::invalid_file(path, FORMAT, format!("a {HEADER_KEY} entry in JSON"), e.to_string()))?;
    Ok(Some(header))
}

/// The text columns of a batch, whatever string type they were stored in.
struct Columns<'a> {
    path: &'a Path,
    first_row: usize,
    file_crs: Option<&'a Crs>,
    required: Vec<StringArray>,
    extra: Vec<Option<StringArray>>,
}

impl<'a> Columns<'a> {
    fn new(path: &'a Path, batch: &RecordBatch, first_row: usize, file_crs: Option<&'a Crs>) -> Result<Self> {
        let text = |name: &str| -> Result<Option<StringArray>> {
            let Some(column) = batch.column_by_name(name) else { return Ok(None) };
            // pandas writes LargeUtf8, or a column of nulls where nothing was recorded.
            let text = arrow_cast::cast(column, &DataType::Utf8).map_err(|e| {
                Error::invalid_file(
                    path,
                    FORMAT,
                    format!("text in column {name}"),
                    format!("{} ({e})", column.data_type()),
                )
            })?;
            Ok(Some(text.as_string::<i32>().clone()))
        };
        // The columns are there: `Manifest::read` looked.
        let required = REQUIRED_COLUMNS[..TEXT_COLUMNS].iter().filter_map(|name| text(name).transpose());
        Ok(Self {
            path,
            first_row,
            file_crs,
            required: required.collect::<Result<_>>()?,
            extra: EXTRA_COLUMNS.iter().map(|name| text(name)).collect::<Result<_>>()?,
        })
    }

    fn row(&self, index: usize) -> Result<Row> {
        let text = |name| self.text(name, index);
        let transform: [f64; 6] = self.json("transform", index, "a list of six numbers")?;
        let crs = match text("crs") {
            Ok(crs) if !crs.trim().is_empty() => Crs::new(crs),
            _ => self.file_crs.cloned().ok_or_else(|| self.invalid("crs", index, "a CRS", "none"))?,
        };
        let grid = GeoGrid::new(Affine::new(transform), self.shape("shape", index)?, crs)
            .map_err(|e| self.invalid("transform", index, "an invertible transform and a shape", &e.to_string()))?;
        let record = ChipRecord {
            chip_id: text("chip_id")?.to_string(),
            grid,
            dst_shape: self.shape("dst_shape", index)?,
            source_path: text("source_path")?.to_string(),
            model_type: text("model_type")?.parse().map_err(|_| {
                self.invalid("model_type", index, "sam, sam2 or sam3", text("model_type").unwrap_or(""))
            })?,
            checkpoint_path: text("checkpoint_path")?.to_string(),
            fingerprint: self.optional("weights_fingerprint", index),
        };
        Ok(Row {
            record: Arc::new(record),
            feature_path: text("feature_path")?.into(),
            relative_path: self.optional("feature_relpath", index),
            sha256: self.optional("sha256", index),
        })
    }

    fn facts(&self) -> Result<Facts> {
        let json = |name| self.optional(name, 0).map(|text| (name, text));
        Ok(Facts {
            model_id: self.optional("model_id", 0),
            origin_checkpoint: self.optional("origin_checkpoint", 0),
            bands: json("bands").map(|(name, text)| self.parse(name, 0, &text, "a list of bands")).transpose()?,
            value_range: json("value_range")
                .map(|(name, text)| self.parse(name, 0, &text, "a value range"))
                .transpose()?,
            preprocess: self.optional("preprocess", 0),
            dtype: self.optional("dtype", 0),
            geosam_version: self.optional("geosam_version", 0),
        })
    }

    fn shape(&self, name: &'static str, index: usize) -> Result<Shape> {
        let [height, width]: [usize; 2] = self.json(name, index, "a list of two whole numbers")?;
        Ok(Shape::new(height, width))
    }

    fn json<T: DeserializeOwned>(&self, name: &'static str, index: usize, expected: &str) -> Result<T> {
        self.parse(name, index, self.text(name, index)?, expected)
    }

    fn parse<T: DeserializeOwned>(&self, name: &str, index: usize, text: &str, expected: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|_| self.invalid(name, index, &format!("{expected} in JSON"), text))
    }

    fn text(&self, name: &'static str, index: usize) -> Result<&str> {
        let column = REQUIRED_COLUMNS.iter().position(|column| *column == name).map(|at| &self.required[at]);
        column
            .filter(|column| column.is_valid(index))
            .map(|column| column.value(index))
            .ok_or_else(|| self.invalid(name, index, "a text", "null"))
    }

    fn optional(&self, name: &str, index: usize) -> Option<String> {
        let at = EXTRA_COLUMNS.iter().position(|column| *column == name)?;
        let column = self.extra[at].as_ref()?;
        column.is_valid(index).then(|| column.value(index).to_string())
    }

    fn invalid(&self, column: &str, index: usize, expected: &str, found: &str) -> Error {
        let expected = format!("{expected} in column {column} of row {}", self.first_row + index);
        Error::invalid_file(self.path, FORMAT, expected, format!("\"{found}\""))
    }
}
