//! Masks as GeoTIFF files.

use std::path::Path;

use gdal::DriverManager;
use gdal::cpl::CslStringList;
use gdal::errors::GdalError;
use gdal::raster::RasterCreationOptions;
use geosam_core::{Error, GeoGrid, Masks, Result};

use crate::gdal_ffi::{close_written, create_geotiff};
use crate::gdal_setup::dataset_error;
use crate::osr::spatial_ref;
use crate::whole_files::{MemoryFolder, with_suffix, write_parts};

/// Layout of a mask file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaskFormat {
    /// GeoTIFF: tiled, deflate, one band after the other.
    #[default]
    GeoTiff,
    /// Cloud Optimized GeoTIFF: the same with overviews, each pixel of them what most of its four pixels are.
    Cog,
}

/// Write masks to a GeoTIFF: one 8-bit band for each mask, 1 on the object and 0 elsewhere, no nodata value, with the
/// transform and CRS of `grid`.
///
/// An existing file is replaced in one step: a write that fails or is interrupted leaves it as it was. The compressed
/// file is put together in memory.
///
/// # Errors
/// [`Error::InvalidArgument`] unless `path` ends in `.tif` or `.tiff`, there is a mask, and the masks have the grid's
/// shape; [`Error::Crs`] if the CRS is unknown; [`Error::Io`] if the file cannot be written.
///
/// # Examples
/// ```
/// use geosam_core::{Affine, Crs, GeoGrid, Masks, Shape};
/// use geosam_io::{MaskFormat, write_mask};
///
/// # let folder = tempfile::tempdir()?;
/// let shape = Shape::square(64);
/// let grid = GeoGrid::new(Affine::from_origin(500000.0, 4000000.0, 0.5, 0.5), shape, Crs::new("EPSG:32632"))?;
/// let masks = Masks::new(shape, (0..64 * 64).map(|pixel| pixel % 64 < 32).collect())?;
/// write_mask(folder.path().join("mask.tif"), &masks, &grid, MaskFormat::Cog)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_mask(path: impl AsRef<Path>, masks: &Masks, grid: &GeoGrid, format: MaskFormat) -> Result<()> {
    let path = path.as_ref();
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    if extension != "tif" && extension != "tiff" {
        return Err(Error::invalid_argument("mask file", "a name ending in .tif or .tiff", path.display()));
    }
    if masks.is_empty() {
        return Err(Error::invalid_argument("masks", "at least one, as a GeoTIFF has a band", "none"));
    }
    if masks.shape() != grid.shape {
        return Err(Error::invalid_argument("masks", format!("the grid's shape, {}", grid.shape), masks.shape()));
    }
    let srs = spatial_ref(&grid.crs)?;
    let folder = MemoryFolder::new();
    let write = || -> Result<(), GdalError> {
        let values: Vec<u8> = masks.values().iter().map(|&inside| u8::from(inside)).collect();
        let mut options = CslStringList::new();
        for (name, value) in [("TILED", "YES"), ("COMPRESS", "DEFLATE"), ("INTERLEAVE", "BAND")] {
            options.set_name_value(name, value)?;
        }
        let plain = folder.file("plain.tif").display().to_string();
        let mut dataset = create_geotiff(&plain, grid.shape, masks.len(), &values, &options)?;
        dataset.set_geo_transform(&grid.transform.to_gdal())?;
        dataset.set_spatial_ref(&srs)?;
        if format == MaskFormat::Cog {
            let options = ["COMPRESS=DEFLATE", "OVERVIEW_RESAMPLING=MODE"];
            let options = RasterCreationOptions::from_iter(options);
            let cog = DriverManager::get_driver_by_name("COG")?;
            close_written(dataset.create_copy(&cog, folder.file("cog.tif"), &options)?)?;
        }
        close_written(dataset)
    };
    let failed = |error| dataset_error("write", &path.display().to_string(), error);
    write().map_err(failed)?;
    let file = if format == MaskFormat::Cog { "cog.tif" } else { "plain.tif" };
    let bytes = folder.take(file).map_err(failed)?;
    let stale = [".aux.xml", ".ovr", ".msk"].map(|suffix| with_suffix(path, suffix));
    write_parts(path, &[(path.to_path_buf(), bytes)], &stale)
}
