//! The land, divided: districts between roads, parcels between paths and hedges, and what each parcel is used for.

use super::canvas::{Bounds, NOBODY, Owner};
use super::cover::{Cover, Material, Rows};
use super::noise::Patch;
use super::object::ObjectKind;
use super::polygon::Convex;
use super::random::Random;
use super::{Landscape, Painter};
use geosam::Shape;

/// What a parcel is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Crop,
    Meadow,
    Orchard,
    Wood,
    Yard,
    Industry,
    Greenhouses,
    Solar,
}

impl Landscape {
    fn uses(self) -> &'static [(Use, f32)] {
        match self {
            Self::Farmland | Self::Lakes | Self::Coast => {
                &[(Use::Crop, 0.74), (Use::Meadow, 0.12), (Use::Wood, 0.06), (Use::Orchard, 0.03), (Use::Yard, 0.05)]
            }
            Self::Orchards => &[(Use::Orchard, 0.65), (Use::Crop, 0.2), (Use::Meadow, 0.1), (Use::Yard, 0.05)],
            Self::Woodland => &[(Use::Wood, 0.6), (Use::Meadow, 0.17), (Use::Crop, 0.18), (Use::Yard, 0.05)],
            Self::Town => &[(Use::Yard, 0.74), (Use::Industry, 0.1), (Use::Meadow, 0.1), (Use::Wood, 0.06)],
            Self::Greenhouses => &[(Use::Greenhouses, 0.6), (Use::Crop, 0.25), (Use::Industry, 0.15)],
            Self::Solar => &[(Use::Solar, 0.45), (Use::Meadow, 0.2), (Use::Crop, 0.2), (Use::Industry, 0.15)],
        }
    }

    /// Least and greatest side of parcels in metres.
    fn parcel_sides(self) -> [f32; 2] {
        match self {
            Self::Farmland | Self::Lakes | Self::Coast => [60.0, 700.0],
            Self::Orchards | Self::Greenhouses | Self::Solar => [50.0, 300.0],
            Self::Woodland => [80.0, 900.0],
            Self::Town => [18.0, 50.0],
        }
    }
}

/// The ground of a parcel: its polygon, bent as the land is, less the roads and paths around it.
pub(crate) struct Parcel {
    pub(crate) polygon: Convex,
    district: Convex,
    /// Distance of the ground from the polygon's sides, and from the district's.
    insets: [f32; 2],
    /// Main direction of rows and buildings.
    pub(crate) direction: [f32; 2],
    pub(crate) owner: Owner,
}

impl Parcel {
    fn inside(&self, x: f32, y: f32) -> f32 {
        let inside = self.polygon.near(x, y) - self.insets[0];
        if inside < -1.0 { inside } else { inside.min(self.district.near(x, y) - self.insets[1]) }
    }
}

/// The bend of the land: straight parcels become curved ones.
#[derive(Debug)]
pub(crate) struct Bend {
    /// In pixels.
    strength: f32,
    /// The point of the straight land that lies at each pixel; empty where nothing bends.
    straight: Vec<[f32; 2]>,
    width: usize,
}

impl Bend {
    pub(crate) fn new(shape: Shape, random: &mut Random) -> Self {
        let size = random.range(150.0, 400.0);
        let strength = random.range(4.0, 0.14 * size);
        let patches = [Patch::new(random, size), Patch::new(random, size)];
        if random.chance(0.45) {
            return Self { strength: 0.0, straight: Vec::new(), width: shape.width };
        }
        let bend = |i: usize| {
            let (x, y) = ((i % shape.width) as f32 + 0.5, (i / shape.width) as f32 + 0.5);
            [x + strength * patches[0].smooth(x, y), y + strength * patches[1].smooth(x, y)]
        };
        Self { strength, straight: (0..shape.area()).map(bend).collect(), width: shape.width }
    }

    /// The point of the straight land that lies at the pixel of a point.
    fn straight(&self, x: f32, y: f32) -> [f32; 2] {
        self.straight.get(y as usize * self.width + x as usize).copied().unwrap_or([x, y])
    }

    /// How far inside the bent `polygon` a point lies.
    fn inside(&self, polygon: &Convex, x: f32, y: f32) -> f32 {
        let [x, y] = self.straight(x, y);
        polygon.near(x, y)
    }

    /// A box that holds what `bounds` becomes.
    fn bounds(&self, bounds: Bounds) -> Bounds {
        bounds.grown(1.0 + 2.0 * self.strength)
    }
}

/// Parts of `polygon` with sides between `sides` pixels, cut along and across `direction`.
fn divide(polygon: Convex, direction: [f32; 2], sides: [f32; 2], jitter: f32, random: &mut Random) -> Vec<Convex> {
    let normal = [-direction[1], direction[0]];
    let (mut open, mut parts) = (vec![polygon], Vec::new());
    while let Some(polygon) = open.pop() {
        let (along, across) = (polygon.extent(direction), polygon.extent(normal));
        let (length, breadth) = (along[1] - along[0], across[1] - across[0]);
        let target = random.log_range(sides[0], sides[1]);
        if length.max(breadth) < 1.6 * target || length.max(breadth) < 2.0 * sides[0] {
            parts.push(polygon);
            continue;
        }
        // Cut across the longer side, now and then along it.
        let across_it = (length > breadth) != (random.chance(0.15) && length.min(breadth) > 2.0 * sides[0]);
        let turn = jitter * random.signed();
        let base = if across_it { normal } else { direction };
        let cut = [base[0] - turn * base[1], base[1] + turn * base[0]];
        let share = random.range(0.3, 0.7);
        let (u, v) = if across_it {
            (along[0] + share * length, (across[0] + across[1]) / 2.0)
        } else {
            ((along[0] + along[1]) / 2.0, across[0] + share * breadth)
        };
        let point = [u * direction[0] + v * normal[0], u * direction[1] + v * normal[1]];
        for part in polygon.split(point, cut) {
            if part.len() > 2 {
                open.push(Convex::new(part));
            }
        }
    }
    parts
}

impl Painter {
    /// Divide the whole scene and lay its ground; what stands on it is noted for later.
    pub(crate) fn lay_land(&mut self) {
        let shape = self.canvas.shape;
        let (width, height) = (shape.width as f32, shape.height as f32);
        let north = self.random.chance(0.4);
        let direction = if north { [1.0, 0.0] } else { self.random.direction() };
        let jitter = if north { 0.02 } else { self.random.range(0.0, 0.35) };
        let whole = Convex::rectangle([width / 2.0, height / 2.0], [0.75 * (width + height); 2], direction);

        let road = if self.random.chance(0.75) { self.random.range(3.0, 9.0) / self.gsd / 2.0 } else { 0.0 };
        let road = road.clamp(if road > 0.0 { 0.7 } else { 0.0 }, 22.0);
        let verge = self.random.range(0.5, 3.5) / self.gsd;
        let verge = verge.clamp(0.6, 8.0);
        let surface = self.random.pick(&[Material::Asphalt, Material::Gravel, Material::Concrete, Material::Soil]);
        let surface = Cover::new(surface, self.gsd, &mut self.random);
        let roads = if road > 1.5 { self.canvas.register(ObjectKind::Road, NOBODY) } else { NOBODY };

        for district in divide(whole, direction, [240.0, 620.0], jitter, &mut self.random) {
            if !self.bend.bounds(district.bounds()).touches(shape) {
                continue;
            }
            let landscape =
                if self.random.chance(0.7) { self.landscape } else { self.landscape.neighbour(&mut self.random) };
            let between = self.random.pick(&[
                Material::Meadow,
                Material::DryGrass,
                Material::Gravel,
                Material::Forest,
                Material::Scrub,
                Material::Soil,
            ]);
            let between = Cover::new(between, self.gsd, &mut self.random);
            // Most of it is covered by parcels, so it is painted plainly.
            let bend = &self.bend;
            let bounds = bend.bounds(district.bounds());
            self.canvas.fill(bounds, NOBODY, |x, y| bend.inside(&district, x, y), |x, y, _| between.plain(x, y));
            if road > 0.0 {
                let strip = |x: f32, y: f32| {
                    let inside = bend.inside(&district, x, y);
                    if inside < -1.0 { inside } else { (road - inside).min(inside + 1.0) }
                };
                self.canvas.fill(bounds, roads, strip, |x, y, _| surface.at(x, y));
            }
            self.lay_district(&district, landscape, direction, jitter, road + verge);
        }
    }

    fn lay_district(&mut self, district: &Convex, landscape: Landscape, direction: [f32; 2], jitter: f32, inset: f32) {
        let sides = landscape.parcel_sides().map(|side| side / self.gsd);
        let sides = [sides[0].clamp(24.0, 130.0), sides[1].clamp(80.0, 380.0)];
        let path = (self.random.range(0.3, 3.0) / self.gsd).clamp(0.7, 4.0);
        for polygon in divide(district.clone(), direction, sides, 2.0 * jitter, &mut self.random) {
            if !self.bend.bounds(polygon.bounds()).touches(self.canvas.shape) {
                continue;
            }
            let (along, across) = (polygon.extent(direction), polygon.extent([-direction[1], direction[0]]));
            let lengthwise = (along[1] - along[0] > across[1] - across[0]) != self.random.chance(0.2);
            let rows = if lengthwise { direction } else { [-direction[1], direction[0]] };
            let turn = 0.08 * self.random.signed();
            let length = (1.0 + turn * turn).sqrt();
            let rows = [(rows[0] - turn * rows[1]) / length, (rows[1] + turn * rows[0]) / length];
            let parcel =
                Parcel { polygon, district: district.clone(), insets: [path, inset], direction: rows, owner: NOBODY };
            let used = self.random.weighted(landscape.uses());
            self.lay_parcel(parcel, used);
        }
    }

    fn lay_parcel(&mut self, mut parcel: Parcel, used: Use) {
        let (gsd, dry) = (self.gsd, self.dryness);
        let random = &mut self.random;
        let (kind, material) = match used {
            Use::Crop => {
                let crops = [
                    (Material::Wheat, 0.1 + 0.5 * dry),
                    (Material::Cereal, 0.7 - 0.5 * dry),
                    (Material::Maize, 0.45),
                    (Material::Rapeseed, 0.12 * (1.0 - dry)),
                    (Material::Soil, 0.3),
                    (Material::DarkSoil, 0.15),
                    (Material::Stubble, 0.1 + 0.3 * dry),
                    (Material::DryGrass, 0.2 * dry),
                ];
                (ObjectKind::Field, random.weighted(&crops))
            }
            Use::Meadow => {
                let dry = random.chance(dry);
                (ObjectKind::Meadow, if dry { Material::DryGrass } else { Material::Meadow })
            }
            Use::Orchard => (
                ObjectKind::Orchard,
                random.pick(&[Material::Meadow, Material::Soil, Material::DryGrass, Material::Stubble]),
            ),
            Use::Wood => (ObjectKind::Wood, random.pick(&[Material::Forest, Material::Forest, Material::Conifer])),
            Use::Yard | Use::Industry if gsd > 2.5 => (ObjectKind::Yard, Material::Town),
            Use::Yard => {
                (ObjectKind::Yard, random.pick(&[Material::Lawn, Material::Lawn, Material::Meadow, Material::Gravel]))
            }
            Use::Industry => {
                (ObjectKind::Yard, random.pick(&[Material::Concrete, Material::Asphalt, Material::Gravel]))
            }
            Use::Greenhouses if gsd > 2.5 => (ObjectKind::GreenhouseBlock, Material::Film),
            Use::Greenhouses => {
                (ObjectKind::GreenhouseBlock, random.pick(&[Material::Gravel, Material::Soil, Material::Meadow]))
            }
            Use::Solar if gsd > 2.5 => (ObjectKind::SolarFarm, Material::Panel),
            Use::Solar => {
                (ObjectKind::SolarFarm, random.pick(&[Material::Meadow, Material::DryGrass, Material::Gravel]))
            }
        };
        parcel.owner = self.canvas.register(kind, NOBODY);
        let mut cover = Cover::new(material, gsd, random);
        match used {
            Use::Crop => cover = cover.with_rows(crop_rows(parcel.direction, gsd, random)),
            Use::Meadow if random.chance(0.3) => cover = cover.with_rows(crop_rows(parcel.direction, gsd, random)),
            Use::Wood => {
                let crowns = random.range(4.0, 9.0) / gsd;
                cover = cover.with_fine(crowns, random);
            }
            _ => (),
        }
        let bend = &self.bend;
        self.canvas.fill(
            bend.bounds(parcel.polygon.bounds()),
            parcel.owner,
            |x, y| {
                let [x, y] = bend.straight(x, y);
                parcel.inside(x, y)
            },
            // Rows follow the bend.
            |x, y, _| {
                let straight = bend.straight(x, y);
                cover.at_rows(x, y, straight)
            },
        );
        match used {
            Use::Orchard => self.plant_orchard(&parcel),
            Use::Wood => self.grow_wood(&parcel, &cover),
            Use::Yard if gsd <= 2.5 => self.build_house(&parcel),
            Use::Industry if gsd <= 2.5 => self.build_halls(&parcel),
            Use::Greenhouses if gsd <= 2.5 => self.build_greenhouses(&parcel),
            Use::Solar if gsd <= 2.5 => self.build_panels(&parcel),
            Use::Meadow => self.scatter_trees(&parcel, 0.5),
            Use::Crop => self.scatter_trees(&parcel, 0.06),
            _ => (),
        }
    }
}

/// Rows of plants, and the wider tracks and swaths of machines.
fn crop_rows(direction: [f32; 2], gsd: f32, random: &mut Random) -> [Option<Rows>; 2] {
    let plants = Rows::new(direction, random.range(0.7, 3.0) / gsd, random.range(0.03, 0.22), false);
    let machines = if random.chance(0.5) {
        Rows::new(direction, random.range(12.0, 36.0) / gsd, random.range(-0.25, 0.2), true)
    } else {
        Rows::new(direction, random.range(5.0, 30.0) / gsd, random.range(0.01, 0.1), false)
    };
    [Some(plants), random.chance(0.7).then_some(machines)]
}
