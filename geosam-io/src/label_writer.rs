//! Many masks as one raster of labels.

use std::collections::HashMap;
use std::path::Path;

use gdal::errors::GdalError;
use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::{Dataset, DriverManager};
use geosam_core::{Error, GeoGrid, Result, Shape, Window};

use crate::gdal_ffi::close_written;
use crate::gdal_setup::{self, dataset_error};
use crate::osr::spatial_ref;
use crate::staging_folder::StagingFolder;
use crate::whole_files::with_suffix;

/// Side of a tile.
const TILE: usize = 256;

/// Writes masks with their labels into one Cloud Optimized GeoTIFF, window by window: 32-bit whole numbers, 0 (the nodata
/// value) where there is no mask.
///
/// Where masks overlap the smaller one is seen, of equal ones the first. What is in memory is what GDAL caches
/// ([`set_cache_size`](crate::set_cache_size)), a strip of the mask at hand, and some bytes for each mask. The file appears with
/// [`LabelWriter::finish`], in one step; a writer that is dropped before leaves everything as it was. Overviews have the label
/// of one of their pixels; GDAL brings them through `f32`, which rounds labels above 2²⁴ there.
///
/// # Examples
/// ```
/// use geosam_core::{Affine, Crs, GeoGrid, Shape, Window};
/// use geosam_io::LabelWriter;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("labels.tif");
/// let transform = Affine::from_origin(500000.0, 4000000.0, 0.5, 0.5);
/// let grid = GeoGrid::new(transform, Shape::square(1000), Crs::new("EPSG:32632"))?;
/// let mut writer = LabelWriter::create(&path, &grid)?;
/// writer.write(1, Window::new(10, 20, Shape::square(30)), &[true; 900])?;
/// writer.write(2, Window::new(15, 25, Shape::square(5)), &[true; 25])?;
/// assert!(!path.exists());
/// writer.finish()?;
/// assert!(path.is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LabelWriter {
    // Closed before the folder goes.
    dataset: Dataset,
    folder: StagingFolder,
    grid: GeoGrid,
    /// Pixels of the mask of each label, as many as a `u32` counts.
    areas: HashMap<u32, u32>,
    /// Something is missing from the file.
    failed: bool,
}

impl LabelWriter {
    /// A label raster on `grid`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] unless `path` ends in `.tif` or `.tiff`; [`Error::Crs`] if the CRS is unknown, [`Error::Io`] or
    /// [`Error::Dataset`] if it cannot be written.
    pub fn create(path: impl AsRef<Path>, grid: &GeoGrid) -> Result<Self> {
        gdal_setup::init();
        let path = path.as_ref();
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        if extension != "tif" && extension != "tiff" {
            return Err(Error::invalid_argument("label raster", "a name ending in .tif or .tiff", path.display()));
        }
        let srs = spatial_ref(&grid.crs)?;
        let folder = StagingFolder::beside(path)?;
        let create = || -> Result<Dataset, GdalError> {
            let tile = TILE.to_string();
            let options = [
                ("TILED", "YES"),
                ("BLOCKXSIZE", tile.as_str()),
                ("BLOCKYSIZE", tile.as_str()),
                // What is rewritten does not keep its place: packed quickly, and only what is not empty.
                ("COMPRESS", "DEFLATE"),
                ("ZLEVEL", "1"),
                ("SPARSE_OK", "TRUE"),
                ("BIGTIFF", "IF_SAFER"),
            ];
            let options = RasterCreationOptions::from_iter(options.map(|(name, value)| format!("{name}={value}")));
            let Shape { height, width } = grid.shape;
            let driver = DriverManager::get_driver_by_name("GTiff")?;
            let file = folder.file("labels.tif");
            let mut dataset = driver.create_with_band_type_with_options::<u32, _>(file, width, height, 1, &options)?;
            dataset.set_geo_transform(&grid.transform.to_gdal())?;
            dataset.set_spatial_ref(&srs)?;
            dataset.rasterband(1)?.set_no_data_value(Some(0.0))?;
            Ok(dataset)
        };
        let dataset = create().map_err(|e| dataset_error("write", &path.to_string_lossy(), e))?;
        Ok(Self { dataset, folder, grid: grid.clone(), areas: HashMap::new(), failed: false })
    }

    /// Write `label` on the pixels of a mask of the window's shape, row-major.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for the label 0 or one that was written before, or a mask of another shape;
    /// [`Error::OutOfBounds`] if the window leaves the grid; [`Error::Dataset`] if it cannot be written. The file will not
    /// appear then.
    pub fn write(&mut self, label: u32, window: Window, mask: &[bool]) -> Result<()> {
        let result = self.burn(label, window, mask);
        self.failed |= result.is_err();
        result
    }

    fn burn(&mut self, label: u32, window: Window, mask: &[bool]) -> Result<()> {
        self.grid.window(window)?;
        if mask.len() != window.shape.area() {
            return Err(Error::invalid_argument("mask", format!("{} pixels", window.shape), mask.len()));
        }
        let area = u32::try_from(mask.iter().filter(|inside| **inside).count()).unwrap_or(u32::MAX);
        if label == 0 || self.areas.contains_key(&label) {
            return Err(Error::invalid_argument("label", "a number above 0 that is not in use", label));
        }
        self.areas.insert(label, area);
        let Shape { height, width } = window.shape;
        let (mut row, mut rest) = (window.row as usize, mask);
        while row < window.row as usize + height {
            // Down to the end of a row of tiles, so that each is decoded once.
            let rows = (TILE - row % TILE).min(window.row as usize + height - row);
            let (strip, after) = rest.split_at(rows * width);
            if strip.contains(&true) {
                let at = Window::new(window.column, row as i64, Shape::new(rows, width));
                self.write_strip(label, area, at, strip)
                    .map_err(|e| dataset_error("write", &self.folder.path().to_string_lossy(), e))?;
            }
            (row, rest) = (row + rows, after);
        }
        Ok(())
    }

    fn write_strip(&self, label: u32, area: u32, window: Window, mask: &[bool]) -> Result<(), GdalError> {
        let (corner, Shape { height, width }) = ((window.column as isize, window.row as isize), window.shape);
        let mut band = self.dataset.rasterband(1)?;
        let mut labels = band.read_as::<u32>(corner, (width, height), (width, height), None)?.into_shape_and_vec().1;
        let covers = |under: u32| under == 0 || self.areas.get(&under).is_none_or(|other| area < *other);
        for (under, _) in labels.iter_mut().zip(mask).filter(|(under, inside)| **inside && covers(**under)) {
            *under = label;
        }
        band.write(corner, (width, height), &mut Buffer::new((width, height), labels))
    }

    /// Put the file in its place, with overviews, where an existing one is replaced.
    ///
    /// # Errors
    /// [`Error::Dataset`] or [`Error::Io`] if it cannot be written, or [`LabelWriter::write`] has failed.
    pub fn finish(self) -> Result<()> {
        let Self { folder, mut dataset, failed, .. } = self;
        folder.check_complete(failed)?;
        let path = folder.path().to_path_buf();
        let translate = || -> Result<(), GdalError> {
            dataset.flush_cache()?;
            // Of labels the nearest: a mean of two is a third object.
            let options = ["COMPRESS=DEFLATE", "OVERVIEW_RESAMPLING=NEAREST", "SPARSE_OK=YES"];
            let cog = DriverManager::get_driver_by_name("COG")?;
            close_written(dataset.create_copy(
                &cog,
                folder.file("cog.tif"),
                &RasterCreationOptions::from_iter(options),
            )?)?;
            close_written(dataset)
        };
        translate().map_err(|e| dataset_error("write", &path.to_string_lossy(), e))?;
        folder.commit("cog.tif", &[".aux.xml", ".ovr", ".msk"].map(|suffix| with_suffix(&path, suffix)))
    }
}
