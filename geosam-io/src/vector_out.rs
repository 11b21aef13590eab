//! Masks as polygons in vector files.

use std::path::{Path, PathBuf};

use gdal::Dataset;
use gdal::vector::LayerAccess;
use geosam_core::{Error, MaskFeatures, Result};

use crate::gdal_setup::{self, dataset_error};
use crate::geojson_out::to_rfc7946;
use crate::osr::spatial_ref;
use crate::vector_columns::columns;
use crate::vector_layer::VectorLayer;
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

    pub(crate) const fn driver(self) -> &'static str {
        match self {
            Self::GeoJson => "GeoJSON",
            Self::GeoPackage => "GPKG",
            Self::FlatGeobuf => "FlatGeobuf",
            Self::Shapefile => "ESRI Shapefile",
        }
    }

    /// Files that belong to the one being replaced and would be taken for the new one's.
    pub(crate) fn stale(self, path: &Path) -> Vec<PathBuf> {
        match self {
            Self::GeoJson | Self::FlatGeobuf => Vec::new(),
            Self::GeoPackage => ["-wal", "-shm", "-journal"].map(|suffix| with_suffix(path, suffix)).into(),
            Self::Shapefile => ["qix", "sbn", "sbx"].map(|extension| path.with_extension(extension)).into(),
        }
    }
}

impl VectorFormat {
    /// Refuses to replace a GeoPackage that holds more than the layer that would be written.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], naming one of the others.
    pub(crate) fn check_replaceable(self, path: &Path) -> Result<()> {
        if self != Self::GeoPackage || !path.is_file() {
            return Ok(());
        }
        gdal_setup::init();
        // What GDAL cannot open is no GeoPackage that anybody could want.
        let Ok(old) = Dataset::open(path) else { return Ok(()) };
        let own = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut others = old.layers().map(|layer| layer.name()).filter(|name| *name != own);
        let other = others.next().or_else(|| (old.raster_count() > 0).then(|| "a raster".to_string()));
        match other {
            None => Ok(()),
            Some(other) => Err(Error::invalid_argument(
                "output",
                format!("a new file, or a GeoPackage with the layer {own} alone, which is replaced"),
                format!("{} with {other}", path.display()),
            )),
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
/// between the renaming of its parts) leaves none. A GeoPackage with other layers is not replaced.
///
/// # Errors
/// [`Error::InvalidArgument`] for an unknown extension, or a GeoPackage that holds other layers; [`Error::Crs`] if the CRS is
/// unknown or a coordinate has no longitude and latitude, [`Error::Io`] if the file cannot be written, [`Error::Dataset`] if GDAL refuses a feature.
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
    format.check_replaceable(path)?;
    let folder = MemoryFolder::new();
    let main = format!("layer.{}", path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase());
    let srs = spatial_ref(&features.crs)?;
    let failed = |error| dataset_error("write", &path.display().to_string(), error);
    let write = || {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let columns = columns(&features.features, format);
        let mut layer = VectorLayer::create(&folder.file(&main), &name, columns, &srs, format)?;
        layer.append(&features.features)?;
        layer.close()
    };
    write().map_err(failed)?;
    let mut parts = Vec::new();
    for name in folder.names() {
        let part = if name == main { path.to_path_buf() } else { path.with_extension(extension_of(&name)) };
        parts.push((part, folder.take(&name).map_err(failed)?));
    }
    write_parts(path, &parts, &format.stale(path))
}

fn extension_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}
