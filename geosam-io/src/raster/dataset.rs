//! A raster on disk or on the network, read window by window.

use std::sync::{Mutex, PoisonError};

use geosam_core::{
    Affine, BoundingBox, ChipSource, GeoGrid, Progress, RasterSample, Result, Shape, ValueRange, ValueRangeChoice,
    Window,
};

use super::element::ElementType;
use super::info::RasterInfo;
use super::open::{self, SourceFacts};
use super::options::RasterOptions;
use super::statistics::WithDataInEveryBand;
use super::target::{self, Target};
use super::validity::Validity;
use crate::gdal_ffi::{OpenRaster, Warp};
use crate::gdal_setup::dataset_error;
use crate::osr;

/// Most handles kept open between reads; more readers at once than this open their own for a moment.
const IDLE_HANDLES: usize = 16;

/// A raster that GDAL reads, warped on the fly where the options ask for it: Python geosam's `RasterDataset`.
///
/// Pixels, sizes and transforms are those of rasterio's `WarpedVRT`. Every thread that reads gets its own GDAL handle.
///
/// ```
/// use geosam_core::{Affine, ChipSource, Crs, GeoGrid, Pixels, Shape, Window};
/// use geosam_io::{RasterDataset, RasterOptions, write_raster};
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("ramp.tif");
/// let grid = GeoGrid::new(Affine::from_origin(500_000.0, 4_600_000.0, 10.0, 10.0), Shape::new(4, 6), Crs::new("EPSG:32618"))?;
/// write_raster(&path, &grid, &Pixels::U16((0..24).collect()), 1, None)?;
///
/// let raster = RasterDataset::open(path.to_str().unwrap(), &RasterOptions::default())?;
/// assert_eq!(raster.grid(), &grid);
/// let sample = raster.read(Window::new(1, 2, Shape::new(1, 3)))?;
/// assert_eq!(sample.pixels, Pixels::U16(vec![13, 14, 15]));
/// # Ok::<(), geosam_core::Error>(())
/// ```
pub struct RasterDataset {
    source: String,
    options: RasterOptions,
    warp: Option<Warp>,
    grid: GeoGrid,
    bands: Vec<usize>,
    band_positions: Vec<usize>,
    element: ElementType,
    validity: Validity,
    idle: Mutex<Vec<OpenRaster>>,
}

impl RasterDataset {
    /// Open a raster: a path, or any connection string of GDAL (`/vsizip/…`, `/vsicurl/…`, a WMS description, …).
    ///
    /// # Errors
    /// - [`geosam_core::Error::Dataset`] if GDAL cannot open it or it has no bands.
    /// - [`geosam_core::Error::MissingCrs`] without a CRS; see [`RasterOptions::assume_crs`].
    /// - [`geosam_core::Error::InvalidArgument`] for bands it does not have, and for a resolution in metres of a CRS in degrees.
    /// - [`geosam_core::Error::Crs`] for an unknown CRS, or one that the raster cannot be warped to.
    /// - [`geosam_core::Error::Unsupported`] for complex numbers, and for ground control points in place of a transform.
    pub fn open(source: &str, options: &RasterOptions) -> Result<Self> {
        options.validate()?;
        let dataset = open::open(source)?;
        let source = open::absolute(source);
        let facts = open::source_facts(&dataset, &source)?;
        let bands = open::bands(&dataset, options.bands.as_deref(), facts.alpha)?;
        let target = Target::choose(&source, &facts, options)?;
        let warp = warp(&target, &facts, &bands, dataset.raster_count(), options)?;
        let band_positions = match &warp {
            None => bands.clone(),
            Some(warp) => bands.iter().filter_map(|b| warp.bands.iter().position(|w| w == b)).map(|i| i + 1).collect(),
        };
        let raster = warped(OpenRaster::new(dataset), warp.as_ref(), &source)?;
        let grid = match target {
            Target::AsIs(grid) | Target::Resampled { grid, .. } => grid,
            Target::Reprojected { to, .. } => {
                let (width, height) = raster.pixels().raster_size();
                let transform =
                    raster.pixels().geo_transform().map_err(|error| dataset_error("warp", &source, error))?;
                GeoGrid::new(Affine::from_gdal(transform), Shape::new(height, width), to)?
            }
        };
        Ok(Self {
            element: open::element_type(raster.pixels(), &band_positions, &source)?,
            validity: Validity::of(&raster, &band_positions, &source)?,
            idle: Mutex::new(vec![raster]),
            options: options.clone(),
            source,
            warp,
            grid,
            bands,
            band_positions,
        })
    }

    /// The pixels that an extent in any CRS touches.
    ///
    /// # Errors
    /// [`geosam_core::Error::MissingCrs`], [`geosam_core::Error::Crs`] for an extent that cannot be placed, [`geosam_core::Error::InvalidArgument`] for an empty
    /// one, [`geosam_core::Error::OutOfBounds`] if it misses the raster.
    pub fn window_of(&self, extent: &BoundingBox) -> Result<Window> {
        self.grid.window_of(&target::on_grid(extent, &self.grid)?)
    }

    /// What the raster is, before warping.
    ///
    /// # Errors
    /// [`geosam_core::Error::Dataset`] if it cannot be read.
    pub fn info(&self) -> Result<RasterInfo> {
        RasterInfo::read(&self.source)
    }

    /// How it was opened.
    #[must_use]
    pub fn options(&self) -> &RasterOptions {
        &self.options
    }

    pub(super) fn element(&self) -> ElementType {
        self.element
    }

    /// Where the bands are in what is read: warping may leave some out.
    pub(super) fn band_positions(&self) -> &[usize] {
        &self.band_positions
    }

    pub(super) fn validity(&self) -> &Validity {
        &self.validity
    }

    /// Run `work` with a handle of its own.
    pub(super) fn with_raster<T>(&self, work: impl FnOnce(&OpenRaster) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let raster = match idle {
            Some(raster) => raster,
            None => warped(OpenRaster::new(open::open(&self.source)?), self.warp.as_ref(), &self.source)?,
        };
        // A handle that failed is closed: GDAL may have cached half a block.
        let result = work(&raster)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_HANDLES {
            idle.push(raster);
        }
        Ok(result)
    }
}

/// How to warp, or `None` where the raster is read as it is.
fn warp(
    target: &Target,
    facts: &SourceFacts,
    bands: &[usize],
    band_count: usize,
    options: &RasterOptions,
) -> Result<Option<Warp>> {
    let (from, to, grid) = match target {
        Target::AsIs(_) => return Ok(None),
        Target::Reprojected { from, to } => (from, to, None),
        Target::Resampled { from, grid } => (from, &grid.crs, Some((grid.transform, grid.shape))),
    };
    let mut needed = bands.to_vec();
    needed.sort_unstable();
    needed.dedup();
    if facts.nodata.is_some() {
        // A source pixel is left out only if all bands that are warped lack data, and rasterio warps all there are.
        needed = (1..=band_count).collect();
    }
    Ok(Some(Warp {
        source_wkt: osr::wkt(from)?,
        source_transform: facts.transform,
        target_wkt: osr::wkt(to)?,
        target: grid,
        resampling: options.resampling,
        error_threshold: options.warp_error_threshold,
        bands: needed,
        source_alpha: facts.alpha,
        nodata: facts.nodata,
    }))
}

fn warped(mut raster: OpenRaster, warp: Option<&Warp>, source: &str) -> Result<OpenRaster> {
    let Some(warp) = warp else { return Ok(raster) };
    let failed = |error| dataset_error("warp", source, error);
    raster.warp(warp).map_err(failed)?;
    if warp.nodata.is_none() {
        // Nothing in the pixels says where the source ends.
        raster.warp_footprint(warp).map_err(failed)?;
    }
    Ok(raster)
}

impl ChipSource for RasterDataset {
    fn grid(&self) -> &GeoGrid {
        &self.grid
    }

    fn source_path(&self) -> &str {
        &self.source
    }

    fn bands(&self) -> &[usize] {
        &self.bands
    }

    fn resampling(&self) -> Option<&str> {
        self.warp.as_ref().map(|warp| warp.resampling.name())
    }

    fn read(&self, window: Window) -> Result<RasterSample> {
        self.read_window(window, None)
    }

    /// Reads the extent in blocks, once for minimum and maximum and once for each 16 bits of the type for percentiles.
    /// Pixels in which one of the bands lacks data are left out.
    fn value_range(&self, choice: ValueRangeChoice, extent: Window, progress: &dyn Progress) -> Result<ValueRange> {
        WithDataInEveryBand(self).value_range(choice, extent, progress)
    }
}

impl std::fmt::Debug for RasterDataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "RasterDataset({}, bands {:?}, {} pixels, {})",
            self.source, self.bands, self.grid.shape, self.grid.crs
        )
    }
}
