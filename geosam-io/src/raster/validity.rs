//! Which pixels hold data.

use gdal::errors::GdalError;
use geosam_core::{Pixels, Result, Shape, with_pixels};

use super::options::RasterOptions;
use crate::gdal_ffi::{self, FloatWindow, GdalValue, OpenRaster};
use crate::gdal_setup::dataset_error;

/// When a pixel of several bands counts as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// If one band holds data: for showing. A dark lake whose red is the no-data value 0 stays a lake.
    AnyBand,
    /// If every band does: for statistics, which a single no-data value would spoil.
    EveryBand,
}

/// Where the raster says which pixels hold data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// In mask bands (GDAL's view of a no-data value, alpha or mask): for each band read, the band whose mask is its own.
    Masks(Vec<Option<usize>>),
    /// In the coverage of a warp.
    Footprint,
}

impl Validity {
    /// For `bands` of what is read.
    pub(super) fn of(raster: &OpenRaster, bands: &[usize], source: &str) -> Result<Self> {
        if raster.footprint().is_some() {
            return Ok(Self::Footprint);
        }
        let flags = |band: usize| raster.pixels().rasterband(band).and_then(|band| band.mask_flags());
        let mask_of = |&band: &usize| {
            let flags = flags(band).map_err(|error| dataset_error("read", source, error))?;
            // One mask for all bands is read once, as that of the first.
            Ok((!flags.is_all_valid()).then(|| if flags.is_per_dataset() { bands[0] } else { band }))
        };
        Ok(Self::Masks(bands.iter().map(mask_of).collect::<Result<_>>()?))
    }

    /// Whether each pixel of `window`, read into `pixels` at `shape`, holds data; `None` if nothing says that one does not.
    /// NaN is no data whatever the raster says.
    ///
    /// Values without data become `fill_value`, band by band, as in Python geosam.
    pub(super) fn read(
        &self,
        raster: &OpenRaster,
        window: &FloatWindow,
        pixels: &mut Pixels,
        shape: Shape,
        options: &RasterOptions,
        rule: Rule,
    ) -> Result<Option<Vec<bool>>, GdalError> {
        let area = shape.area();
        let mut mask = vec![u8::MAX; area];
        let mut masks = vec![None; pixels.len() / area];
        match self {
            Self::Masks(bands) => masks.clone_from(bands),
            Self::Footprint => {
                if let Some(footprint) = raster.footprint() {
                    gdal_ffi::read_bands(footprint, &[2], window, shape, options.resampling, &mut mask)?;
                }
            }
        }
        let mut in_memory = None;
        let mut valid = vec![rule == Rule::EveryBand; area];
        for (band, own) in masks.iter().enumerate() {
            match own {
                Some(band) if in_memory != Some(*band) => {
                    gdal_ffi::read_mask(raster.pixels(), *band, window, shape, options.resampling, &mut mask)?;
                    in_memory = Some(*band);
                }
                None if in_memory.is_some() => {
                    mask.fill(u8::MAX);
                    in_memory = None;
                }
                _ => {}
            }
            let own = band * area..(band + 1) * area;
            let is_nan = nan_of(pixels, own.clone());
            for (index, (valid, mask)) in valid.iter_mut().zip(&mask).enumerate() {
                let holds_data = *mask != 0 && !is_nan.as_ref().is_some_and(|nan| nan[index]);
                match rule {
                    Rule::AnyBand => *valid |= holds_data,
                    Rule::EveryBand => *valid &= holds_data,
                }
            }
            with_pixels!(&mut *pixels, values => fill_masked(&mut values[own], &mask, options.fill_value));
        }
        let says_nothing = *self != Self::Footprint && masks.iter().all(Option::is_none);
        Ok((!says_nothing || valid.contains(&false)).then_some(valid))
    }
}

fn fill_masked<T: GdalValue>(values: &mut [T], mask: &[u8], fill_value: f64) {
    let fill_value = T::from_f64(fill_value);
    for (value, _) in values.iter_mut().zip(mask).filter(|(_, mask)| **mask == 0) {
        *value = fill_value;
    }
}

/// Which of the values are NaN; `None` for types that have none.
fn nan_of(pixels: &Pixels, range: std::ops::Range<usize>) -> Option<Vec<bool>> {
    match pixels {
        Pixels::F32(values) => Some(values[range].iter().map(|v| v.is_nan()).collect()),
        Pixels::F64(values) => Some(values[range].iter().map(|v| v.is_nan()).collect()),
        _ => None,
    }
}
