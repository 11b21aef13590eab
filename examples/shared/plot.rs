//! Curves in a picture.

use std::convert::Infallible;
use std::path::Path;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_8X13;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{
    DrawTarget, Drawable, OriginDimensions, Pixel, Point, Primitive, RgbColor, Size, WebColors,
};
use embedded_graphics::primitives::{Line, Polyline, PrimitiveStyle};
use embedded_graphics::text::{Alignment, Text};
use geosam::{Error, Result};
use image::RgbImage;

/// One diagram.
#[derive(Debug)]
pub(crate) struct Panel {
    /// What stands above it.
    pub(crate) title: String,
    /// Lowest and highest value.
    pub(crate) range: [f64; 2],
    pub(crate) curves: Vec<Curve>,
}

/// Points in the order in which they are joined.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<[f64; 2]>,
}

/// Width and height of a panel, and the space around its axes.
const PANEL: [i32; 2] = [640, 400];
const MARGIN: i32 = 56;
const COLORS: [Rgb888; 6] = [
    Rgb888::CSS_STEEL_BLUE,
    Rgb888::CSS_DARK_ORANGE,
    Rgb888::CSS_SEA_GREEN,
    Rgb888::CSS_FIRE_BRICK,
    Rgb888::CSS_MEDIUM_PURPLE,
    Rgb888::CSS_SADDLE_BROWN,
];
const TEXT: MonoTextStyle<'_, Rgb888> = MonoTextStyle::new(&FONT_8X13, Rgb888::BLACK);
const TICKS: i32 = 5;
/// From one name to the next.
const LINE: i32 = 15;

/// Writes panels beside each other as a PNG. All have the same horizontal axis, `steps` long.
pub(crate) fn write_panels(path: &Path, panels: &[Panel], steps: f64) -> Result<()> {
    let size = [PANEL[0] * panels.len() as i32, PANEL[1]].map(|side| side as u32);
    let mut picture = Picture(RgbImage::from_pixel(size[0], size[1], image::Rgb([255; 3])));
    for (index, panel) in panels.iter().enumerate() {
        let Ok(()) = draw(&mut picture, panel, PANEL[0] * index as i32, steps);
    }
    picture.0.save(path).map_err(|error| Error::io("write", path, std::io::Error::other(error)))
}

fn draw(picture: &mut Picture, panel: &Panel, left: i32, steps: f64) -> std::result::Result<(), Infallible> {
    let [low, high] = panel.range;
    let (width, height) = (PANEL[0] - 2 * MARGIN, PANEL[1] - 2 * MARGIN);
    let place = |[x, y]: [f64; 2]| {
        let across = (x / steps).clamp(0.0, 1.0) * f64::from(width);
        let up = ((y - low) / (high - low)).clamp(0.0, 1.0) * f64::from(height);
        Point::new(left + MARGIN + across as i32, PANEL[1] - MARGIN - up as i32)
    };
    let thin = PrimitiveStyle::with_stroke(Rgb888::CSS_LIGHT_GRAY, 1);
    Text::with_alignment(&panel.title, Point::new(left + PANEL[0] / 2, MARGIN / 2), TEXT, Alignment::Center)
        .draw(picture)?;
    for tick in 0..=TICKS {
        let share = f64::from(tick) / f64::from(TICKS);
        let (x, y) = (share * steps, low + share * (high - low));
        Line::new(place([0.0, y]), place([steps, y])).into_styled(thin).draw(picture)?;
        let beside = place([0.0, y]) + Point::new(-6, 4);
        Text::with_alignment(&format!("{y:.2}"), beside, TEXT, Alignment::Right).draw(picture)?;
        let below = place([x, low]) + Point::new(0, 18);
        Text::with_alignment(&format!("{x:.0}"), below, TEXT, Alignment::Center).draw(picture)?;
    }
    for (curve, color) in panel.curves.iter().zip(COLORS.into_iter().cycle()) {
        let points: Vec<_> = curve.points.iter().copied().map(place).collect();
        Polyline::new(&points).into_styled(PrimitiveStyle::with_stroke(color, 2)).draw(picture)?;
    }
    // The names stand on the right, where the curves have left room.
    let ends = panel.curves.iter().filter_map(|curve| curve.points.last());
    let below = ends.clone().map(|[_, y]| y - low).sum::<f64>() > 0.5 * (high - low) * ends.count() as f64;
    let first = if below { PANEL[1] - MARGIN - LINE * panel.curves.len() as i32 } else { MARGIN + LINE };
    for (row, (curve, color)) in panel.curves.iter().zip(COLORS.into_iter().cycle()).enumerate() {
        let at = Point::new(left + PANEL[0] - MARGIN - 12, first + LINE * row as i32);
        let style = MonoTextStyle::new(&FONT_8X13, color);
        Text::with_alignment(&curve.name, at, style, Alignment::Right).draw(picture)?;
    }
    Ok(())
}

/// What is drawn on.
struct Picture(RgbImage);

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Picture {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> std::result::Result<(), Infallible> {
        for Pixel(Point { x, y }, color) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
                && let Some(pixel) = self.0.get_pixel_mut_checked(x, y)
            {
                *pixel = image::Rgb([color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}
