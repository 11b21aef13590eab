//! The pixel grid of a raster or chip: transform, shape and CRS.

use crate::affine::Affine;
use crate::bbox::BoundingBox;
use crate::coordinates::{PixelBox, PixelPoint, Shape, Window, WorldPoint};
use crate::crs::{Crs, CrsTransform};
use crate::error::{Error, Result};
use crate::points::Points;
use crate::prompt_set::PromptSet;
use crate::segmenter::PixelPrompt;

/// Where in a pixel its coordinate is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PixelAnchor {
    /// The centre.
    #[default]
    Center,
    /// The upper-left corner.
    UpperLeft,
    /// The upper-right corner.
    UpperRight,
    /// The lower-left corner.
    LowerLeft,
    /// The lower-right corner.
    LowerRight,
}

impl PixelAnchor {
    const fn offset(self) -> PixelPoint {
        match self {
            Self::Center => PixelPoint::new(0.5, 0.5),
            Self::UpperLeft => PixelPoint::new(0.0, 0.0),
            Self::UpperRight => PixelPoint::new(1.0, 0.0),
            Self::LowerLeft => PixelPoint::new(0.0, 1.0),
            Self::LowerRight => PixelPoint::new(1.0, 1.0),
        }
    }
}

/// How far, in pixels, a prompt may lie off the grid, or a region past a pixel, and still count as on its edge. World
/// coordinates of 10⁷ with pixels of a centimetre round to 2·10⁻⁷ pixels.
const EDGE_ROUNDING: f64 = 1e-6;

/// A fixed pixel grid on the map.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GeoGrid {
    /// Pixel → world.
    pub transform: Affine,
    /// Rows and columns.
    pub shape: Shape,
    /// CRS of the world coordinates.
    pub crs: Crs,
}

impl GeoGrid {
    /// A grid from its parts.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a singular transform or an empty shape.
    pub fn new(transform: Affine, shape: Shape, crs: Crs) -> Result<Self> {
        transform.validate()?;
        if shape.area() == 0 {
            return Err(Error::invalid_argument("grid shape", "at least one pixel on each side", shape));
        }
        Ok(Self { transform, shape, crs })
    }

    /// The north-up grid over `bounds` with pixels of `x_size` × `y_size` CRS units; the last row and column may reach
    /// past the bounds.
    ///
    /// # Errors
    /// [`Error::MissingCrs`] if the bounds have none, [`Error::InvalidArgument`] for a size that is not positive.
    pub fn from_bounds_and_resolution(bounds: &BoundingBox, x_size: f64, y_size: f64) -> Result<Self> {
        if !(x_size > 0.0 && y_size > 0.0) {
            return Err(Error::invalid_argument(
                "resolution",
                "two positive numbers",
                format_args!("{x_size}, {y_size}"),
            ));
        }
        let shape = Shape::new((bounds.height() / y_size).ceil() as usize, (bounds.width() / x_size).ceil() as usize);
        let crs = bounds.require_crs("the bounding box")?.clone();
        Self::new(Affine::from_origin(bounds.left, bounds.top, x_size, y_size), shape, crs)
    }

    /// The north-up grid of `shape` pixels that fills `bounds` exactly.
    ///
    /// # Errors
    /// [`Error::MissingCrs`] if the bounds have none, [`Error::InvalidArgument`] if bounds or shape are empty.
    pub fn from_bounds_and_shape(bounds: &BoundingBox, shape: Shape) -> Result<Self> {
        let crs = bounds.require_crs("the bounding box")?.clone();
        let transform = Affine::from_origin(
            bounds.left,
            bounds.top,
            bounds.width() / shape.width as f64,
            bounds.height() / shape.height as f64,
        );
        Self::new(transform, shape, crs)
    }

    /// The grid whose pixels have the given coordinates: `x` of each column, `y` of each row, evenly spaced, at
    /// `anchor` of the pixel.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with fewer than two coordinates on an axis, when they do not advance, or when one lies half
    /// a pixel or more from where even spacing puts it.
    pub fn from_xy(x: &[f64], y: &[f64], crs: Crs, anchor: PixelAnchor) -> Result<Self> {
        let step = |values: &[f64]| match values {
            [first, .., last] => {
                let step = (last - first) / (values.len() - 1) as f64;
                let off = |(i, value): (usize, &f64)| (value - (first + i as f64 * step)).abs() >= step.abs() / 2.0;
                match values.iter().enumerate().find(|entry| off(*entry)) {
                    Some((_, value)) => Err(Error::invalid_argument("x and y", "evenly spaced coordinates", value)),
                    None => Ok(step),
                }
            }
            _ => Err(Error::invalid_argument("x and y", "at least two coordinates on each axis", values.len())),
        };
        let (x_step, y_step) = (step(x)?, step(y)?);
        let offset = anchor.offset();
        let transform =
            Affine::new([x_step, 0.0, x[0] - x_step * offset.column, 0.0, y_step, y[0] - y_step * offset.row]);
        Self::new(transform, Shape::new(y.len(), x.len()), crs)
    }

    /// Pixel size along x and y in CRS units, both positive.
    #[must_use]
    pub fn resolution(&self) -> (f64, f64) {
        let t = self.transform;
        (t.a.hypot(t.d), t.b.hypot(t.e))
    }

    /// Whether columns run east and rows south, with no rotation.
    #[must_use]
    pub fn is_north_up(&self) -> bool {
        let t = self.transform;
        t.b == 0.0 && t.d == 0.0 && t.a > 0.0 && t.e < 0.0
    }

    /// The box around the grid.
    #[must_use]
    pub fn bounds(&self) -> BoundingBox {
        let t = self.transform;
        let (height, width) = (self.shape.height as f64, self.shape.width as f64);
        let (xs, ys) = if t.b == 0.0 && t.d == 0.0 {
            ([t.c, t.c + t.a * width, t.c, t.c], [t.f, t.f + t.e * height, t.f, t.f])
        } else {
            let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
                .map(|(column, row)| t.to_world(PixelPoint::new(column, row)));
            (corners.map(|p| p.x), corners.map(|p| p.y))
        };
        BoundingBox {
            left: xs.iter().copied().fold(f64::INFINITY, f64::min),
            bottom: ys.iter().copied().fold(f64::INFINITY, f64::min),
            right: xs.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            top: ys.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            crs: Some(self.crs.clone()),
        }
    }

    /// World coordinates of the given place in pixel (`column`, `row`).
    #[must_use]
    pub fn xy(&self, column: i64, row: i64, anchor: PixelAnchor) -> WorldPoint {
        let offset = anchor.offset();
        self.transform.to_world(PixelPoint::new(column as f64 + offset.column, row as f64 + offset.row))
    }

    /// Continuous pixel coordinates of a point in the grid's CRS.
    #[must_use]
    pub fn to_pixel(&self, p: WorldPoint) -> PixelPoint {
        self.transform.to_pixel(p)
    }

    /// World coordinates of a continuous pixel position.
    #[must_use]
    pub fn to_world(&self, p: PixelPoint) -> WorldPoint {
        self.transform.to_world(p)
    }

    /// x of every column and y of every row, at `anchor` of the pixel. For grids without rotation.
    #[must_use]
    pub fn axes(&self, anchor: PixelAnchor) -> (Vec<f64>, Vec<f64>) {
        let (t, offset) = (self.transform, anchor.offset());
        (
            (0..self.shape.width).map(|i| t.c + t.a * (i as f64 + offset.column)).collect(),
            (0..self.shape.height).map(|i| t.f + t.e * (i as f64 + offset.row)).collect(),
        )
    }

    /// A north-up grid in another CRS over the same area, as [`CrsTransform::suggest_grid`] finds it: with about as many
    /// pixels, or with pixels of `resolution` (x size, y size in units of `crs`), or of `shape`.
    ///
    /// # Errors
    /// As [`CrsTransform::suggest_grid`].
    pub fn to_crs(
        &self,
        crs: &Crs,
        transform: &dyn CrsTransform,
        resolution: Option<(f64, f64)>,
        shape: Option<Shape>,
    ) -> Result<Self> {
        transform.suggest_grid(self, crs, resolution, shape)
    }

    /// The part of the grid in `window`.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] unless the window lies on the grid.
    pub fn window(&self, window: Window) -> Result<Self> {
        window.validate()?;
        if window.clip(self.shape) != Some(window) {
            return Err(Error::OutOfBounds {
                what: "the window".to_string(),
                location: window.to_string(),
                container: format!("the grid of {} pixels", self.shape),
            });
        }
        Ok(self.shifted(window))
    }

    /// The grid of `window`, which may reach past this one.
    #[must_use]
    pub fn shifted(&self, window: Window) -> Self {
        Self {
            transform: self.transform.shifted(window.column as f64, window.row as f64),
            shape: window.shape,
            crs: self.crs.clone(),
        }
    }

    /// The pixels that `region` (in the grid's CRS) touches. An edge within a millionth of a pixel of a pixel's edge lies on
    /// it, so that the bounds of a window give this window again.
    ///
    /// # Errors
    /// [`Error::Crs`] if the region is in another CRS, [`Error::OutOfBounds`] if it does not meet the grid.
    pub fn window_of(&self, region: &BoundingBox) -> Result<Window> {
        if region.crs.as_ref().is_some_and(|crs| *crs != self.crs) {
            return Err(Error::Crs {
                crs: region.crs.as_ref().map(ToString::to_string).unwrap_or_default(),
                reason: format!("the region must be in the grid's CRS, {}; bring it over with to_crs", self.crs),
                source: None,
            });
        }
        if *region == self.bounds() {
            return Ok(Window::whole(self.shape));
        }
        let pixels = self.pixel_box(region);
        // Clipped before the size is taken: the difference of two coordinates far away might not fit.
        let span = |from: f64, to: f64, size: usize| {
            let (from, to) = ((from + EDGE_ROUNDING).floor(), (to - EDGE_ROUNDING).ceil());
            let (from, to) = ((from as i64).max(0), (to as i64).min(size as i64));
            (from, to.saturating_sub(from).max(0) as usize)
        };
        let (column, width) = span(pixels.left, pixels.right, self.shape.width);
        let (row, height) = span(pixels.top, pixels.bottom, self.shape.height);
        if width == 0 || height == 0 {
            return Err(Error::OutOfBounds {
                what: "the region".to_string(),
                location: region.to_string(),
                container: format!("the raster, which covers {}", self.bounds()),
            });
        }
        Ok(Window::new(column, row, Shape::new(height, width)))
    }

    /// The view of the grid on a region: [`GeoGrid::window`] of [`GeoGrid::window_of`].
    ///
    /// # Errors
    /// As [`GeoGrid::window_of`].
    pub fn to_view(&self, region: &BoundingBox) -> Result<Self> {
        self.window(self.window_of(region)?)
    }

    /// The window of `chip` pixels around a point, moved inwards where it would reach past the grid, and no larger
    /// than the grid.
    #[must_use]
    pub fn window_from_center(&self, center: WorldPoint, chip: Shape) -> Window {
        let p = self.to_pixel(center);
        let start = |at: f64, chip: usize, size: usize| {
            ((at - chip as f64 / 2.0).trunc() as i64).clamp(0, size.saturating_sub(chip) as i64)
        };
        Window::new(
            start(p.column, chip.width, self.shape.width),
            start(p.row, chip.height, self.shape.height),
            Shape::new(chip.height.min(self.shape.height), chip.width.min(self.shape.width)),
        )
    }

    /// A box in the grid's CRS as continuous pixel coordinates (the box around its four corners).
    #[must_use]
    pub fn pixel_box(&self, bounds: &BoundingBox) -> PixelBox {
        let corners = [
            (bounds.left, bounds.top),
            (bounds.right, bounds.top),
            (bounds.right, bounds.bottom),
            (bounds.left, bounds.bottom),
        ]
        .map(|(x, y)| self.to_pixel(WorldPoint::new(x, y)));
        let fold = |values: [f64; 4], op: fn(f64, f64) -> f64| values.into_iter().reduce(op).unwrap_or(f64::NAN);
        PixelBox {
            left: fold(corners.map(|p| p.column), f64::min),
            top: fold(corners.map(|p| p.row), f64::min),
            right: fold(corners.map(|p| p.column), f64::max),
            bottom: fold(corners.map(|p| p.row), f64::max),
        }
    }

    /// Prompts as pixel prompts on this grid, reprojected where needed.
    ///
    /// # Errors
    /// [`Error::MissingCrs`] for a prompt without CRS, [`Error::OutOfBounds`] if a point or the box leaves the grid,
    /// [`Error::Crs`] if it cannot be reprojected.
    pub fn to_pixel_prompt(&self, prompt: &PromptSet, transform: &dyn CrsTransform) -> Result<PixelPrompt> {
        let here = prompt.to_crs(&self.crs, transform)?;
        let mut pixels = PixelPrompt { mask: prompt.mask().cloned(), ..PixelPrompt::default() };
        if let (Some(points), Some(asked)) = (here.points(), prompt.points()) {
            (pixels.points, pixels.labels) = self.to_pixel_points(points, asked)?;
        }
        if let (Some(bbox), Some(asked)) = (here.bbox(), prompt.bbox()) {
            let on_grid = self.pixel_box(bbox);
            let corners = [PixelPoint::new(on_grid.left, on_grid.top), PixelPoint::new(on_grid.right, on_grid.bottom)];
            let [Some(first), Some(last)] = corners.map(|p| self.snap_to_grid(p)) else {
                return Err(self.off_grid("the box", asked.to_string()));
            };
            pixels.bbox = Some(PixelBox { left: first.column, top: first.row, right: last.column, bottom: last.row });
        }
        Ok(pixels)
    }

    /// `asked` are the points as the user gave them, which is how messages name them.
    fn to_pixel_points(&self, points: &Points, asked: &Points) -> Result<(Vec<PixelPoint>, Vec<crate::points::Label>)> {
        let on_grid = |((p, label), asked_at): (_, &WorldPoint)| match self.snap_to_grid(self.to_pixel(p)) {
            Some(at) => Ok((at, label)),
            None => {
                let crs = asked.crs().unwrap_or(&self.crs);
                Err(self.off_grid("the point", format!("{}, {} ({crs})", asked_at.x, asked_at.y)))
            }
        };
        points.iter().zip(asked.coordinates()).map(on_grid).collect()
    }

    /// The position moved onto the grid's edge if it lies off it by rounding only, `None` if it lies further off.
    fn snap_to_grid(&self, p: PixelPoint) -> Option<PixelPoint> {
        let (width, height) = (self.shape.width as f64, self.shape.height as f64);
        let is_near = |at: f64, size: f64| (-EDGE_ROUNDING..=size + EDGE_ROUNDING).contains(&at);
        (is_near(p.column, width) && is_near(p.row, height))
            .then(|| PixelPoint::new(p.column.clamp(0.0, width), p.row.clamp(0.0, height)))
    }

    fn off_grid(&self, what: &str, location: String) -> Error {
        Error::OutOfBounds {
            what: what.to_string(),
            location,
            container: format!("the raster, which covers {}", self.bounds()),
        }
    }
}
