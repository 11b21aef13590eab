//! A picture of a chip with masks and prompts drawn on it.

use std::path::Path;

use geosam_core::{Error, Label, Masks, ModelImage, PixelBox, PixelPoint, PixelPrompt, Result};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::drawing::{Canvas, Rgb};
use crate::whole_files::write_whole;

/// Colours and size of an overlay.
#[derive(Clone, Debug, PartialEq)]
pub struct OverlayStyle {
    /// Colours of the masks, red, green, blue, in turn; the first again after the last.
    pub mask_colors: Vec<[u8; 3]>,
    /// How strongly a mask covers the image: 0 not at all (only its outline shows), 1 completely. Default 0.4.
    pub mask_opacity: f64,
    /// Colour of foreground points, marked with a plus sign. Default green.
    pub foreground: [u8; 3],
    /// Colour of background points, marked with a minus sign. Default red.
    pub background: [u8; 3],
    /// Colour of boxes. Default yellow.
    pub bbox: [u8; 3],
    /// Longest side of the picture in pixels. The image is reduced by a whole factor until it fits; it is never
    /// enlarged. Default: the image's own size.
    pub max_side: Option<usize>,
}

impl Default for OverlayStyle {
    fn default() -> Self {
        Self {
            mask_colors: vec![
                [30, 144, 255],
                [255, 127, 14],
                [190, 80, 220],
                [0, 190, 170],
                [250, 90, 150],
                [160, 200, 40],
            ],
            mask_opacity: 0.4,
            foreground: [24, 170, 60],
            background: [220, 40, 45],
            bbox: [255, 214, 10],
            max_side: None,
        }
    }
}

const WHITE: Rgb = [255, 255, 255];
const CASING: Rgb = [20, 20, 20];

/// Write a picture of a chip as PNG: each mask translucent with its outline, boxes, foreground points green with a plus,
/// background points red with a minus. The file appears whole or not at all.
///
/// `masks` have the image's shape. Prompts are in the image's pixels, (0, 0) at its top-left corner
/// ([`geosam_core::GeoGrid::to_pixel_prompt`] makes them); parts of them that lie off the image are not drawn, and a mask
/// prompt is not drawn at all.
///
/// # Errors
/// [`Error::InvalidArgument`] unless `path` ends in `.png`, the masks fit the image, the opacity is between 0 and 1 and
/// there is a colour; [`Error::Io`] if the file cannot be written.
///
/// # Examples
/// ```
/// use geosam_core::{Label, Masks, ModelImage, PixelPoint, PixelPrompt, Shape};
/// use geosam_io::{OverlayStyle, write_overlay};
///
/// # let folder = tempfile::tempdir()?;
/// let shape = Shape::square(64);
/// let image = ModelImage::new(shape, vec![90; 3 * 64 * 64])?;
/// let masks = Masks::new(shape, (0..64 * 64).map(|pixel| pixel % 64 < 32).collect())?;
/// let click = PixelPrompt {
///     points: vec![PixelPoint::new(16.0, 32.0)],
///     labels: vec![Label::Foreground],
///     ..PixelPrompt::default()
/// };
/// write_overlay(folder.path().join("chip.png"), &image, &masks, &[click], &OverlayStyle::default())?;
/// assert!(folder.path().join("chip.png").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_overlay(
    path: impl AsRef<Path>,
    image: &ModelImage,
    masks: &Masks,
    prompts: &[PixelPrompt],
    style: &OverlayStyle,
) -> Result<()> {
    let path = path.as_ref();
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
        return Err(Error::invalid_argument("overlay file", "a name ending in .png", path.display()));
    }
    let picture = draw_overlay(image, masks, prompts, style)?;
    let mut png = Vec::new();
    let (width, height) = (picture.shape().width as u32, picture.shape().height as u32);
    PngEncoder::new(&mut png).write_image(picture.rgb(), width, height, ExtendedColorType::Rgb8).map_err(|e| {
        Error::Dataset {
            operation: "encode",
            dataset: path.display().to_string(),
            reason: format!("a picture of {} pixels does not go into a PNG", picture.shape()),
            source: Some(Box::new(e)),
        }
    })?;
    write_whole(path, &png)
}

/// The picture that [`write_overlay`] writes.
///
/// # Errors
/// [`Error::InvalidArgument`] as there.
pub fn draw_overlay(
    image: &ModelImage,
    masks: &Masks,
    prompts: &[PixelPrompt],
    style: &OverlayStyle,
) -> Result<ModelImage> {
    let shape = image.shape();
    if masks.shape() != shape {
        return Err(Error::invalid_argument("masks", format!("the image's shape, {shape}"), masks.shape()));
    }
    if !(0.0..=1.0).contains(&style.mask_opacity) {
        return Err(Error::invalid_argument("mask opacity", "a number from 0 to 1", style.mask_opacity));
    }
    if style.mask_colors.is_empty() {
        return Err(Error::invalid_argument("mask colors", "at least one colour", "none"));
    }
    let longest = shape.height.max(shape.width);
    let factor = match style.max_side {
        Some(0) => return Err(Error::invalid_argument("longest side", "at least one pixel", 0)),
        Some(limit) => longest.div_ceil(limit),
        None => 1,
    };
    let side = longest as f64 / factor as f64;
    // Line width and point radius that read well from a thumbnail to a large chip.
    let (line, radius) = ((side / 420.0).clamp(1.2, 4.0), (side / 110.0).clamp(3.5, 14.0));

    let mut canvas = Canvas::reduced(image, factor);
    for (mask, &color) in masks.iter().zip(style.mask_colors.iter().cycle()) {
        canvas.mask(mask, shape, factor, color, style.mask_opacity, line);
    }
    let scale = 1.0 / factor as f64;
    for bbox in prompts.iter().filter_map(|prompt| prompt.bbox) {
        let area = PixelBox {
            left: bbox.left * scale,
            top: bbox.top * scale,
            right: bbox.right * scale,
            bottom: bbox.bottom * scale,
        };
        canvas.outline(area, line + 2.0, CASING);
        canvas.outline(area, line, style.bbox);
    }
    for prompt in prompts {
        for (point, label) in prompt.points.iter().zip(&prompt.labels) {
            let color = match label {
                Label::Foreground => style.foreground,
                Label::Background => style.background,
            };
            draw_point(&mut canvas, PixelPoint::new(point.column * scale, point.row * scale), *label, radius, color);
        }
    }
    canvas.into_image()
}

/// A coloured disc with a white rim and a white sign, so that it shows on any image and to any eye.
fn draw_point(canvas: &mut Canvas, center: PixelPoint, label: Label, radius: f64, color: Rgb) {
    let rim = (radius * 0.18).max(1.0);
    canvas.disc(center, radius + rim + 1.0, CASING);
    canvas.disc(center, radius + rim, WHITE);
    canvas.disc(center, radius, color);
    let (reach, half) = (radius * 0.58, (radius * 0.14).max(0.5));
    let bar = |horizontal: f64, vertical: f64| PixelBox {
        left: center.column - horizontal,
        top: center.row - vertical,
        right: center.column + horizontal,
        bottom: center.row + vertical,
    };
    canvas.bar(bar(reach, half), WHITE);
    if label == Label::Foreground {
        canvas.bar(bar(half, reach), WHITE);
    }
}
