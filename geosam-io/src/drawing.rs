//! A small canvas: translucent masks, anti-aliased dots, plus and minus signs, rectangles.

use geosam_core::{ModelImage, PixelBox, PixelPoint, Result, Shape};

/// A colour, red, green and blue.
pub(crate) type Rgb = [u8; 3];

/// An RGB picture that is drawn on in its own pixel coordinates, (0, 0) at the top-left corner.
pub(crate) struct Canvas {
    shape: Shape,
    rgb: Vec<u8>,
}

impl Canvas {
    /// The image reduced `factor` times, each pixel the mean of `factor` × `factor` (fewer at the right and bottom edges).
    pub(crate) fn reduced(image: &ModelImage, factor: usize) -> Self {
        let (full, shape) = (image.shape(), reduced_shape(image.shape(), factor));
        let mut rgb = Vec::with_capacity(3 * shape.area());
        for row in 0..shape.height {
            for column in 0..shape.width {
                let mut sum = [0_usize; 3];
                let mut count = 0;
                for pixel in block(full, factor, row, column) {
                    count += 1;
                    for (sum, &byte) in sum.iter_mut().zip(&image.rgb()[3 * pixel..]) {
                        *sum += usize::from(byte);
                    }
                }
                rgb.extend(sum.map(|sum| ((sum + count / 2) / count) as u8));
            }
        }
        Self { shape, rgb }
    }

    /// The picture.
    pub(crate) fn into_image(self) -> Result<ModelImage> {
        ModelImage::new(self.shape, self.rgb)
    }

    /// Lay `color` over the mask (row-major, `factor` times the canvas), `opacity` strong, and a line of `width` pixels
    /// along its edge.
    pub(crate) fn mask(&mut self, mask: &[bool], full: Shape, factor: usize, color: Rgb, opacity: f64, width: f64) {
        let coverage: Vec<f64> = (0..self.shape.area())
            .map(|pixel| {
                let (mut inside, mut count) = (0_u32, 0_u32);
                for source in block(full, factor, pixel / self.shape.width, pixel % self.shape.width) {
                    inside += u32::from(mask[source]);
                    count += 1;
                }
                f64::from(inside) / f64::from(count)
            })
            .collect();
        for (pixel, coverage) in coverage.iter().enumerate().filter(|(_, coverage)| **coverage > 0.0) {
            self.blend(pixel, color, opacity * coverage);
        }
        let inside = |row: i64, column: i64| {
            let on_canvas =
                (0..self.shape.height as i64).contains(&row) && (0..self.shape.width as i64).contains(&column);
            // The edge of the picture is no edge of the object.
            !on_canvas || coverage[row as usize * self.shape.width + column as usize] >= 0.5
        };
        let mut line = vec![0.0_f64; coverage.len()];
        for pixel in (0..coverage.len()).filter(|&pixel| coverage[pixel] >= 0.5) {
            let (row, column) = ((pixel / self.shape.width) as i64, (pixel % self.shape.width) as i64);
            let neighbours = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)];
            if neighbours.iter().all(|&(row, column)| inside(row, column)) {
                continue;
            }
            let center = PixelPoint::new(column as f64 + 0.5, row as f64 + 0.5);
            self.cover(
                center,
                width / 2.0 + 1.0,
                |p| width / 2.0 - distance(p, center),
                |pixel, alpha| {
                    line[pixel] = line[pixel].max(alpha);
                },
            );
        }
        for (pixel, alpha) in line.into_iter().enumerate().filter(|(_, alpha)| *alpha > 0.0) {
            self.blend(pixel, color, alpha);
        }
    }

    /// A filled disc.
    pub(crate) fn disc(&mut self, center: PixelPoint, radius: f64, color: Rgb) {
        self.fill(center, radius + 1.0, color, |p| radius - distance(p, center));
    }

    /// A filled rectangle.
    pub(crate) fn bar(&mut self, area: PixelBox, color: Rgb) {
        let center = PixelPoint::new((area.left + area.right) / 2.0, (area.top + area.bottom) / 2.0);
        let reach = (area.right - area.left).max(area.bottom - area.top) / 2.0 + 1.0;
        self.fill(center, reach, color, |p| depth_in(area, p));
    }

    /// The outline of a rectangle, `width` pixels wide, centred on its edge.
    pub(crate) fn outline(&mut self, area: PixelBox, width: f64, color: Rgb) {
        let (near, far) = (-width / 2.0, width / 2.0);
        let PixelBox { left, top, right, bottom } = area;
        let sides = [
            PixelBox { left: left + near, top: top + near, right: right + far, bottom: top + far },
            PixelBox { left: left + near, top: bottom + near, right: right + far, bottom: bottom + far },
            PixelBox { left: left + near, top: top + far, right: left + far, bottom: bottom + near },
            PixelBox { left: right + near, top: top + far, right: right + far, bottom: bottom + near },
        ];
        for side in sides {
            self.bar(side, color);
        }
    }

    /// Colour the pixels within `reach` of `center`; `depth` says how far inside the figure a point lies, in pixels.
    fn fill(&mut self, center: PixelPoint, reach: f64, color: Rgb, depth: impl Fn(PixelPoint) -> f64) {
        let mut covered = Vec::new();
        self.cover(center, reach, depth, |pixel, alpha| covered.push((pixel, alpha)));
        for (pixel, alpha) in covered {
            self.blend(pixel, color, alpha);
        }
    }

    /// How much of each pixel near `center` a figure covers: its depth at the pixel's centre, half a pixel either side.
    fn cover(
        &self,
        center: PixelPoint,
        reach: f64,
        depth: impl Fn(PixelPoint) -> f64,
        mut covered: impl FnMut(usize, f64),
    ) {
        let span = |center: f64, size: usize| {
            let (first, last) = ((center - reach).floor(), (center + reach).ceil());
            (first.clamp(0.0, size as f64) as usize)..(last.clamp(0.0, size as f64) as usize)
        };
        for row in span(center.row, self.shape.height) {
            for column in span(center.column, self.shape.width) {
                let alpha = (depth(PixelPoint::new(column as f64 + 0.5, row as f64 + 0.5)) + 0.5).clamp(0.0, 1.0);
                if alpha > 0.0 {
                    covered(row * self.shape.width + column, alpha);
                }
            }
        }
    }

    fn blend(&mut self, pixel: usize, color: Rgb, alpha: f64) {
        for (byte, target) in self.rgb[3 * pixel..3 * pixel + 3].iter_mut().zip(color) {
            *byte = (f64::from(*byte) * (1.0 - alpha) + f64::from(target) * alpha).round() as u8;
        }
    }
}

fn reduced_shape(full: Shape, factor: usize) -> Shape {
    Shape::new(full.height.div_ceil(factor), full.width.div_ceil(factor))
}

/// Indices of the full-size pixels under pixel (`row`, `column`) of the reduced picture.
fn block(full: Shape, factor: usize, row: usize, column: usize) -> impl Iterator<Item = usize> {
    let rows = row * factor..((row + 1) * factor).min(full.height);
    let columns = column * factor..((column + 1) * factor).min(full.width);
    rows.flat_map(move |row| columns.clone().map(move |column| row * full.width + column))
}

fn distance(a: PixelPoint, b: PixelPoint) -> f64 {
    (a.column - b.column).hypot(a.row - b.row)
}

/// How far inside the rectangle a point lies; negative outside.
fn depth_in(area: PixelBox, p: PixelPoint) -> f64 {
    let horizontal = (p.column - area.left).min(area.right - p.column);
    let vertical = (p.row - area.top).min(area.bottom - p.row);
    horizontal.min(vertical)
}
