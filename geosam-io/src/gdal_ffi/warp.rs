//! Warped datasets.

#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::ptr;

use gdal::Dataset;
use gdal_sys::{GDALTransformerFunc, GDALWarpOptions};
use geosam_core::{Affine, Shape};

use super::pixels::{band_data_type, data_type_union};
use super::{Result, check, last_error, reset_error, to_c_int};
use crate::resampling::Resampling;

/// A dataset and what is warped from it, in the order in which they must be dropped: GDAL frees a dataset when it is
/// closed, whoever still reads from it.
#[derive(Debug)]
pub(crate) struct OpenRaster {
    footprint: Option<Dataset>,
    warped: Option<Dataset>,
    source: Dataset,
}

/// How to warp, rasterio's `WarpedVRT` in other words.
#[derive(Clone, Debug)]
pub(crate) struct Warp {
    /// WKT of the source.
    pub(crate) source_wkt: String,
    /// Transform of the source.
    pub(crate) source_transform: Affine,
    /// WKT of the target.
    pub(crate) target_wkt: String,
    /// Grid of the result; GDAL chooses one if absent.
    pub(crate) target: Option<(Affine, Shape)>,
    /// Kernel.
    pub(crate) resampling: Resampling,
    /// Largest error of the interpolated transformation in source pixels; 0 transforms every pixel exactly.
    pub(crate) error_threshold: f64,
    /// Bands of the source; they become 1, 2, ….
    pub(crate) bands: Vec<usize>,
    /// Alpha band of the source.
    pub(crate) source_alpha: Option<usize>,
    /// Value without data, in source and result.
    pub(crate) nodata: Option<f64>,
}

impl OpenRaster {
    pub(crate) fn new(source: Dataset) -> Self {
        Self { footprint: None, warped: None, source }
    }

    /// What pixels are read from.
    pub(crate) fn pixels(&self) -> &Dataset {
        self.warped.as_ref().unwrap_or(&self.source)
    }

    /// One band beside its coverage (band 2), on the grid of [`OpenRaster::pixels`].
    pub(crate) fn footprint(&self) -> Option<&Dataset> {
        self.footprint.as_ref()
    }

    /// From now on read warped pixels.
    pub(crate) fn warp(&mut self, warp: &Warp) -> Result<()> {
        let warped = warped_vrt(&self.source, warp, 0)?;
        for band in 1..=warp.bands.len() {
            warped.rasterband(band)?.set_no_data_value(warp.nodata)?;
        }
        self.warped = Some(warped);
        Ok(())
    }

    /// Also keep track of which warped pixels the source covers.
    pub(crate) fn warp_footprint(&mut self, warp: &Warp) -> Result<()> {
        let one_band = Warp { bands: warp.bands[..1].to_vec(), nodata: None, ..warp.clone() };
        self.footprint = Some(warped_vrt(&self.source, &one_band, 2)?);
        Ok(())
    }
}

/// The caller keeps `source` open for as long as the result; [`OpenRaster`] does.
fn warped_vrt(source: &Dataset, warp: &Warp, alpha_band: c_int) -> Result<Dataset> {
    let source_wkt = CString::new(warp.source_wkt.as_str())?;
    let target_wkt = CString::new(warp.target_wkt.as_str())?;
    let bands = warp.bands.iter().map(|&band| to_c_int(band)).collect::<Result<Vec<_>>>()?;
    let mut transformer_options = gdal::cpl::CslStringList::new();
    transformer_options.set_name_value("INIT_DEST", "NO_DATA")?;
    let source_transform = warp.source_transform.to_gdal();
    // Left to itself, GDAL 3.6 widens the type where the no-data value is NaN.
    let mut working_type = band_data_type(source, warp.bands[0])?;
    for &band in &warp.bands {
        working_type = data_type_union(working_type, band_data_type(source, band)?);
    }
    let numbered = (1..=to_c_int(bands.len())?).collect::<Vec<_>>();
    let nodata = warp.nodata.map(|nodata| vec![nodata; bands.len()]);
    let source_alpha = to_c_int(warp.source_alpha.unwrap_or(0))?;
    let target = match &warp.target {
        Some((transform, shape)) => Some((transform.to_gdal(), to_c_int(shape.width)?, to_c_int(shape.height)?)),
        None => None,
    };
    reset_error();
    // SAFETY: the structure comes from GDAL and is destroyed by it, so what hangs on it is allocated by GDAL too: two arrays
    // of `bands.len()` band numbers, and no-data arrays of the same length. The VRT clones the structure and takes over
    // the transformer.
    let handle = unsafe {
        let options = gdal_sys::GDALCreateWarpOptions();
        set_warp_option(options, c"UNIFIED_SRC_NODATA", c"YES");
        set_warp_option(options, c"INIT_DEST", c"NO_DATA");
        (*options).hSrcDS = source.c_dataset();
        (*options).eResampleAlg = warp.resampling.to_gdal();
        (*options).eWorkingDataType = working_type;
        (*options).nBandCount = numbered.len() as c_int;
        (*options).panSrcBands = gdal_array(&bands);
        (*options).panDstBands = gdal_array(&numbered);
        (*options).nSrcAlphaBand = source_alpha;
        (*options).nDstAlphaBand = alpha_band;
        if let Some(nodata) = nodata {
            (*options).padfSrcNoDataReal = gdal_array(&nodata);
            (*options).padfDstNoDataReal = gdal_array(&nodata);
            (*options).padfSrcNoDataImag = gdal_array(&vec![0.0; nodata.len()]);
            (*options).padfDstNoDataImag = gdal_array(&vec![0.0; nodata.len()]);
        }
        let handle = match target {
            None => gdal_sys::GDALAutoCreateWarpedVRTEx(
                source.c_dataset(),
                source_wkt.as_ptr(),
                target_wkt.as_ptr(),
                warp.resampling.to_gdal(),
                warp.error_threshold,
                options,
                transformer_options.as_ptr(),
            ),
            Some((mut transform, width, height)) => {
                let transformer = gdal_sys::GDALCreateGenImgProjTransformer3(
                    source_wkt.as_ptr(),
                    source_transform.as_ptr(),
                    target_wkt.as_ptr(),
                    transform.as_ptr(),
                );
                if transformer.is_null() {
                    ptr::null_mut()
                } else {
                    set_transformer(options, transformer, warp.error_threshold);
                    let vrt = gdal_sys::GDALCreateWarpedVRT(
                        source.c_dataset(),
                        width,
                        height,
                        transform.as_mut_ptr(),
                        options,
                    );
                    if !vrt.is_null() {
                        gdal_sys::GDALSetProjection(vrt, target_wkt.as_ptr());
                    }
                    vrt
                }
            }
        };
        gdal_sys::GDALDestroyWarpOptions(options);
        handle
    };
    if handle.is_null() {
        return Err(last_error());
    }
    // SAFETY: a new dataset that nobody else closes.
    Ok(unsafe { Dataset::from_c_dataset(handle) })
}

/// # Safety
/// `options` must come from `GDALCreateWarpOptions`, and `transformer` from `GDALCreateGenImgProjTransformer3`.
unsafe fn set_transformer(options: *mut GDALWarpOptions, transformer: *mut c_void, error_threshold: f64) {
    let exact: GDALTransformerFunc = Some(gdal_sys::GDALGenImgProjTransform);
    // SAFETY: by the contract above; the approximating transformer owns the exact one from here on.
    unsafe {
        if error_threshold > 0.0 {
            let approximate = gdal_sys::GDALCreateApproxTransformer(exact, transformer, error_threshold);
            gdal_sys::GDALApproxTransformerOwnsSubtransformer(approximate, 1);
            (*options).pfnTransformer = Some(gdal_sys::GDALApproxTransform);
            (*options).pTransformerArg = approximate;
        } else {
            (*options).pfnTransformer = exact;
            (*options).pTransformerArg = transformer;
        }
    }
}

/// # Safety
/// `options` must come from `GDALCreateWarpOptions`.
unsafe fn set_warp_option(options: *mut GDALWarpOptions, name: &std::ffi::CStr, value: &std::ffi::CStr) {
    // SAFETY: GDAL copies name and value, and may move the list.
    unsafe {
        (*options).papszWarpOptions =
            gdal_sys::CSLSetNameValue((*options).papszWarpOptions, name.as_ptr(), value.as_ptr());
    }
}

/// A copy that GDAL can free.
fn gdal_array<T: Copy>(values: &[T]) -> *mut T {
    // SAFETY: CPLMalloc aborts rather than return null, aligns for every scalar, and the block holds all values.
    unsafe {
        let array = gdal_sys::CPLMalloc(size_of_val(values)).cast::<T>();
        ptr::copy_nonoverlapping(values.as_ptr(), array, values.len());
        array
    }
}

/// The grid on which GDAL would warp a raster that has transform, size and CRS of `source`.
pub(crate) fn suggested_warp_output(source: &Dataset, target_wkt: &str) -> Result<(Affine, Shape)> {
    let mut options = gdal::cpl::CslStringList::new();
    options.set_name_value("DST_SRS", target_wkt)?;
    let (mut transform, mut extent) = ([0.0; 6], [0.0; 4]);
    let (mut width, mut height): (c_int, c_int) = (0, 0);
    reset_error();
    // SAFETY: the dataset outlives the transformer, which is destroyed here; the out-parameters have the lengths that GDAL
    // documents (6 and 4).
    let code = unsafe {
        let transformer =
            gdal_sys::GDALCreateGenImgProjTransformer2(source.c_dataset(), ptr::null_mut(), options.as_ptr());
        if transformer.is_null() {
            return Err(last_error());
        }
        let code = gdal_sys::GDALSuggestedWarpOutput2(
            source.c_dataset(),
            Some(gdal_sys::GDALGenImgProjTransform),
            transformer,
            transform.as_mut_ptr(),
            &raw mut width,
            &raw mut height,
            extent.as_mut_ptr(),
            0,
        );
        gdal_sys::GDALDestroyGenImgProjTransformer(transformer);
        code
    };
    check(code)?;
    Ok((Affine::from_gdal(transform), Shape::new(usize::try_from(height)?, usize::try_from(width)?)))
}
