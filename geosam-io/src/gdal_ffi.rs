//! The calls into GDAL that the `gdal` crate has no safe form of; the only unsafe code of this crate.

#![allow(unsafe_code)]

mod pixels;
mod warp;

use std::ffi::{c_char, c_int};
use std::ptr;

use gdal::errors::GdalError;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Feature, Geometry};
use gdal_sys::CPLErr;

pub(crate) use pixels::{
    FloatWindow, GdalValue, band_data_type, close_written, create_geotiff, data_type_union, read_bands, read_mask,
};
pub(crate) use warp::{OpenRaster, Warp, suggested_warp_output};

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

fn to_c_int(value: usize) -> Result<c_int> {
    Ok(c_int::try_from(value)?)
}

/// Whether a field of a feature has a value: it is neither null nor left out, as FlatGeobuf does with nulls.
pub(crate) fn has_value(feature: &Feature<'_>, field: usize) -> bool {
    let Ok(field) = c_int::try_from(field) else { return false };
    // SAFETY: the handle is valid as long as the feature lives.
    unsafe {
        let handle = feature.c_feature();
        field < gdal_sys::OGR_F_GetFieldCount(handle) && gdal_sys::OGR_F_IsFieldSetAndNotNull(handle, field) == 1
    }
}

/// Why a geometry is not valid in the sense of OGC Simple Features; `None` if it is.
pub(crate) fn why_invalid(geometry: &Geometry) -> Option<String> {
    reset_error();
    // SAFETY: the handle is valid as long as the geometry lives.
    let is_valid = unsafe { gdal_sys::OGR_G_IsValid(geometry.c_geometry()) } == 1;
    (!is_valid).then(|| crate::gdal_setup::message(&last_error()))
}

/// A geometry as WKB, without heights, and with segments in place of arcs.
pub(crate) fn to_plane_wkb(geometry: &Geometry) -> Result<Vec<u8>> {
    reset_error();
    // SAFETY: the handle is valid as long as the geometry lives; the copy is destroyed after the last call that takes it; GDAL
    // writes as many bytes as it says that it will.
    unsafe {
        let plane = gdal_sys::OGR_G_GetLinearGeometry(geometry.c_geometry(), 0.0, ptr::null_mut());
        if plane.is_null() {
            return Err(last_error());
        }
        gdal_sys::OGR_G_FlattenTo2D(plane);
        let mut wkb = vec![0; usize::try_from(gdal_sys::OGR_G_WkbSize(plane)).unwrap_or(0)];
        let code = gdal_sys::OGR_G_ExportToWkb(plane, gdal_sys::OGRwkbByteOrder::wkbNDR, wkb.as_mut_ptr());
        gdal_sys::OGR_G_DestroyGeometry(plane);
        if code == gdal_sys::OGRErr::OGRERR_NONE { Ok(wkb) } else { Err(last_error()) }
    }
}

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
