//! A landscape drawn from a seed: fields with crop rows, a river, a pond, and buildings with shadows, as a 16-bit
//! raster of four bands (red, green, blue, near infrared) in a UTM zone.

use geosam::{Affine, Crs, GeoGrid, ImageEncoderConfig, Pixels, Result, SamConfig, Shape, VitConfig, WorldPoint};

/// A SAM small enough to run anywhere in a moment: chips of 512 pixels, a ViT of width 192 and four blocks. Nobody has
/// trained it; the examples give it seeded random weights, so that they need no download.
pub(crate) fn small_sam() -> SamConfig {
    let vit = VitConfig {
        image_size: 512,
        width: 192,
        depth: 4,
        heads: 3,
        global_attention: vec![1, 3],
        ..VitConfig::vit_b()
    };
    SamConfig { image_encoder: ImageEncoderConfig::Vit(vit) }
}

/// The drawn landscape.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Where it lies: UTM zone 33 north, half-metre pixels.
    pub(crate) grid: GeoGrid,
    /// Reflectance × 10 000, `[4, height, width]`; 0 is nodata.
    pub(crate) pixels: Pixels,
}

/// What a pixel shows; the index of its reflectances below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cover {
    Wheat,
    Maize,
    Meadow,
    Soil,
    Water,
    Roof,
    Shadow,
    Road,
}

impl Cover {
    /// Mean reflectance × 10 000 in red, green, blue and near infrared.
    fn reflectance(self) -> [f64; 4] {
        match self {
            Self::Wheat => [1450.0, 1300.0, 700.0, 3100.0],
            Self::Maize => [450.0, 800.0, 380.0, 4200.0],
            Self::Meadow => [620.0, 1050.0, 480.0, 3600.0],
            Self::Soil => [1900.0, 1500.0, 1100.0, 2300.0],
            Self::Water => [220.0, 420.0, 560.0, 120.0],
            Self::Roof => [2700.0, 1500.0, 1250.0, 2600.0],
            Self::Shadow => [190.0, 230.0, 260.0, 500.0],
            Self::Road => [1300.0, 1280.0, 1250.0, 1500.0],
        }
    }
}

const FIELD_COVERS: [Cover; 4] = [Cover::Wheat, Cover::Maize, Cover::Meadow, Cover::Soil];
const FIELD_SIZE: f64 = 150.0;
const ROAD_WIDTH: f64 = 9.0;

/// A building: centre, half sides and direction, in pixels.
struct Building {
    center: [f64; 2],
    half: [f64; 2],
    direction: f64,
}

impl Building {
    fn covers(&self, x: f64, y: f64) -> bool {
        let (sin, cos) = self.direction.sin_cos();
        let (dx, dy) = (x - self.center[0], y - self.center[1]);
        (dx * cos + dy * sin).abs() <= self.half[0] && (dy * cos - dx * sin).abs() <= self.half[1]
    }
}

impl Scene {
    /// Number of bands.
    pub(crate) const BANDS: usize = 4;

    /// The pond's centre as fractions of the width and the height.
    const POND: [f64; 2] = [0.68, 0.3];

    /// The pond's centre on the map: a good place for a first click.
    pub(crate) fn pond(&self) -> WorldPoint {
        let bounds = self.grid.bounds();
        WorldPoint::new(bounds.left + Self::POND[0] * bounds.width(), bounds.top - Self::POND[1] * bounds.height())
    }

    /// Draw a landscape of `shape` pixels.
    pub(crate) fn draw(shape: Shape, seed: u64) -> Result<Self> {
        let mut random = Random(seed);
        let buildings: Vec<Building> = (0..shape.area() / 30_000 + 3)
            .map(|_| Building {
                center: [random.next() * shape.width as f64, random.next() * shape.height as f64],
                half: [8.0 + 14.0 * random.next(), 6.0 + 8.0 * random.next()],
                direction: random.next() * std::f64::consts::PI,
            })
            .collect();

        let area = shape.area();
        let mut values = vec![0u16; 4 * area];
        for row in 0..shape.height {
            for column in 0..shape.width {
                let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
                let cover = cover_at(x, y, shape, &buildings);
                // Crop rows show as a fine stripe along each field's own direction.
                let field = ((x / FIELD_SIZE).floor() * 7.0 + (y / FIELD_SIZE).floor() * 13.0).rem_euclid(6.0);
                let rows = match cover {
                    Cover::Wheat | Cover::Maize => 1.0 + 0.12 * ((x * field.cos() + y * field.sin()) * 1.3).sin(),
                    _ => 1.0,
                };
                for (band, mean) in cover.reflectance().into_iter().enumerate() {
                    let noise = 1.0 + 0.08 * (random.next() - 0.5);
                    values[band * area + row * shape.width + column] =
                        (mean * rows * noise).clamp(1.0, 10_000.0) as u16;
                }
            }
        }
        Ok(Self {
            grid: GeoGrid::new(Affine::from_origin(412_000.0, 5_318_000.0, 0.5, 0.5), shape, Crs::new("EPSG:32633"))?,
            pixels: Pixels::U16(values),
        })
    }
}

fn cover_at(x: f64, y: f64, shape: Shape, buildings: &[Building]) -> Cover {
    let (width, height) = (shape.width as f64, shape.height as f64);
    let pond = ((x / width - Scene::POND[0]) / 0.11).hypot((y / height - Scene::POND[1]) / 0.08);
    let river = (x - width * (0.25 + 0.06 * (y / height * 7.0).sin())).abs();
    if pond < 1.0 || river < width * 0.022 {
        return Cover::Water;
    }
    if buildings.iter().any(|b| b.covers(x, y)) {
        return Cover::Roof;
    }
    // The sun stands in the north-west, as mapmakers like it.
    if buildings.iter().any(|b| b.covers(x - 5.0, y - 5.0)) {
        return Cover::Shadow;
    }
    let (column, row) = ((x / FIELD_SIZE).floor(), (y / FIELD_SIZE).floor());
    if x - column * FIELD_SIZE < ROAD_WIDTH && column % 3.0 == 0.0 {
        return Cover::Road;
    }
    FIELD_COVERS[(column * 5.0 + row * 3.0 + (column * row) % 4.0) as usize % FIELD_COVERS.len()]
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    /// The next number, 0 ≤ n < 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
