//! geosam
