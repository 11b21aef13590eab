//! Masks as polygons on the map.

mod components;
mod mask_features;
mod mask_vectorizer;
mod simplify;
mod trace;

pub use mask_features::{MaskFeatures, MaskPolygon};
pub use mask_vectorizer::{MaskChoice, MaskVectorizer, VectorizeOptions};
