//! SAM and MobileSAM, one file per upstream module.
