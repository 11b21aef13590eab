//! Element types, and reading and writing them.

#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::ptr;

use gdal::Dataset;
use gdal_sys::{CPLErr, GDALDataType, GDALRWFlag};
use geosam_core::{Shape, Window};

use super::{Result, check, gdal_version, last_error, reset_error, to_c_int};
use crate::resampling::Resampling;

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
    let handle = unsafe { gdal_sys::GDALGetRasterBand(dataset.c_dataset(), to_c_int(band)?) };
    if handle.is_null() { Err(last_error()) } else { Ok(handle) }
}

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
    let mut band_map = bands.iter().map(|&band| to_c_int(band)).collect::<Result<Vec<_>>>()?;
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
            to_c_int(shape.width)?,
            to_c_int(shape.height)?,
            T::data_type(),
            to_c_int(bands.len())?,
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
            to_c_int(shape.width)?,
            to_c_int(shape.height)?,
            u8::data_type(),
            0,
            0,
            &raw mut extra,
        )
    })
}

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
            to_c_int(shape.width)?,
            to_c_int(shape.height)?,
            to_c_int(bands)?,
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
            to_c_int(shape.width)?,
            to_c_int(shape.height)?,
            values.as_ptr().cast_mut().cast::<c_void>(),
            to_c_int(shape.width)?,
            to_c_int(shape.height)?,
            T::data_type(),
            to_c_int(bands)?,
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
