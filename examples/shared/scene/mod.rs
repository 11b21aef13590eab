//! Landscapes drawn from a seed, as a 16-bit raster of four bands (red, green, blue, near infrared), together with the
//! exact mask of everything in them.
//!
//! Ground, water, roads, shadows, roofs, crowns and clouds are painted in this order, so that each pixel knows what is
//! seen in it; a sensor then adds haze, blur and noise. The same seed gives the same bytes on every machine.

// Each program that includes this module needs another part of it.
#![allow(dead_code)]

mod buildings;
mod canvas;
mod clouds;
mod cover;
mod noise;
mod object;
mod parcels;
mod picture;
mod polygon;
mod random;
mod roads;
mod sensor;
mod trees;
mod water;

use geosam::{Affine, BoundingBox, Crs, GeoGrid, PixelPoint, Pixels, Result, Shape, WorldPoint};

#[allow(unused_imports)]
pub(crate) use object::{Object, ObjectKind};
#[allow(unused_imports)]
pub(crate) use picture::{BandOrder, PictureStyle, Stretch};

use buildings::Building;
use canvas::Canvas;
use parcels::Bend;
use random::Random;
use sensor::Sensor;
use trees::Crown;

/// Pixels between an object that is shown whole and the edge of the scene.
const MARGIN: i64 = 4;

/// What most of a scene shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landscape {
    Farmland,
    Orchards,
    Woodland,
    Town,
    Greenhouses,
    Solar,
    /// Farmland with many lakes and ponds.
    Lakes,
    /// Farmland by the sea.
    Coast,
}

impl Landscape {
    /// What lies beside it now and then.
    fn neighbour(self, random: &mut Random) -> Self {
        let beside = match self {
            Self::Greenhouses | Self::Solar => [Self::Farmland, Self::Town, self],
            Self::Town => [Self::Farmland, Self::Woodland, Self::Orchards],
            _ => [Self::Farmland, Self::Woodland, self],
        };
        random.pick(&beside)
    }
}

/// What to draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SceneConfig {
    /// Height and width in pixels.
    pub(crate) shape: Shape,
    /// Everything that is not given follows from it.
    pub(crate) seed: u64,
    /// Metres a pixel; by default between 0.1 and 10.
    pub(crate) gsd: Option<f32>,
    /// By default one that pixels of this size show.
    pub(crate) landscape: Option<Landscape>,
}

impl SceneConfig {
    /// Everything from the seed.
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        Self { shape, seed, gsd: None, landscape: None }
    }
}

/// A drawn landscape.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Where it lies: UTM zone 33 north.
    pub(crate) grid: GeoGrid,
    /// Reflectance × 10 000, `[4, height, width]`: red, green, blue, near infrared. 0 is nodata and never occurs.
    pub(crate) pixels: Pixels,
    /// Everything that is seen, each with its mask; crowns lie within orchards, greenhouses and panels within blocks.
    pub(crate) objects: Vec<Object>,
}

impl Scene {
    /// Number of bands.
    pub(crate) const BANDS: usize = 4;

    /// Draw a landscape of `shape` pixels; its scale and kind follow from the seed.
    pub(crate) fn draw(shape: Shape, seed: u64) -> Result<Self> {
        Self::draw_with(&SceneConfig::new(shape, seed))
    }

    /// Draw fields and ponds of `shape` pixels, a metre each: what the examples show.
    pub(crate) fn lakeland(shape: Shape, seed: u64) -> Result<Self> {
        let landscape = Some(Landscape::Lakes);
        Self::draw_with(&SceneConfig { gsd: Some(1.0), landscape, ..SceneConfig::new(shape, seed) })
    }

    /// Draw a landscape.
    pub(crate) fn draw_with(config: &SceneConfig) -> Result<Self> {
        let mut random = Random::new(config.seed);
        let gsd = config.gsd.unwrap_or_else(|| random.clone().log_range(0.1, 10.0));
        let size = f64::from(gsd);
        let grid = GeoGrid::new(
            Affine::from_origin(412_000.0, 5_318_000.0, size, size),
            config.shape,
            Crs::new("EPSG:32633"),
        )?;
        random.bits();
        let landscape = config.landscape.unwrap_or_else(|| Landscape::at(gsd, &mut random.clone()));
        random.bits();
        let sensor = Sensor::new(&mut random);
        let mut painter = Painter::new(config.shape, gsd, landscape, random);
        painter.paint();
        let objects = object::objects(&painter.canvas);
        let pixels = Pixels::U16(sensor.record(painter.canvas.pixels, config.shape));
        Ok(Self { grid, pixels, objects })
    }

    /// Whether half a chip of `geosam_nano` has room for an object, and the scene shows all of it.
    pub(crate) fn fits(&self, object: &Object) -> bool {
        let (window, scene) = (object.window, self.grid.shape);
        let is_small = window.shape.height.max(window.shape.width) <= 128;
        let starts_inside = window.column >= MARGIN && window.row >= MARGIN;
        let ends_inside = window.column_end() + MARGIN <= scene.width as i64;
        is_small && starts_inside && ends_inside && window.row_end() + MARGIN <= scene.height as i64
    }

    /// The largest object of the wanted kinds that [fits](Self::fits).
    pub(crate) fn largest(&self, wanted: impl Fn(ObjectKind) -> bool) -> Option<&Object> {
        self.objects.iter().filter(|o| wanted(o.kind) && self.fits(o)).max_by_key(|o| o.area)
    }

    /// The largest pond: there is one in every [`lakeland`](Self::lakeland).
    pub(crate) fn pond(&self) -> &Object {
        self.largest(ObjectKind::is_water).expect("a scene with water")
    }

    /// The object beside another: of those that do not overlap it the one whose middle is nearest.
    pub(crate) fn neighbour(&self, object: &Object) -> Option<&Object> {
        let (column, row) = object.innermost();
        let distance = |other: &&Object| {
            let (c, r) = other.innermost();
            c.abs_diff(column).pow(2) + r.abs_diff(row).pow(2)
        };
        let apart = |other: &&Object| {
            let (c, r) = other.innermost();
            !other.holds(column as i64, row as i64) && !object.holds(c as i64, r as i64)
        };
        self.objects.iter().filter(apart).min_by_key(distance)
    }

    /// Where a user clicks on an object: the middle of its thickest part, on the map.
    pub(crate) fn middle(&self, object: &Object) -> WorldPoint {
        let (column, row) = object.innermost();
        self.grid.to_world(PixelPoint::new(column as f64 + 0.5, row as f64 + 0.5))
    }

    /// What a user draws around an object: its bounding box on the map.
    pub(crate) fn bbox(&self, object: &Object) -> BoundingBox {
        self.grid.shifted(object.window).bounds()
    }
}

impl Landscape {
    /// One that pixels of `gsd` metres show.
    fn at(gsd: f32, random: &mut Random) -> Self {
        let fine = if gsd < 2.5 { 1.0 } else { 0.15 };
        random.weighted(&[
            (Self::Farmland, 0.3),
            (Self::Orchards, 0.14 * fine),
            (Self::Woodland, 0.1),
            (Self::Town, 0.22 * fine),
            (Self::Greenhouses, 0.07 * fine),
            (Self::Solar, 0.05 * fine),
            (Self::Lakes, 0.2),
            (Self::Coast, 0.1),
        ])
    }
}

/// A scene in the making.
#[derive(Debug)]
struct Painter {
    canvas: Canvas,
    random: Random,
    landscape: Landscape,
    /// Metres a pixel.
    gsd: f32,
    /// Where the shadow of something one metre high ends, in pixels from it.
    shadow: [f32; 2],
    /// 0: everything is green, 1: ripe and dry.
    dryness: f32,
    bend: Bend,
    buildings: Vec<Building>,
    crowns: Vec<Crown>,
}

impl Painter {
    fn new(shape: Shape, gsd: f32, landscape: Landscape, mut random: Random) -> Self {
        let length = random.range(0.3, 1.8) / gsd;
        let shadow = random.direction().map(|d| d * length);
        let dryness = random.unit();
        let bend = Bend::new(shape, &mut random);
        Self {
            canvas: Canvas::new(shape),
            random,
            landscape,
            gsd,
            shadow,
            dryness,
            bend,
            buildings: Vec::new(),
            crowns: Vec::new(),
        }
    }

    fn paint(&mut self) {
        // Counts are for a scene of 512 × 512 pixels.
        let scenes = (self.canvas.shape.area() as f32 / (512.0 * 512.0)).max(0.3);
        self.lay_land();
        let lakes = match self.landscape {
            Landscape::Lakes => self.random.range(4.0, 16.0),
            Landscape::Town | Landscape::Greenhouses | Landscape::Solar => self.random.range(0.0, 1.5),
            _ if self.gsd < 0.5 => self.random.range(0.0, 1.5),
            _ => self.random.range(0.0, 4.0),
        };
        if self.random.chance(0.22) {
            self.flow_river();
        }
        self.flood_lakes((lakes * scenes).ceil() as usize);
        for _ in 0..(self.random.range(0.0, 2.2) * scenes.sqrt()) as usize {
            self.cross_road();
        }
        if self.landscape == Landscape::Coast {
            self.flood_coast();
        }
        self.clear_sites();
        self.shade_buildings();
        self.shade_crowns();
        self.canvas.cast_shadows();
        self.paint_buildings();
        self.paint_crowns();
        if self.gsd > 0.7 && self.random.chance(0.3) {
            let clouds = self.random.log_range(1.0, 14.0) * scenes;
            self.cover_with_clouds(clouds as usize);
        }
    }
}
