//! Where chips come from: encoded before, or now.

use std::sync::Arc;

use geosam_core::{
    ChipRecord, ChipSource, Error, FeatureStore, GeoGrid, GridGeoSampler, ModelSpec, NoProgress, PixelPoint,
    PromptSession, Result, Segmenter, Shape, ValueRange, Window,
};

use super::config::AutomaticMasksRaster;
use super::rectangle::Rectangle;
use crate::feature_engine::{check_model, open_features};

/// How far, in pixels, chips may be from a common grid: a folder's coordinates are rounded.
const OFF_GRID: f64 = 0.01;

/// Chips in row-major order.
#[derive(Debug)]
pub(super) enum Chips {
    Features { store: Arc<dyn FeatureStore>, records: Vec<Arc<ChipRecord>> },
    Raster { source: Arc<dyn ChipSource>, range: ValueRange },
}

/// A chip that is ready to be asked.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) session: Box<dyn PromptSession>,
    /// Which of its pixels hold data, where that is known.
    pub(super) valid: Option<Vec<bool>>,
}

impl Chips {
    /// The chips of a store, where they lie, and the grid in whose pixels that is.
    pub(super) fn of_store(store: Arc<dyn FeatureStore>, model: &ModelSpec) -> Result<(Self, Vec<Rectangle>, GeoGrid)> {
        let chips = store.chips()?;
        let Some(first) = chips.first().cloned() else {
            return Err(Error::invalid_argument("feature store", "at least one chip", "none"));
        };
        let mut placed = Vec::with_capacity(chips.len());
        for chip in chips {
            check_model(&chip, model)?;
            placed.push((place(&chip, &first.grid)?, chip));
        }
        let left = placed.iter().map(|(window, _)| window.column).min().unwrap_or(0);
        let top = placed.iter().map(|(window, _)| window.row).min().unwrap_or(0);
        for (window, _) in &mut placed {
            *window = Window::new(window.column - left, window.row - top, window.shape);
        }
        placed.sort_by_key(|(window, _)| (window.row, window.column));
        let right = placed.iter().map(|(window, _)| window.column_end()).max().unwrap_or(0);
        let bottom = placed.iter().map(|(window, _)| window.row_end()).max().unwrap_or(0);
        let all = Window::new(left, top, Shape::new(bottom as usize, right as usize));
        if i32::try_from(right.max(bottom)).is_err() {
            return Err(Error::invalid_argument(
                "feature store",
                "chips on a grid of at most 2³¹ − 1 rows and columns",
                all,
            ));
        }
        let grid = first.grid.shifted(all);
        let (windows, records) = placed.into_iter().map(|(window, chip)| (Rectangle::of(window), chip)).unzip();
        Ok((Self::Features { store, records }, windows, grid))
    }

    /// The chips of a raster, and where they lie in its pixels.
    pub(super) fn of_raster(
        source: Arc<dyn ChipSource>,
        raster: AutomaticMasksRaster,
        model: &ModelSpec,
    ) -> Result<(Self, Vec<Rectangle>)> {
        let shape = source.grid().shape;
        let extent = raster.extent.unwrap_or(Window::whole(shape));
        source.grid().window(extent)?;
        let chip = raster.chip.unwrap_or(Shape::square(model.image_size));
        let sampler = GridGeoSampler::with_tiling(extent, chip, raster.tiling)?;
        let choice = raster.value_range.for_preprocess(model.preprocess);
        choice.validate()?;
        let range = source.value_range(choice, extent, &NoProgress)?;
        let windows = sampler.windows().map(Rectangle::of).collect();
        Ok((Self::Raster { source, range }, windows))
    }

    /// A chip, ready to be asked; `None` if no point is left, as those without data are taken out.
    pub(super) fn open(
        &self,
        chip: usize,
        window: &Rectangle,
        points: &mut Vec<PixelPoint>,
        segmenter: &dyn Segmenter,
    ) -> Result<Option<Opened>> {
        if points.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Features { store, records } => {
                Ok(Some(Opened { session: open_features(&**store, &records[chip], segmenter)?, valid: None }))
            }
            Self::Raster { source, range } => {
                let sample = source.read(window.window())?;
                if let Some(valid) = &sample.valid {
                    let at = |position: f64, start: i32| (position as i32 - start) as usize;
                    let index =
                        |p: &PixelPoint| at(p.row, window.top) * window.shape().width + at(p.column, window.left);
                    points.retain(|point| valid[index(point)]);
                }
                if points.is_empty() {
                    return Ok(None);
                }
                let session = segmenter.open_image(&sample.to_model_image(range)?)?;
                Ok(Some(Opened { session, valid: sample.valid }))
            }
        }
    }
}

/// The pixels of a chip, counted from the first of `grid`.
fn place(chip: &ChipRecord, grid: &GeoGrid) -> Result<Window> {
    let corner = |column, row| grid.to_pixel(chip.grid.to_world(PixelPoint::new(column, row)));
    let Shape { height, width } = chip.grid.shape;
    let (first, last) = (corner(0.0, 0.0), corner(width as f64, height as f64));
    let (column, row) = (first.column.round(), first.row.round());
    let off =
        [first.column - column, first.row - row, last.column - column - width as f64, last.row - row - height as f64];
    if chip.grid.crs != grid.crs || !off.iter().all(|off| off.abs() < OFF_GRID) {
        let found = format!("{}, which lies between the pixels of the first", chip.chip_id);
        return Err(Error::invalid_argument("feature store", "chips of one raster, on its pixel grid", found));
    }
    Ok(Window::new(column as i64, row as i64, chip.grid.shape))
}
