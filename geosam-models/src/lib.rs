//! SAM-family models of geosam in burn
