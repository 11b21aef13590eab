//! Query engines of geosam: pre-encoded and live
