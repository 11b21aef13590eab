//! CPU kernels where burn is slow; each falls through to burn elsewhere.
