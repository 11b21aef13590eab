//! Queries against a raster, encoded where the user asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use geosam_core::{
    ChipSource, CrsTransform, Error, GeoGrid, NoProgress, PixelBox, PixelPoint, PixelPrompt, PredictOptions, PromptSet,
    Result, Segmenter, Shape, ValueRange, ValueRangeChoice, Window,
};

use crate::feature_engine::predict_one;
use crate::online_cache::{OnlineQueryCache, covers};
use crate::opened_chips::OpenedChip;
use crate::result::QueryResult;

/// How an [`OnlineQueryEngine`] works.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OnlineQueryOptions {
    /// Size of a chip in pixels of the raster; default the model's image size.
    pub chip: Option<Shape>,
    /// Which values become 0 and 255. Settled once, from the whole raster, as
    /// [`ValueRangeChoice::for_preprocess`](geosam_core::ValueRangeChoice::for_preprocess) has it.
    pub value_range: ValueRangeChoice,
}

/// Answers prompts on a raster without a feature folder: the first prompt at a place encodes the chip around it, later
/// ones there are answered from the [`OnlineQueryCache`].
///
/// A chip is encoded around the centre of the prompt, moved inwards at the raster's edge, and serves until a prompt
/// leaves it.
#[derive(Debug)]
pub struct OnlineQueryEngine {
    source: Arc<dyn ChipSource>,
    segmenter: Arc<dyn Segmenter>,
    transform: Arc<dyn CrsTransform>,
    chip: Shape,
    range: ValueRange,
    id: u64,
}

impl OnlineQueryEngine {
    /// An engine on a raster. Settles the value range, which may read the raster.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty chip or an unusable value range, and what reading the raster returns.
    pub fn new(
        source: Arc<dyn ChipSource>,
        segmenter: Arc<dyn Segmenter>,
        transform: Arc<dyn CrsTransform>,
        options: OnlineQueryOptions,
    ) -> Result<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let spec = segmenter.spec();
        let chip = options.chip.unwrap_or(Shape::square(spec.image_size));
        if chip.area() == 0 {
            return Err(Error::invalid_argument("chip size", "at least one pixel on each side", chip));
        }
        let choice = options.value_range.for_preprocess(spec.preprocess);
        choice.validate()?;
        let range = source.value_range(choice, Window::whole(source.grid().shape), &NoProgress)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Self { source, segmenter, transform, chip, range, id })
    }

    /// The raster.
    #[must_use]
    pub fn source(&self) -> &Arc<dyn ChipSource> {
        &self.source
    }

    /// Which values become 0 and 255.
    #[must_use]
    pub fn value_range(&self) -> &ValueRange {
        &self.range
    }

    /// Answer a prompt from `cache`, or encode the chip around it and put it there.
    ///
    /// # Errors
    /// [`Error::MissingCrs`] for a prompt without CRS, [`Error::Crs`] if it cannot be reprojected;
    /// [`Error::OutOfBounds`] if it leaves the raster, or the chip around it holds no data; [`Error::TooLarge`] if it
    /// does not fit in a chip; [`Error::InvalidArgument`] if it leaves the chip that its mask belongs to; and what reading,
    /// encoding and decoding return.
    pub fn query(
        &self,
        prompt: &PromptSet,
        options: PredictOptions,
        cache: &mut OnlineQueryCache,
    ) -> Result<QueryResult> {
        let grid = self.source.grid();
        let on_raster = pixel_bounds(&grid.to_pixel_prompt(prompt, &*self.transform)?);
        let prompt = prompt.to_crs(&grid.crs, &*self.transform)?;

        cache.serve(self.id);
        let of_mask = match prompt.mask_chip() {
            Some(chip) => {
                let window = self.window_at(chip).filter(|window| covers(window, &on_raster));
                Some(window.ok_or_else(|| prompt.mask_elsewhere())?)
            }
            None => None,
        };
        let known = match of_mask {
            Some(window) => cache.get(window),
            None => cache.find(&on_raster, grid.to_pixel(prompt.center())),
        };
        let (window, chip) = match known {
            Some(found) => found,
            None => {
                let window = of_mask.map_or_else(|| self.window_for(&prompt, &on_raster), Ok)?;
                let chip = self.encode(window, &prompt)?;
                cache.insert(window, chip.clone());
                (window, chip)
            }
        };
        let chip_grid = grid.shifted(window);
        let pixels = chip_grid.to_pixel_prompt(&prompt, &*self.transform)?;
        let prediction = predict_one(&chip, &pixels, options)?;
        let (source_path, model_type) = (self.source.source_path(), self.segmenter.spec().model_type);
        Ok(QueryResult::new(prediction, &prompt, &chip_grid, source_path, None, model_type))
    }

    /// The window of a chip that this engine has answered from.
    fn window_at(&self, chip: &GeoGrid) -> Option<Window> {
        let grid = self.source.grid();
        let corner = grid.to_pixel(chip.to_world(PixelPoint::new(0.0, 0.0)));
        let window = Window::new(corner.column.round() as i64, corner.row.round() as i64, chip.shape);
        (grid.shifted(window) == *chip).then_some(window)
    }

    /// The chip around the prompt's centre; or, where the points lie to one side of their mean, around their bounds.
    fn window_for(&self, prompt: &PromptSet, on_raster: &PixelBox) -> Result<Window> {
        let grid = self.source.grid();
        [prompt.center(), prompt.bounds().center()]
            .into_iter()
            .map(|center| grid.window_from_center(center, self.chip))
            .find(|window| covers(window, on_raster))
            .ok_or_else(|| Error::TooLarge {
                what: "the prompt".to_string(),
                found: format!(
                    "{:.1}×{:.1} pixels",
                    on_raster.bottom - on_raster.top,
                    on_raster.right - on_raster.left
                ),
                limit: format!("{} pixels, a chip", self.chip),
                remedy: "choose a larger chip size, or a coarser resolution",
            })
    }

    fn encode(&self, window: Window, prompt: &PromptSet) -> Result<Arc<OpenedChip>> {
        let sample = self.source.read(window)?;
        if !sample.has_data() {
            return Err(Error::OutOfBounds {
                what: "the prompt".to_string(),
                location: prompt.bounds().to_string(),
                container: format!("the valid pixels of {}", self.source.source_path()),
            });
        }
        let image = sample.to_model_image(&self.range)?;
        Ok(OpenedChip::new(self.segmenter.open_image(&image)?))
    }
}

/// The box around points and box.
fn pixel_bounds(prompt: &PixelPrompt) -> PixelBox {
    let points = prompt.points.iter().map(|p| PixelBox { left: p.column, top: p.row, right: p.column, bottom: p.row });
    let around = |a: PixelBox, b: PixelBox| PixelBox {
        left: a.left.min(b.left),
        top: a.top.min(b.top),
        right: a.right.max(b.right),
        bottom: a.bottom.max(b.bottom),
    };
    let nowhere = PixelBox { left: f64::NAN, top: f64::NAN, right: f64::NAN, bottom: f64::NAN };
    points.chain(prompt.bbox).reduce(around).unwrap_or(nowhere)
}
