//! How a raster is opened.

use geosam_core::{Crs, Error, Result};

use crate::resampling::Resampling;

/// How a raster is opened.
///
/// ```
/// use geosam_core::Crs;
/// use geosam_io::{RasterOptions, Resampling};
///
/// let as_it_is = RasterOptions::default();
/// let false_colour_at_10_m = RasterOptions {
///     bands: Some(vec![4, 3, 2]),
///     crs: Some(Crs::new("EPSG:32618")),
///     resolution: Some(10.0),
///     resampling: Resampling::Bilinear,
///     ..as_it_is
/// };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RasterOptions {
    /// Bands to read, 1-based, in any order. Default: the first three, alpha left out.
    pub bands: Option<Vec<usize>>,
    /// CRS to warp to. Default: the raster's own.
    pub crs: Option<Crs>,
    /// Pixel size to warp to, in metres. Without [`crs`](Self::crs), a raster in longitude and latitude is warped to the
    /// UTM zone of its centre. Default: the raster's own, or what GDAL suggests for `crs`.
    pub resolution: Option<f64>,
    /// CRS of a raster that has none, or a wrong one: its own is ignored.
    pub assume_crs: Option<Crs>,
    /// Kernel for warping and for reading at another size. Default: [`Resampling::Average`].
    pub resampling: Resampling,
    /// Value of pixels without data and of those past the raster's edge, clamped to the element type. Default: 0.
    pub fill_value: f64,
    /// Largest error of warped positions in source pixels; 0 transforms every pixel exactly, at several times the cost.
    /// Default: 0.125, as in rasterio and gdalwarp.
    pub warp_error_threshold: f64,
}

impl Default for RasterOptions {
    fn default() -> Self {
        Self {
            bands: None,
            crs: None,
            resolution: None,
            assume_crs: None,
            resampling: Resampling::default(),
            fill_value: 0.0,
            warp_error_threshold: 0.125,
        }
    }
}

impl RasterOptions {
    /// # Errors
    /// [`Error::InvalidArgument`] for a resolution that is not positive or a negative threshold.
    pub fn validate(&self) -> Result<()> {
        if let Some(metres) = self.resolution.filter(|metres| !(metres.is_finite() && *metres > 0.0)) {
            return Err(Error::invalid_argument("resolution", "a positive number of metres", metres));
        }
        if !(self.warp_error_threshold.is_finite() && self.warp_error_threshold >= 0.0) {
            return Err(Error::invalid_argument(
                "warp error threshold",
                "a number of source pixels, 0 or more",
                self.warp_error_threshold,
            ));
        }
        Ok(())
    }
}
