//! Rasters and vectors of geosam through GDAL
