//! What GDAL needs once in a process, and its errors in our terms.

use std::sync::Once;

use gdal::errors::GdalError;
use geosam_core::Error;

use crate::gdal_ffi;

/// Block cache of the process unless [`set_cache_size`] or the environment's `GDAL_CACHEMAX` says otherwise.
///
/// GDAL's own default is a share of the machine's memory, which is too much in a container and too little nowhere.
const DEFAULT_CACHE_BYTES: u64 = 256 << 20;

/// Let GDAL keep at most `bytes` of decoded raster blocks, in all datasets of the process together (default 256 MiB, or
/// what the environment variable `GDAL_CACHEMAX` says).
///
/// Reading windows that overlap needs about `raster width × chip height × bands` bytes to decode each block once.
///
/// ```
/// geosam_io::set_cache_size(512 << 20);
/// ```
pub fn set_cache_size(bytes: u64) {
    init();
    gdal_ffi::set_cache_size(bytes);
}

/// Prepare GDAL; every entry into this crate calls it, all but the first call do nothing.
///
/// GDAL's messages no longer go to the standard error stream: they come back in our errors.
pub(crate) fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gdal_ffi::silence_messages();
        // Registers all drivers, once: two threads that do it at the same time crash, so it goes the way every other call
        // of the `gdal` crate goes.
        let _ = gdal::DriverManager::get_driver_by_name("VRT");
        if gdal::config::get_config_option("GDAL_CACHEMAX", "").is_ok_and(|value| value.is_empty()) {
            gdal_ffi::set_cache_size(DEFAULT_CACHE_BYTES);
        }
    });
}

/// [`Error::Dataset`] with GDAL's own words as the reason.
pub(crate) fn dataset_error(operation: &'static str, dataset: &str, error: GdalError) -> Error {
    let message = message(&error);
    // GDAL starts with the path, which the error already names.
    let reason =
        message.strip_prefix(dataset).map_or(message.as_str(), |rest| rest.trim_start_matches([':', ',', ' ']));
    Error::Dataset { operation, dataset: dataset.to_string(), reason: reason.to_string(), source: Some(error.into()) }
}

/// What GDAL said, on one line and without the names of its functions.
pub(crate) fn message(error: &GdalError) -> String {
    let text = match error {
        GdalError::CplError { msg, .. } | GdalError::NullPointer { msg, .. } | GdalError::BadArgument(msg) => {
            msg.clone()
        }
        GdalError::InvalidCoordinateRange { msg: Some(msg), .. } => msg.clone(),
        other => other.to_string(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { "GDAL gave no reason".to_string() } else { text }
}
