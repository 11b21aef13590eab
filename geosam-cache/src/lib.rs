//! Feature folders of geosam: a GeoParquet manifest and one file per chip
