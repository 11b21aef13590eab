//! Masks as polygons in vector files.

use std::path::{Path, PathBuf};

use gdal::DriverManager;
use gdal::errors::GdalError;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Feature, FieldDefn, LayerAccess, LayerOptions, OGRFieldType, OGRwkbGeometryType, ToGdal};
use geosam_core::{Error, MaskFeatures, Result};
use serde_json::Value;

use crate::gdal_ffi::close_written;
use crate::gdal_setup::dataset_error;
use crate::geojson_out::to_rfc7946;
use crate::osr::spatial_ref;
use crate::vector_columns::{Column, ColumnType, columns};
use crate::whole_files::{MemoryFolder, with_suffix, write_parts, write_whole};

/// A format that [`write_vector`] writes, by the extension of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VectorFormat {
    /// `.geojson`, `.json`: RFC 7946, always in WGS 84 longitude and latitude.
    GeoJson,
    /// `.gpkg`: GeoPackage.
    GeoPackage,
    /// `.fgb`: FlatGeobuf; its spatial index puts the features in another order.
    FlatGeobuf,
    /// `.shp`: Shapefile, with its parts `.shx`, `.dbf`, `.prj` and `.cpg` beside it.
    Shapefile,
}

impl VectorFormat {
    /// The format for a file name.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], with the known extensions, for any other.
    pub fn for_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match &*extension {
            "geojson" | "json" => Ok(Self::GeoJson),
            "gpkg" => Ok(Self::GeoPackage),
            "fgb" => Ok(Self::FlatGeobuf),
            "shp" => Ok(Self::Shapefile),
            _ => Err(Error::invalid_argument(
                "vector file",
                "a name ending in .geojson, .json, .gpkg, .fgb or .shp",
                path.display(),
            )),
        }
    }

    const fn driver(self) -> &'static str {
        match self {
            Self::GeoJson => "GeoJSON",
            Self::GeoPackage => "GPKG",
            Self::FlatGeobuf => "FlatGeobuf",
            Self::Shapefile => "ESRI Shapefile",
        }
    }

    /// Files that belong to the one being replaced and would be taken for the new one's.
    fn stale(self, path: &Path) -> Vec<PathBuf> {
        match self {
            Self::GeoJson | Self::FlatGeobuf => Vec::new(),
            Self::GeoPackage => ["-wal", "-shm", "-journal"].map(|suffix| with_suffix(path, suffix)).into(),
            Self::Shapefile => ["qix", "sbn", "sbx"].map(|extension| path.with_extension(extension)).into(),
        }
    }
}

/// Write polygons and their properties to a vector file in the format of its extension ([`VectorFormat`]).
///
/// GeoJSON is written in WGS 84 as RFC 7946 asks, coordinates rounded to 10⁻⁹ degrees; the other formats keep the CRS of
/// `features`. Layers are called after the file. No features make a valid file with an empty layer.
///
/// Columns are the properties of all features together, null where a feature lacks one. Whole numbers and booleans (as
/// 0 and 1) become 64-bit integers, other numbers reals, everything else text, lists and objects as JSON; GeoJSON keeps
/// the values as they are. Column names are made unique regardless of case by appending `_1`, `_2`, …; `fid` and `geom`
/// are taken in a GeoPackage. In a Shapefile names are cut to 10 bytes, and texts to 254.
///
/// An existing file is replaced in one step: a write that fails or is interrupted leaves it as it was, or (a Shapefile,
/// between the renaming of its parts) leaves none.
///
/// # Errors
/// [`Error::InvalidArgument`] for an unknown extension, [`Error::Crs`] if the CRS is unknown or a coordinate has no
/// longitude and latitude, [`Error::Io`] if the file cannot be written, [`Error::Dataset`] if GDAL refuses a feature.
///
/// # Examples
/// ```
/// use geo_types::polygon;
/// use geosam_core::{Crs, MaskFeatures, MaskPolygon};
/// use geosam_io::write_vector;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("roof.gpkg");
/// let roof = polygon![(x: 500000.0, y: 4000000.0), (x: 500010.0, y: 4000000.0), (x: 500010.0, y: 4000008.0)];
/// let properties = serde_json::json!({"area": 40.0, "score": 0.98}).as_object().cloned().unwrap_or_default();
/// let features =
///     MaskFeatures { crs: Crs::new("EPSG:32632"), features: vec![MaskPolygon { polygon: roof, properties }] };
/// write_vector(&path, &features)?;
/// # assert!(path.is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_vector(path: impl AsRef<Path>, features: &MaskFeatures) -> Result<()> {
    let path = path.as_ref();
    let format = VectorFormat::for_path(path)?;
    if format == VectorFormat::GeoJson {
        return write_whole(path, &to_rfc7946(features)?);
    }
    let folder = MemoryFolder::new();
    let main = format!("layer.{}", path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase());
    let srs = spatial_ref(&features.crs)?;
    let failed = |error| dataset_error("write", &path.display().to_string(), error);
    write_layer(&folder.file(&main), path, features, &srs, format).map_err(failed)?;
    let mut parts = Vec::new();
    for name in folder.names() {
        let part = if name == main { path.to_path_buf() } else { path.with_extension(extension_of(&name)) };
        parts.push((part, folder.take(&name).map_err(failed)?));
    }
    write_parts(path, &parts, &format.stale(path))
}

/// Write a layer to a file in memory; `path` lends it the name.
fn write_layer(
    file: &Path,
    path: &Path,
    features: &MaskFeatures,
    srs: &SpatialRef,
    format: VectorFormat,
) -> Result<(), GdalError> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut dataset = DriverManager::get_driver_by_name(format.driver())?.create_vector_only(file)?;
    let layer = dataset.create_layer(LayerOptions {
        name: &name,
        srs: Some(srs),
        ty: OGRwkbGeometryType::wkbPolygon,
        options: (format == VectorFormat::Shapefile).then_some(&["ENCODING=UTF-8"]),
    })?;
    let columns = columns(features, format);
    for column in &columns {
        define(column, format)?.add_to_layer(&layer)?;
    }
    for mask in &features.features {
        let mut feature = Feature::new(layer.defn())?;
        feature.set_geometry(mask.polygon.to_gdal()?)?;
        for (index, column) in columns.iter().enumerate() {
            set_field(&mut feature, index, column.column_type, mask.properties.get(&column.key))?;
        }
        feature.create(&layer)?;
    }
    close_written(dataset)
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

fn extension_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}
