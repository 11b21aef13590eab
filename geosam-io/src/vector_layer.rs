//! A layer that GDAL writes.

use std::path::Path;

use gdal::errors::GdalError;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Feature, FieldDefn, LayerAccess, LayerOptions, OGRFieldType, OGRwkbGeometryType, ToGdal};
use gdal::{Dataset, DriverManager};
use geosam_core::MaskPolygon;
use serde_json::Value;

use crate::gdal_ffi::close_written;
use crate::vector_columns::{Column, ColumnType};
use crate::vector_out::VectorFormat;

/// A vector file with one layer of polygons, open for writing.
#[derive(Debug)]
pub(crate) struct VectorLayer {
    dataset: Dataset,
    columns: Vec<Column>,
    format: VectorFormat,
}

impl VectorLayer {
    /// Create `file` with a layer called `name`.
    pub(crate) fn create(
        file: &Path,
        name: &str,
        columns: Vec<Column>,
        srs: &SpatialRef,
        format: VectorFormat,
    ) -> Result<Self, GdalError> {
        let mut dataset = DriverManager::get_driver_by_name(format.driver())?.create_vector_only(file)?;
        let layer = dataset.create_layer(LayerOptions {
            name,
            srs: Some(srs),
            ty: OGRwkbGeometryType::wkbPolygon,
            options: (format == VectorFormat::Shapefile).then_some(&["ENCODING=UTF-8"]),
        })?;
        for column in &columns {
            define(column, format)?.add_to_layer(&layer)?;
        }
        Ok(Self { dataset, columns, format })
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Append features; properties without a column are left out.
    pub(crate) fn append(&mut self, features: &[MaskPolygon]) -> Result<(), GdalError> {
        if self.format == VectorFormat::GeoPackage {
            // One transaction: else SQLite commits every feature.
            let transaction = self.dataset.start_transaction()?;
            append(&transaction, &self.columns, features)?;
            return transaction.commit();
        }
        append(&self.dataset, &self.columns, features)
    }

    pub(crate) fn close(self) -> Result<(), GdalError> {
        close_written(self.dataset)
    }
}

fn append(dataset: &Dataset, columns: &[Column], features: &[MaskPolygon]) -> Result<(), GdalError> {
    let layer = dataset.layer(0)?;
    for mask in features {
        let mut feature = Feature::new(layer.defn())?;
        feature.set_geometry(mask.polygon.to_gdal()?)?;
        for (index, column) in columns.iter().enumerate() {
            set_field(&mut feature, index, column.column_type, mask.properties.get(&column.key))?;
        }
        feature.create(&layer)?;
    }
    Ok(())
}

fn define(column: &Column, format: VectorFormat) -> Result<FieldDefn, GdalError> {
    let field = match column.column_type {
        ColumnType::Integer { .. } => FieldDefn::new(&column.name, OGRFieldType::OFTInteger64)?,
        ColumnType::Real { digits } => {
            let field = FieldDefn::new(&column.name, OGRFieldType::OFTReal)?;
            if format == VectorFormat::Shapefile {
                // A fixed number of decimals: as many as a double has left of its 16 digits. The driver's own
                // choice, 15, cuts numbers of more than eight digits short.
                field.set_width(digits as i32 + 18);
                field.set_precision((16 - digits as i32).max(0));
            }
            field
        }
        ColumnType::Text => FieldDefn::new(&column.name, OGRFieldType::OFTString)?,
    };
    Ok(field)
}

fn set_field(
    feature: &mut Feature<'_>,
    index: usize,
    column_type: ColumnType,
    value: Option<&Value>,
) -> Result<(), GdalError> {
    match (column_type, value) {
        (_, None | Some(Value::Null)) => feature.set_field_null(index),
        (ColumnType::Integer { .. }, Some(Value::Bool(value))) => feature.set_field_integer64(index, i64::from(*value)),
        (ColumnType::Integer { .. }, Some(value)) => {
            feature.set_field_integer64(index, value.as_i64().unwrap_or_default())
        }
        (ColumnType::Real { .. }, Some(value)) => {
            let number = value.as_bool().map(|value| f64::from(u8::from(value))).or_else(|| value.as_f64());
            feature.set_field_double(index, number.unwrap_or(f64::NAN))
        }
        (ColumnType::Text, Some(Value::String(text))) => feature.set_field_string(index, text),
        (ColumnType::Text, Some(value)) => feature.set_field_string(index, &value.to_string()),
    }
}
