//! Polygons into vector files, a few at a time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use geosam_core::{Crs, Error, MaskFeatures, MaskPolygon, Result};

use crate::gdal_setup::{self, dataset_error};
use crate::geojson_out::{HEAD, SEPARATOR, TAIL, to_lines};
use crate::osr::spatial_ref;
use crate::staging_folder::StagingFolder;
use crate::vector_columns::columns;
use crate::vector_layer::VectorLayer;
use crate::vector_out::VectorFormat;

/// Features that are written together; the columns are settled from the first of them.
const FEATURES_AT_ONCE: usize = 1024;

/// Writes polygons to a vector file as they come, however many: [`write_vector`](crate::write_vector) for results that are
/// not in memory together.
///
/// GeoJSON, GeoPackage and FlatGeobuf are written as [`write_vector`](crate::write_vector) writes them. The file appears with
/// [`VectorWriter::finish`], in one step; a writer that is dropped before leaves everything as it was.
///
/// Columns are the properties of the first thousand features together; later ones may not have others.
///
/// # Examples
/// ```
/// use geo_types::polygon;
/// use geosam_core::{Crs, MaskFeatures, MaskPolygon};
/// use geosam_io::VectorWriter;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("roofs.gpkg");
/// let mut writer = VectorWriter::create(&path, &Crs::new("EPSG:32632"))?;
/// for number in 0..3 {
///     let x = 500000.0 + 20.0 * f64::from(number);
///     let roof = polygon![(x: x, y: 4000000.0), (x: x + 10.0, y: 4000000.0), (x: x + 10.0, y: 4000008.0)];
///     let properties = serde_json::json!({"id": number}).as_object().cloned().unwrap_or_default();
///     let features = vec![MaskPolygon { polygon: roof, properties }];
///     writer.write(MaskFeatures { crs: Crs::new("EPSG:32632"), features })?;
/// }
/// assert!(!path.exists());
/// writer.finish()?;
/// assert!(path.is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct VectorWriter {
    // Closed before the folder goes.
    sink: Sink,
    folder: StagingFolder,
    format: VectorFormat,
    waiting: MaskFeatures,
    /// Something is missing from the file.
    failed: bool,
}

/// The file, once there is something to write.
#[derive(Debug)]
enum Sink {
    Nothing,
    Text(BufWriter<File>),
    Layer(VectorLayer),
}

impl VectorWriter {
    /// A file for features in `crs`, in the format of its extension: .geojson, .json, .gpkg or .fgb.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown extension or a GeoPackage that holds other layers, [`Error::Unsupported`] for a Shapefile, whose columns are as wide as
    /// the largest value of all features; [`Error::Crs`] if the CRS is unknown, [`Error::Io`] if the folder cannot be written
    /// to.
    pub fn create(path: impl AsRef<Path>, crs: &Crs) -> Result<Self> {
        gdal_setup::init();
        let path = path.as_ref();
        let format = VectorFormat::for_path(path)?;
        if format == VectorFormat::Shapefile {
            return Err(Error::Unsupported {
                what: format!("writing {} feature by feature", path.display()),
                reason: "the columns of a Shapefile depend on all features; write .gpkg, .fgb or .geojson".to_string(),
            });
        }
        format.check_replaceable(path)?;
        spatial_ref(crs)?;
        let folder = StagingFolder::beside(path)?;
        let waiting = MaskFeatures { crs: crs.clone(), features: Vec::new() };
        Ok(Self { sink: Sink::Nothing, folder, format, waiting, failed: false })
    }

    /// Append features, which must be in the writer's CRS.
    ///
    /// # Errors
    /// [`Error::Crs`] for another CRS, or if a coordinate of GeoJSON has no longitude and latitude; [`Error::InvalidArgument`]
    /// for a property that has no column or does not fit in it; [`Error::Io`] or [`Error::Dataset`] if it cannot be written.
    /// The file will not appear then.
    pub fn write(&mut self, features: MaskFeatures) -> Result<()> {
        let result = self.append(features);
        self.failed |= result.is_err();
        result
    }

    fn append(&mut self, features: MaskFeatures) -> Result<()> {
        if features.crs != self.waiting.crs {
            return Err(Error::Crs {
                crs: features.crs.to_string(),
                reason: format!("the file is in {}; bring features over with to_crs", self.waiting.crs),
                source: None,
            });
        }
        self.waiting.features.extend(features.features);
        if self.waiting.features.len() >= FEATURES_AT_ONCE { self.flush() } else { Ok(()) }
    }

    /// Put the file in its place, where an existing one is replaced.
    ///
    /// # Errors
    /// As [`VectorWriter::write`], and if that has failed.
    pub fn finish(mut self) -> Result<()> {
        self.folder.check_complete(self.failed)?;
        self.flush()?;
        let Self { sink, folder, format, .. } = self;
        match sink {
            Sink::Nothing => {}
            Sink::Text(mut text) => {
                let finished = text.write_all(TAIL.as_bytes()).and_then(|()| text.flush());
                finished.map_err(|e| Error::io("write", folder.path(), e))?;
            }
            Sink::Layer(layer) => {
                layer.close().map_err(|e| dataset_error("write", &folder.path().to_string_lossy(), e))?;
            }
        }
        let stale = format.stale(folder.path());
        let name = file_name(format);
        folder.commit(name, &stale)
    }

    /// Write what waits; the first time also what comes before it.
    fn flush(&mut self) -> Result<()> {
        let empty = MaskFeatures { crs: self.waiting.crs.clone(), features: Vec::new() };
        let features = std::mem::replace(&mut self.waiting, empty);
        let path = self.folder.path();
        let file = self.folder.file(file_name(self.format));
        let failed = |e| dataset_error("write", &path.to_string_lossy(), e);
        match &mut self.sink {
            Sink::Nothing if self.format == VectorFormat::GeoJson => {
                let text = File::create(&file).map(BufWriter::new);
                let mut text = text.map_err(|e| Error::io("write", path, e))?;
                write_lines(&mut text, HEAD, &features, path)?;
                self.sink = Sink::Text(text);
            }
            Sink::Nothing => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let columns = columns(&features.features, self.format);
                let srs = spatial_ref(&self.waiting.crs)?;
                let layer = VectorLayer::create(&file, &name, columns, &srs, self.format);
                let mut layer = layer.map_err(failed)?;
                layer.append(&features.features).map_err(failed)?;
                self.sink = Sink::Layer(layer);
            }
            Sink::Text(text) => {
                let before = if features.features.is_empty() { "" } else { SEPARATOR };
                write_lines(text, before, &features, path)?;
            }
            Sink::Layer(layer) => {
                features.features.iter().try_for_each(|feature| check_columns(layer, feature))?;
                layer.append(&features.features).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Its name in the staging folder, by which GDAL's drivers know their format.
const fn file_name(format: VectorFormat) -> &'static str {
    match format {
        VectorFormat::GeoJson => "layer.geojson",
        VectorFormat::GeoPackage => "layer.gpkg",
        VectorFormat::FlatGeobuf => "layer.fgb",
        VectorFormat::Shapefile => "layer.shp",
    }
}

fn write_lines(text: &mut BufWriter<File>, before: &str, features: &MaskFeatures, path: &Path) -> Result<()> {
    let lines = [before, &to_lines(features)?.join(SEPARATOR)].concat();
    text.write_all(lines.as_bytes()).map_err(|e| Error::io("write", path, e))
}

fn check_columns(layer: &VectorLayer, feature: &MaskPolygon) -> Result<()> {
    for (key, value) in &feature.properties {
        let column = layer.columns().iter().find(|column| column.key == *key);
        if !column.is_some_and(|column| column.holds(value)) {
            let names: Vec<_> = layer.columns().iter().map(|column| column.key.as_str()).collect();
            let expected =
                format!("values of the same kinds as in the first features, which have {}", names.join(", "));
            return Err(Error::invalid_argument("properties", expected, format_args!("{key}: {value}")));
        }
    }
    Ok(())
}
