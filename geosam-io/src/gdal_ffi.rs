//! The calls into GDAL that the `gdal` crate has no safe form of; the only unsafe code of this crate.

#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use gdal::Dataset;
use gdal::errors::GdalError;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::Feature;
use gdal_sys::{CPLErr, GDALDataType, GDALRWFlag, GDALTransformerFunc, GDALWarpOptions};
use geosam_core::{Affine, Shape, Window};

use crate::resampling::Resampling;

type Result<T> = std::result::Result<T, GdalError>;

/// Stop GDAL from writing to the standard error stream. The last message stays readable, thread by thread.
pub(crate) fn silence_messages() {
    // SAFETY: the handler is GDAL's own, has no state and lives as long as the library.
    unsafe { gdal_sys::CPLSetErrorHandler(Some(gdal_sys::CPLQuietErrorHandler)) };
}

/// Bound the block cache of the process.
pub(crate) fn set_cache_size(bytes: u64) {
    // SAFETY: takes a number; GDAL locks its cache itself.
    unsafe { gdal_sys::GDALSetCacheMax64(i64::try_from(bytes).unwrap_or(i64::MAX)) };
}

/// GDAL's version as a number: 3.6.2 is 3060200.
pub(crate) fn gdal_version() -> u32 {
    gdal::version::VersionInfo::version_num().parse().unwrap_or(0)
}

/// What GDAL last said on this thread.
fn last_error() -> GdalError {
    // SAFETY: GDAL returns a NUL-terminated string that stays valid until the next call on this thread.
    let msg = unsafe { std::ffi::CStr::from_ptr(gdal_sys::CPLGetLastErrorMsg()) }.to_string_lossy().into_owned();
    GdalError::CplError { class: CPLErr::CE_Failure, number: 0, msg }
}

fn check(code: CPLErr::Type) -> Result<()> {
    if code == CPLErr::CE_None { Ok(()) } else { Err(last_error()) }
}

/// Forget what GDAL said before, so that an old message is not blamed for a new failure.
fn reset_error() {
    // SAFETY: no arguments; the state is per thread.
    unsafe { gdal_sys::CPLErrorReset() };
}

// ---------------------------------------------------------------------------------------------------- pixel values

/// An element type of rasters.
///
/// # Safety
/// `data_type` must name a GDAL type of exactly the size of `Self`, valid for every bit pattern.
pub(crate) unsafe trait GdalValue: Copy {
    /// `GDALDataType`.
    fn data_type() -> GDALDataType::Type;
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
}

macro_rules! gdal_value {
    ($($t:ty => $code:expr),*) => {$(
        // SAFETY: the table pairs each Rust type with GDAL's type of the same width and layout.
        unsafe impl GdalValue for $t {
            fn data_type() -> GDALDataType::Type { $code }
            #[allow(clippy::cast_lossless)]
            fn from_f64(value: f64) -> Self { value as Self }
        }
    )*};
}
// Numbers, as bindings for older releases lack the names of the 64-bit types (3.5) and of Int8 (3.7). Before 3.7 signed
// bytes are GDAL's Byte with a note in the metadata, and the bits are the same.
gdal_value!(
    u8 => 1, i8 => if gdal_version() >= 3_070_000 { 14 } else { 1 }, u16 => 2, i16 => 3, u32 => 4, i32 => 5,
    u64 => 12, i64 => 13, f32 => 6, f64 => 7
);

/// `GDALDataType` of a band.
pub(crate) fn band_data_type(dataset: &Dataset, band: usize) -> Result<GDALDataType::Type> {
    // SAFETY: the handle comes from an open dataset, which outlives the call.
    Ok(unsafe { gdal_sys::GDALGetRasterDataType(band_handle(dataset, band)?) })
}

/// The smallest type that holds the values of both.
pub(crate) fn data_type_union(a: GDALDataType::Type, b: GDALDataType::Type) -> GDALDataType::Type {
    // SAFETY: takes and returns numbers.
    unsafe { gdal_sys::GDALDataTypeUnion(a, b) }
}

fn band_handle(dataset: &Dataset, band: usize) -> Result<gdal_sys::GDALRasterBandH> {
    reset_error();
    // SAFETY: the dataset is open; GDAL checks the band number and returns null for a bad one.
    let handle = unsafe { gdal_sys::GDALGetRasterBand(dataset.c_dataset(), c_int(band)?) };
    if handle.is_null() { Err(last_error()) } else { Ok(handle) }
}

fn c_int(value: usize) -> Result<c_int> {
    Ok(c_int::try_from(value)?)
}

// --------------------------------------------------------------------------------------------------------- reading

/// A part of a raster in continuous pixel coordinates, on the raster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FloatWindow {
    pub(crate) column: f64,
    pub(crate) row: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl FloatWindow {
    /// All of a window of whole pixels.
    pub(crate) fn of(window: Window) -> Self {
        Self {
            column: window.column as f64,
            row: window.row as f64,
            width: window.shape.width as f64,
            height: window.shape.height as f64,
        }
    }

    /// The window between two columns and two rows, cut off where the raster ends.
    pub(crate) fn between(left: f64, top: f64, right: f64, bottom: f64, raster: Shape) -> Self {
        let (column, row) = (left.max(0.0), top.max(0.0));
        Self {
            column,
            row,
            width: right.min(raster.width as f64) - column,
            height: bottom.min(raster.height as f64) - row,
        }
    }

    /// Offsets and sizes in whole pixels as rasterio passes them along with the exact ones.
    fn whole_pixels(&self) -> [c_int; 4] {
        [self.column as c_int, self.row as c_int, (self.width as c_int).max(1), (self.height as c_int).max(1)]
    }

    fn extra_arguments(&self, resampling: Resampling) -> gdal_sys::GDALRasterIOExtraArg {
        // SAFETY: a plain C structure of numbers and nullable pointers; later releases append fields that version 1 ignores.
        let mut extra: gdal_sys::GDALRasterIOExtraArg = unsafe { std::mem::zeroed() };
        extra.nVersion = 1;
        extra.eResampleAlg = resampling.to_gdal();
        extra.bFloatingPointWindowValidity = 1;
        extra.dfXOff = self.column;
        extra.dfYOff = self.row;
        extra.dfXSize = self.width;
        extra.dfYSize = self.height;
        extra
    }
}

/// Read `window` of `bands` into `out`, `[bands, shape]` row-major.
pub(crate) fn read_bands<T: GdalValue>(
    dataset: &Dataset,
    bands: &[usize],
    window: &FloatWindow,
    shape: Shape,
    resampling: Resampling,
    out: &mut [T],
) -> Result<()> {
    assert_eq!(out.len(), bands.len() * shape.area(), "buffer of {} bands of {shape}", bands.len());
    let mut band_map = bands.iter().map(|&band| c_int(band)).collect::<Result<Vec<_>>>()?;
    let [column, row, width, height] = window.whole_pixels();
    let mut extra = window.extra_arguments(resampling);
    reset_error();
    // SAFETY: zero spacings mean a packed buffer, which `out` is: checked above to hold bands × shape values of the type
    // that `GdalValue` pairs with `T`. The band map and the extra arguments live past the call.
    check(unsafe {
        gdal_sys::GDALDatasetRasterIOEx(
            dataset.c_dataset(),
            GDALRWFlag::GF_Read,
            column,
            row,
            width,
            height,
            out.as_mut_ptr().cast::<c_void>(),
            c_int(shape.width)?,
            c_int(shape.height)?,
            T::data_type(),
            c_int(bands.len())?,
            band_map.as_mut_ptr(),
            0,
            0,
            0,
            &raw mut extra,
        )
    })
}

/// Read `window` of a band's mask into `out`, `shape` row-major; 0 where the band has no data.
pub(crate) fn read_mask(
    dataset: &Dataset,
    band: usize,
    window: &FloatWindow,
    shape: Shape,
    resampling: Resampling,
    out: &mut [u8],
) -> Result<()> {
    assert_eq!(out.len(), shape.area(), "buffer of {shape}");
    let band = band_handle(dataset, band)?;
    let [column, row, width, height] = window.whole_pixels();
    let mut extra = window.extra_arguments(resampling);
    reset_error();
    // SAFETY: every band has a mask band, owned by the open dataset; `out` holds `shape` bytes, packed.
    check(unsafe {
        gdal_sys::GDALRasterIOEx(
            gdal_sys::GDALGetMaskBand(band),
            GDALRWFlag::GF_Read,
            column,
            row,
            width,
            height,
            out.as_mut_ptr().cast::<c_void>(),
            c_int(shape.width)?,
            c_int(shape.height)?,
            u8::data_type(),
            0,
            0,
            &raw mut extra,
        )
    })
}

// --------------------------------------------------------------------------------------------------------- writing

/// Create a GeoTIFF of `bands` bands of `shape` and write `values`, `[bands, shape]` row-major.
pub(crate) fn create_geotiff<T: GdalValue>(
    path: &str,
    shape: Shape,
    bands: usize,
    values: &[T],
    options: &gdal::cpl::CslStringList,
) -> Result<Dataset> {
    assert_eq!(values.len(), bands * shape.area(), "values of {bands} bands of {shape}");
    let path = CString::new(path)?;
    let driver = gdal::DriverManager::get_driver_by_name("GTiff")?;
    reset_error();
    // SAFETY: driver, path and options live past the call; GDAL checks sizes and type. The dataset is ours to close.
    let dataset = unsafe {
        let handle = gdal_sys::GDALCreate(
            driver.c_driver(),
            path.as_ptr(),
            c_int(shape.width)?,
            c_int(shape.height)?,
            c_int(bands)?,
            T::data_type(),
            options.as_ptr(),
        );
        if handle.is_null() {
            return Err(last_error());
        }
        Dataset::from_c_dataset(handle)
    };
    // SAFETY: GDAL only reads the buffer, which holds as many packed values of this type as it is told; a null band map
    // means all bands.
    check(unsafe {
        gdal_sys::GDALDatasetRasterIOEx(
            dataset.c_dataset(),
            GDALRWFlag::GF_Write,
            0,
            0,
            c_int(shape.width)?,
            c_int(shape.height)?,
            values.as_ptr().cast_mut().cast::<c_void>(),
            c_int(shape.width)?,
            c_int(shape.height)?,
            T::data_type(),
            c_int(bands)?,
            ptr::null_mut(),
            0,
            0,
            0,
            ptr::null_mut(),
        )
    })?;
    Ok(dataset)
}

/// Close a dataset that was written to, with the error that only closing can show: a full disk.
pub(crate) fn close_written(dataset: Dataset) -> Result<()> {
    reset_error();
    dataset.close()?;
    // SAFETY: no arguments. Releases before 3.7 do not return the error, they only record it.
    if unsafe { gdal_sys::CPLGetLastErrorType() } >= CPLErr::CE_Failure { Err(last_error()) } else { Ok(()) }
}

// --------------------------------------------------------------------------------------------------------- warping

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
    let bands = warp.bands.iter().map(|&band| c_int(band)).collect::<Result<Vec<_>>>()?;
    let mut transformer_options = gdal::cpl::CslStringList::new();
    transformer_options.set_name_value("INIT_DEST", "NO_DATA")?;
    let source_transform = warp.source_transform.to_gdal();
    // Left to itself, GDAL 3.6 widens the type where the no-data value is NaN.
    let mut working_type = band_data_type(source, warp.bands[0])?;
    for &band in &warp.bands {
        working_type = data_type_union(working_type, band_data_type(source, band)?);
    }
    let numbered = (1..=c_int(bands.len())?).collect::<Vec<_>>();
    let nodata = warp.nodata.map(|nodata| vec![nodata; bands.len()]);
    let source_alpha = c_int(warp.source_alpha.unwrap_or(0))?;
    let target = match &warp.target {
        Some((transform, shape)) => Some((transform.to_gdal(), c_int(shape.width)?, c_int(shape.height)?)),
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

// ---------------------------------------------------------------------------------------------------------- vectors

/// Whether a field of a feature has a value: it is neither null nor left out, as FlatGeobuf does with nulls.
pub(crate) fn has_value(feature: &Feature<'_>, field: usize) -> bool {
    let Ok(field) = c_int::try_from(field) else { return false };
    // SAFETY: the handle is valid as long as the feature lives.
    unsafe {
        let handle = feature.c_feature();
        field < gdal_sys::OGR_F_GetFieldCount(handle) && gdal_sys::OGR_F_IsFieldSetAndNotNull(handle, field) == 1
    }
}

// ------------------------------------------------------------------------------------------------ reference systems

/// Whether two systems mean the same, the order of their axes apart.
pub(crate) fn is_same(a: &SpatialRef, b: &SpatialRef) -> Result<bool> {
    let mut options = gdal::cpl::CslStringList::new();
    options.set_name_value("CRITERION", "EQUIVALENT_EXCEPT_AXIS_ORDER_GEOGCRS")?;
    options.set_name_value("IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING", "YES")?;
    // SAFETY: both handles and the options outlive the call.
    Ok(unsafe { gdal_sys::OSRIsSameEx(a.to_c_hsrs(), b.to_c_hsrs(), options.as_ptr().cast()) } == 1)
}

/// WKT 2 (ISO 19162:2019) of a CRS, on one line.
pub(crate) fn to_wkt2(srs: &SpatialRef) -> Result<String> {
    let mut options = gdal::cpl::CslStringList::new();
    options.set_name_value("FORMAT", "WKT2_2019")?;
    let mut text: *mut c_char = ptr::null_mut();
    reset_error();
    // SAFETY: the options outlive the call; GDAL hands over a string, which is freed after it has been copied.
    unsafe {
        let code = gdal_sys::OSRExportToWktEx(srs.to_c_hsrs(), &raw mut text, options.as_ptr().cast());
        let wkt = if text.is_null() {
            None
        } else {
            let copy = std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned();
            gdal_sys::VSIFree(text.cast());
            Some(copy)
        };
        if code == gdal_sys::OGRErr::OGRERR_NONE { wkt.ok_or_else(last_error) } else { Err(last_error()) }
    }
}

/// The registered systems that resemble `srs`, the most alike first.
pub(crate) fn similar_systems(srs: &SpatialRef) -> Vec<SpatialRef> {
    let mut count: c_int = 0;
    let mut confidence: *mut c_int = ptr::null_mut();
    // SAFETY: GDAL returns null or an array of `count` handles, each of which is cloned before all are freed together.
    unsafe {
        let matches = gdal_sys::OSRFindMatches(srs.to_c_hsrs(), ptr::null_mut(), &raw mut count, &raw mut confidence);
        let found = (0..usize::try_from(count).unwrap_or(0))
            .filter(|_| !matches.is_null())
            .filter_map(|index| SpatialRef::from_c_obj(*matches.add(index)).ok())
            .collect();
        gdal_sys::OSRFreeSRSArray(matches);
        gdal_sys::VSIFree(confidence.cast());
        found
    }
}
