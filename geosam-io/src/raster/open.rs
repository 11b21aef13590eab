//! Opening a raster with GDAL, and saying why it cannot be.

use std::path::Path;

use gdal::raster::ColorInterpretation;
use gdal::{Dataset, DatasetOptions, GdalOpenFlags, Metadata};
use geosam_core::{Affine, Crs, Error, Result, Shape};

use super::element::ElementType;
use crate::gdal_setup::{self, dataset_error};
use crate::{gdal_ffi, osr};

/// Open any raster that GDAL opens.
pub(super) fn open(source: &str) -> Result<Dataset> {
    gdal_setup::init();
    let options = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_RASTER | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
        ..DatasetOptions::default()
    };
    let dataset = Dataset::open_ex(source, options).map_err(|error| {
        let said = gdal_setup::message(&error);
        let reason = if said.contains("No such file") || said.contains("does not exist") {
            "there is no such file; check the path".to_string()
        } else if std::path::Path::new(source).is_dir() {
            "it is neither a raster that is a folder nor a folder of features, as it has no manifest.parquet"
                .to_string()
        } else if said.contains("not recognized as") {
            format!("it is not a raster in a format that GDAL {} reads", gdal::version::version_info("RELEASE_NAME"))
        } else {
            said
        };
        Error::Dataset { operation: "open", dataset: source.to_string(), reason, source: Some(error.into()) }
    })?;
    if dataset.raster_count() == 0 {
        return Err(Error::Dataset {
            operation: "open",
            dataset: source.to_string(),
            reason: no_bands(&dataset),
            source: None,
        });
    }
    Ok(dataset)
}

/// The absolute path of a file; every other connection string as it is.
pub(super) fn absolute(source: &str) -> String {
    match Path::new(source).canonicalize() {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(_) => source.to_string(),
    }
}

fn no_bands(dataset: &Dataset) -> String {
    let parts: Vec<String> = dataset
        .metadata_domain("SUBDATASETS")
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| Some(entry.split_once("_NAME=")?.1.to_string()))
        .collect();
    if parts.is_empty() {
        return "it has no raster bands".to_string();
    }
    format!("it is a container without bands of its own; open one of its parts: {}", parts.join(", "))
}

/// What a raster says about itself.
#[derive(Clone, Debug)]
pub(super) struct SourceFacts {
    pub(super) shape: Shape,
    /// The identity where the raster has none: pixels counted from the top-left corner.
    pub(super) transform: Affine,
    pub(super) crs: Option<Crs>,
    pub(super) alpha: Option<usize>,
    /// Value without data of the first band, if its type can hold it: what rasterio warps with.
    pub(super) nodata: Option<f64>,
}

pub(super) fn source_facts(dataset: &Dataset, source: &str) -> Result<SourceFacts> {
    let gdal = |error| dataset_error("read", source, error);
    let (width, height) = dataset.raster_size();
    let transform = dataset.geo_transform().map(Affine::from_gdal);
    if transform.is_err() && !dataset.gcps().is_empty() {
        return Err(Error::Unsupported {
            what: format!("the raster {source}"),
            reason: "it is placed by ground control points only; warp it first, for example with gdalwarp".to_string(),
        });
    }
    let mut alpha = None;
    for band in 1..=dataset.raster_count() {
        if dataset.rasterband(band).map_err(gdal)?.color_interpretation() == ColorInterpretation::AlphaBand {
            alpha = Some(band);
        }
    }
    let element = element_type(dataset, &[1], source)?;
    Ok(SourceFacts {
        shape: Shape::new(height, width),
        transform: transform.unwrap_or(Affine::new([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])),
        crs: dataset.spatial_ref().ok().map(osr::crs_of).transpose()?,
        alpha,
        nodata: dataset.rasterband(1).map_err(gdal)?.no_data_value().filter(|value| element.can_hold(*value)),
    })
}

/// The smallest type that holds the values of all `bands`.
pub(super) fn element_type(dataset: &Dataset, bands: &[usize], source: &str) -> Result<ElementType> {
    let gdal = |error| dataset_error("read", source, error);
    let mut code = gdal_ffi::band_data_type(dataset, bands[0]).map_err(gdal)?;
    let mut signed_bytes = true;
    for &band in bands {
        code = gdal_ffi::data_type_union(code, gdal_ffi::band_data_type(dataset, band).map_err(gdal)?);
        let marked = dataset.rasterband(band).map_err(gdal)?.metadata_item("PIXELTYPE", "IMAGE_STRUCTURE");
        signed_bytes &= marked.as_deref() == Some("SIGNEDBYTE");
    }
    ElementType::from_gdal(code, signed_bytes)
}

/// The bands to read, checked; by default the first three that are not alpha.
pub(super) fn bands(dataset: &Dataset, chosen: Option<&[usize]>, alpha: Option<usize>) -> Result<Vec<usize>> {
    let count = dataset.raster_count();
    let bands: Vec<usize> = match chosen {
        Some(bands) => bands.to_vec(),
        // A raster of nothing but alpha is shown as it is.
        None if count == 1 => vec![1],
        None => (1..=count).filter(|band| Some(*band) != alpha).take(3).collect(),
    };
    if bands.is_empty() || bands.iter().any(|band| !(1..=count).contains(band)) {
        let available = (1..=count).map(|band| {
            let name = dataset.rasterband(band).ok().map(|b| band_name(&b)).unwrap_or_default();
            if name.is_empty() { band.to_string() } else { format!("{band} ({name})") }
        });
        return Err(Error::invalid_argument(
            "bands",
            format!("numbers of bands, counted from 1: {}", available.collect::<Vec<_>>().join(", ")),
            format_args!("{bands:?}"),
        ));
    }
    Ok(bands)
}

/// A band's description, or its colour where it has none.
pub(super) fn band_name(band: &gdal::raster::RasterBand<'_>) -> String {
    match band.description() {
        Ok(name) if !name.is_empty() => name,
        _ => match band.color_interpretation() {
            ColorInterpretation::Undefined | ColorInterpretation::GrayIndex => String::new(),
            color => color.name().to_lowercase(),
        },
    }
}
