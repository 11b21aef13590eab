//! From the names and shapes of a file to those of the official releases.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use geosam_core::torch_file::TensorRef;
use geosam_core::{Error, Result};

use super::recognise::{Family, Layout};
use super::rename::{Rename, rename};
use super::view::TensorView;
use super::{hugging_face, official};

/// The official name of a tensor.
pub(super) fn official_name(name: &str, family: Family, layout: Layout) -> String {
    let steps: &[&[Rename]] = match (layout, family) {
        (Layout::Official, Family::Sam3) => &[official::SAM3],
        (Layout::Official, Family::Sam31) => &[official::SAM31],
        (Layout::Official, _) => &[],
        (Layout::HuggingFace, Family::SamVit | Family::MobileSam) => &[hugging_face::SAM],
        (Layout::HuggingFace, Family::Sam2) => &[hugging_face::SAM2, hugging_face::TRACKER],
        (Layout::HuggingFace, Family::Sam3 | Family::Sam31) => {
            &[hugging_face::SAM3_VIDEO, hugging_face::TRACKER, hugging_face::SAM3]
        }
    };
    steps.iter().fold(name.to_string(), |name, rules| rename(&name, rules))
}

/// The tensors of a file as the network asks for them.
///
/// # Errors
/// [`Error::InvalidFile`] if two have the same official name.
pub(super) fn translate(
    path: &Path,
    tensors: BTreeMap<String, TensorRef>,
    family: Family,
    layout: Layout,
) -> Result<BTreeMap<String, TensorView>> {
    let mut views = BTreeMap::new();
    for (name, tensor) in tensors {
        match views.entry(official_name(&name, family, layout)) {
            Entry::Vacant(place) => {
                place.insert(TensorView::whole(tensor));
            }
            Entry::Occupied(_) if name.ends_with(hugging_face::TIED) => {}
            Entry::Occupied(place) => {
                let first: Vec<_> = place.get().stored_names().collect();
                let found = format!("two, {} and {}", first.join(", "), tensor.name());
                return Err(Error::invalid_file(path, "SAM checkpoint", format!("one tensor {}", place.key()), found));
            }
        }
    }
    match (layout, family) {
        (Layout::HuggingFace, _) => hugging_face::rearrange(&mut views),
        (Layout::Official, Family::Sam3 | Family::Sam31) => official::drop_class_row(&mut views),
        (Layout::Official, _) => {}
    }
    Ok(views)
}

#[cfg(test)]
mod tests;
