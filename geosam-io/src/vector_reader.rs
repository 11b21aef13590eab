//! A vector file that is read: its layer, its CRS, its features.

use std::path::Path;

use gdal::errors::GdalError;
use gdal::vector::{Feature, Layer, LayerAccess, OGRwkbGeometryType};
use gdal::{Dataset, DatasetOptions, GdalOpenFlags};
use geosam_core::{Crs, Error, Result};

use crate::gdal_setup::{self, dataset_error};
use crate::osr::crs_of;

/// Columns of a CSV file that hold coordinates, those of Python geosam, or geometries as WKT.
const CSV_OPTIONS: [&str; 5] = [
    "X_POSSIBLE_NAMES=x,xs,lon,longitude,long,longitudes",
    "Y_POSSIBLE_NAMES=y,ys,lat,latitude,lats,latitudes",
    "GEOM_POSSIBLE_NAMES=wkt,geometry,geom",
    "KEEP_GEOM_COLUMNS=NO",
    "AUTODETECT_TYPE=YES",
];

/// Anything that GDAL opens as a vector.
pub(crate) struct VectorReader<'a> {
    path: &'a Path,
    /// What it is to be, for messages: `prompt file`.
    format: &'static str,
    dataset: Dataset,
}

impl<'a> VectorReader<'a> {
    pub(crate) fn open(path: &'a Path, format: &'static str) -> Result<Self> {
        gdal_setup::init();
        let is_table = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv") || e.eq_ignore_ascii_case("tsv"));
        let flags =
            GdalOpenFlags::GDAL_OF_VECTOR | GdalOpenFlags::GDAL_OF_READONLY | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR;
        let open_options = is_table.then_some(&CSV_OPTIONS[..]);
        let options = DatasetOptions { open_flags: flags, open_options, ..DatasetOptions::default() };
        let dataset = Dataset::open_ex(path, options)
            .map_err(|error| dataset_error("read", &path.display().to_string(), error))?;
        Ok(Self { path, format, dataset })
    }

    /// [`Error::InvalidFile`] about this file.
    pub(crate) fn invalid(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::invalid_file(self.path, self.format, expected, found)
    }

    /// [`Error::Dataset`] about this file.
    pub(crate) fn failed(&self, error: GdalError) -> Error {
        dataset_error("read", &self.path.display().to_string(), error)
    }

    /// The layer with this name, or the only one that has geometries.
    pub(crate) fn layer(&self, name: Option<&str>) -> Result<Layer<'_>> {
        let mut layers: Vec<_> = self
            .dataset
            .layers()
            .filter(|layer| name.is_none_or(|name| layer.name() == name))
            .filter(|layer| layer.defn().geometry_type() != OGRwkbGeometryType::wkbNone)
            .collect();
        let names = |layers: &[Layer<'_>]| layers.iter().map(LayerAccess::name).collect::<Vec<_>>().join(", ");
        match (layers.pop(), layers.is_empty(), name) {
            (Some(layer), true, _) => Ok(layer),
            (Some(last), false, _) => Err(Error::invalid_argument(
                "layer",
                "the name of the layer to read, as the file has several",
                format_args!("none; there are {}, {}", names(&layers), last.name()),
            )),
            (None, _, Some(name)) => {
                let all: Vec<_> = self.dataset.layers().collect();
                Err(Error::invalid_argument("layer", format!("one of {}, with geometries", names(&all)), name))
            }
            (None, _, None) => {
                Err(self.invalid("geometries (in a CSV file, columns called x and y, lon and lat, or wkt)", "none"))
            }
        }
    }

    /// The CRS that a layer names, or `unnamed` where it names none.
    pub(crate) fn crs(&self, layer: &Layer<'_>, unnamed: Option<&Crs>) -> Result<Crs> {
        // GeoPackage has two entries that say that nothing is known.
        let known = layer.spatial_ref().filter(|srs| srs.name().is_none_or(|name| !name.starts_with("Undefined")));
        match (known.map(crs_of).transpose()?, unnamed) {
            // GeoJSON with heights, of which we make no use.
            (Some(crs), _) if crs == Crs::new("EPSG:4979") => Ok(Crs::wgs84()),
            (Some(crs), _) => Ok(crs),
            (None, Some(crs)) => Ok(crs.clone()),
            (None, None) => Err(Error::MissingCrs {
                what: format!("the {} {}", self.format, self.path.display()),
                remedy: "give the CRS its coordinates are in, for example EPSG:4326",
            }),
        }
    }

    /// What `read` makes of every feature and its id.
    pub(crate) fn features<T>(
        &self,
        layer: &mut Layer<'_>,
        mut read: impl FnMut(i64, &Feature<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let expected = layer.feature_count();
        let mut features = Vec::new();
        for (index, feature) in layer.features().enumerate() {
            features.push(read(feature.fid().map_or(index as i64, |id| id as i64), &feature)?);
        }
        // GDAL's iteration ends as quietly at a broken feature as at the last one.
        if features.len() as u64 != expected {
            let found = format!("{} that can be read", features.len());
            return Err(self.invalid(format!("{expected} features"), found));
        }
        Ok(features)
    }
}
