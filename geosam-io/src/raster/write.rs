//! Writing a raster.

use std::path::Path;

use gdal::cpl::CslStringList;
use gdal::errors::GdalError;
use geosam_core::{Error, GeoGrid, Pixels, Result, with_pixels};

use crate::gdal_setup::{self, dataset_error};
use crate::whole_files::{MemoryFolder, write_whole};
use crate::{gdal_ffi, osr};

/// Write `[bands, height, width]` values as a GeoTIFF on `grid`: tiled, deflated, with `nodata` as the value without data.
///
/// The file is put together in memory and appears whole or not at all.
///
/// # Errors
/// [`Error::InvalidArgument`] if the number of values is not bands × shape, [`Error::Crs`] for an unknown CRS,
/// [`Error::Dataset`] if GDAL cannot encode it, [`Error::Io`] if it cannot be written.
pub fn write_raster(path: &Path, grid: &GeoGrid, pixels: &Pixels, bands: usize, nodata: Option<f64>) -> Result<()> {
    gdal_setup::init();
    if bands == 0 || pixels.len() != bands * grid.shape.area() {
        return Err(Error::invalid_argument(
            "raster",
            format!("{bands} bands of {} pixels, at least one", grid.shape),
            format_args!("{} values", pixels.len()),
        ));
    }
    let srs = osr::spatial_ref(&grid.crs)?;
    let folder = MemoryFolder::new();
    let write = || -> std::result::Result<(), GdalError> {
        let mut options = CslStringList::new();
        for (name, value) in [("TILED", "YES"), ("COMPRESS", "DEFLATE"), ("BIGTIFF", "IF_SAFER")] {
            options.set_name_value(name, value)?;
        }
        if matches!(pixels, Pixels::I8(_)) && gdal_ffi::gdal_version() < 3_070_000 {
            options.set_name_value("PIXELTYPE", "SIGNEDBYTE")?;
        }
        let file = folder.file("raster.tif");
        let mut dataset = with_pixels!(pixels, values => {
            gdal_ffi::create_geotiff(&file.to_string_lossy(), grid.shape, bands, values, &options)
        })?;
        dataset.set_geo_transform(&grid.transform.to_gdal())?;
        dataset.set_spatial_ref(&srs)?;
        for band in 1..=bands {
            if nodata.is_some() {
                dataset.rasterband(band)?.set_no_data_value(nodata)?;
            }
        }
        gdal_ffi::close_written(dataset)
    };
    let bytes = write()
        .and_then(|()| folder.take("raster.tif"))
        .map_err(|error| dataset_error("write", &path.to_string_lossy(), error))?;
    write_whole(path, &bytes)
}
