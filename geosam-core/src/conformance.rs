//! The contracts of the seams, as functions that every implementation's tests call.
//!
//! Each function asserts what the documentation of its trait promises and panics, with a sentence, where an
//! implementation does otherwise. A program that implements a seam itself is well advised to call them too:
//!
//! ```
//! use geosam_core::{CancelFlag, conformance};
//!
//! conformance::progress(&CancelFlag::new());
//! ```

mod chip_source;
mod crs_transform;
mod feature_store;
mod progress;
mod segmenter;

pub use chip_source::chip_source;
pub use crs_transform::crs_transform;
pub use feature_store::feature_store;
pub use progress::{ProgressLog, progress};
pub use segmenter::{prompt_session, segmenter};
