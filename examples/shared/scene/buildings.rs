//! What people build on a parcel: houses, halls, greenhouses, solar panels, pools, vehicles.

use super::Painter;
use super::canvas::{NOBODY, Owner};
use super::cover::{Cover, Material};
use super::object::ObjectKind;
use super::parcels::Parcel;
use super::polygon::Convex;

/// How a roof is lit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Roof {
    Flat,
    /// Two faces along the ridge.
    Gable,
    /// Four faces.
    Hip,
    /// Many narrow vaults along the building.
    Vaults,
}

/// What to build, and where.
#[derive(Debug)]
struct Plan {
    kind: ObjectKind,
    center: [f32; 2],
    /// Half length and half width in pixels.
    half: [f32; 2],
    /// In metres.
    height: f32,
    roof: Roof,
    cover: Cover,
}

/// Something with a rectangular outline that stands on a parcel.
#[derive(Debug)]
pub(crate) struct Building {
    plan: Plan,
    parent: Owner,
    ground: Owner,
    outline: Convex,
    direction: [f32; 2],
}

impl Painter {
    /// Note a building if all of its corners lie on `parcel`, or off the scene.
    fn build(&mut self, parcel: &Parcel, plan: Plan) {
        let (ground, direction) = (parcel.owner, parcel.direction);
        let outline = Convex::rectangle(plan.center, plan.half, direction);
        let clear = |p: &[f32; 2]| self.canvas.owner_at(*p).is_none_or(|owner| owner == ground);
        if outline.corners.iter().all(clear) && plan.half[1] >= 1.0 && outline.bounds().touches(self.canvas.shape) {
            let is_of_block = matches!(plan.kind, ObjectKind::Greenhouse | ObjectKind::SolarRow);
            let parent = if is_of_block { ground } else { NOBODY };
            self.buildings.push(Building { plan, parent, ground, outline, direction });
        }
    }

    /// Half sides of the largest rectangle along the parcel's direction that surely fits.
    fn room(&self, parcel: &Parcel) -> ([f32; 2], [f32; 2]) {
        let [u, v] = [parcel.direction, [-parcel.direction[1], parcel.direction[0]]];
        let (along, across) = (parcel.polygon.extent(u), parcel.polygon.extent(v));
        (parcel.polygon.center(), [0.5 * (along[1] - along[0]), 0.5 * (across[1] - across[0])])
    }

    /// A house in its garden, with a shed, a pool, cars and trees now and then.
    pub(crate) fn build_house(&mut self, parcel: &Parcel) {
        let (center, room) = self.room(parcel);
        let gsd = self.gsd;
        let half = [self.random.range(4.5, 9.0) / gsd, self.random.range(3.0, 5.5) / gsd];
        let half = [half[0].min(0.62 * room[0]), half[1].min(0.62 * room[1])];
        let [u, v] = [parcel.direction, [-parcel.direction[1], parcel.direction[0]]];
        let at = |a: f32, b: f32| [center[0] + a * u[0] + b * v[0], center[1] + a * u[1] + b * v[1]];
        let side = if self.random.chance(0.5) { 1.0 } else { -1.0 };
        let (a, b) = (0.2 * room[0] * self.random.signed(), side * 0.28 * room[1]);
        let material = self.random.weighted(&[
            (Material::TileRoof, 0.45),
            (Material::DarkRoof, 0.3),
            (Material::MetalRoof, 0.12),
            (Material::Concrete, 0.08),
            (Material::BlueRoof, 0.05),
        ]);
        let cover = Cover::new(material, gsd, &mut self.random);
        let roof = self.random.pick(&[Roof::Gable, Roof::Gable, Roof::Hip, Roof::Flat]);
        let height = self.random.range(4.0, 10.0);
        self.build(parcel, Plan { kind: ObjectKind::Roof, center: at(a, b), half, height, roof, cover });
        if self.random.chance(0.45) {
            let shed = [self.random.range(1.5, 3.5) / gsd, self.random.range(1.2, 3.0) / gsd];
            let cover = Cover::new(
                self.random.pick(&[Material::MetalRoof, Material::DarkRoof, Material::TileRoof]),
                gsd,
                &mut self.random,
            );
            let place = at(0.65 * room[0] * self.random.signed(), -side * 0.6 * room[1]);
            let (kind, roof) = (ObjectKind::Roof, Roof::Flat);
            self.build(parcel, Plan { kind, center: place, half: shed, height: 2.5, roof, cover });
        }
        if self.random.chance(0.15) {
            let pool = [self.random.range(3.0, 5.5) / gsd, self.random.range(1.8, 2.8) / gsd];
            let cover = Cover::new(Material::Pool, gsd, &mut self.random);
            let place = at(0.4 * room[0] * self.random.signed(), -side * 0.25 * room[1]);
            let (kind, roof) = (ObjectKind::Pool, Roof::Flat);
            self.build(parcel, Plan { kind, center: place, half: pool, height: 0.0, roof, cover });
        }
        self.park_vehicles(parcel, 1);
        let density = self.random.range(0.0, 40.0);
        self.scatter_trees(parcel, density);
    }

    /// Halls with flat or vaulted roofs on paved ground.
    pub(crate) fn build_halls(&mut self, parcel: &Parcel) {
        let (center, room) = self.room(parcel);
        let half = [self.random.range(0.3, 0.75) * room[0], self.random.range(0.3, 0.7) * room[1]];
        let half = [half[0].min(70.0 / self.gsd), half[1].min(35.0 / self.gsd)];
        let material = self.random.pick(&[
            Material::MetalRoof,
            Material::Concrete,
            Material::DarkRoof,
            Material::BlueRoof,
            Material::TileRoof,
        ]);
        let cover = Cover::new(material, self.gsd, &mut self.random);
        let roof = self.random.pick(&[Roof::Flat, Roof::Gable, Roof::Vaults]);
        let height = self.random.range(5.0, 14.0);
        self.build(parcel, Plan { kind: ObjectKind::Roof, center, half, height, roof, cover });
        self.park_vehicles(parcel, 10);
        self.scatter_trees(parcel, 4.0);
    }

    /// Vehicles, where pixels are small enough to show them.
    fn park_vehicles(&mut self, parcel: &Parcel, most: usize) {
        if self.gsd > 0.4 {
            return;
        }
        let bounds = parcel.polygon.bounds();
        for _ in 0..self.random.below(most + 1) {
            let center = [self.random.range(bounds.left, bounds.right), self.random.range(bounds.top, bounds.bottom)];
            let material = self.random.pick(&[
                Material::MetalRoof,
                Material::DarkRoof,
                Material::Film,
                Material::TileRoof,
                Material::BlueRoof,
            ]);
            let cover = Cover::new(material, self.gsd, &mut self.random);
            let length = self.random.weighted(&[(2.2, 0.85), (6.0, 0.15)]);
            let half = [length / self.gsd, 0.95 / self.gsd * if length > 3.0 { 1.3 } else { 1.0 }];
            let (kind, roof) = (ObjectKind::Vehicle, Roof::Hip);
            self.build(parcel, Plan { kind, center, half, height: 1.5, roof, cover });
        }
    }

    /// A block of greenhouses side by side.
    pub(crate) fn build_greenhouses(&mut self, parcel: &Parcel) {
        let width = self.random.range(6.0, 26.0).max(5.0 * self.gsd) / self.gsd;
        let gap = (self.random.range(0.8, 4.0) / self.gsd).max(1.5);
        let material = self.random.pick(&[Material::Film, Material::Film, Material::MetalRoof, Material::BlueRoof]);
        let roof = self.random.pick(&[Roof::Flat, Roof::Gable, Roof::Vaults]);
        let cover = Cover::new(material, self.gsd, &mut self.random);
        self.rows_of(parcel, [width, gap], 4.0, ObjectKind::Greenhouse, roof, &cover);
    }

    /// Rows of solar panels.
    pub(crate) fn build_panels(&mut self, parcel: &Parcel) {
        let width = self.random.range(2.0, 6.0).max(2.5 * self.gsd) / self.gsd;
        let gap = (width * self.random.range(0.4, 1.3)).max(1.6);
        let cover = Cover::new(Material::Panel, self.gsd, &mut self.random);
        self.rows_of(parcel, [width, gap], 1.2, ObjectKind::SolarRow, Roof::Flat, &cover);
    }

    /// Long buildings of `width`, `gap` pixels apart, as long as the parcel allows, cut by a cross path now and then.
    fn rows_of(
        &mut self,
        parcel: &Parcel,
        [width, gap]: [f32; 2],
        height: f32,
        kind: ObjectKind,
        roof: Roof,
        cover: &Cover,
    ) {
        let [u, v] = [parcel.direction, [-parcel.direction[1], parcel.direction[0]]];
        let (along, across) = (parcel.polygon.extent(u), parcel.polygon.extent(v));
        let pieces = 1 + self.random.below(2);
        let path = gap.max(2.5);
        let mut b = across[0] + gap;
        while b + width < across[1] {
            // The stretch of this row that lies inside the parcel on both of its sides.
            let free = |a: f32| {
                [b, b + width]
                    .iter()
                    .all(|b| parcel.polygon.inside(a * u[0] + b * v[0], a * u[1] + b * v[1]) > gap + 2.0)
            };
            let steps = ((along[1] - along[0]) / 2.0) as usize;
            let mut inside = (0..steps).map(|i| along[0] + 2.0 * i as f32).filter(|a| free(*a));
            if let Some(start) = inside.next() {
                let end = inside.next_back().unwrap_or(start);
                let length = (end - start - path * (pieces - 1) as f32) / pieces as f32;
                for piece in 0..pieces {
                    let middle = start + length / 2.0 + piece as f32 * (length + path);
                    if length < 1.2 * width || self.random.chance(0.04) {
                        continue;
                    }
                    let (a, b) = (middle, b + width / 2.0);
                    let center = [a * u[0] + b * v[0], a * u[1] + b * v[1]];
                    let mut own = cover.clone();
                    own.lighten(1.0 + 0.12 * self.random.signed());
                    let half = [length / 2.0, width / 2.0];
                    self.build(parcel, Plan { kind, center, half, height, roof, cover: own });
                }
            }
            b += width + gap;
        }
    }

    /// The shadows of all buildings.
    pub(crate) fn shade_buildings(&mut self) {
        for building in self.buildings.iter().filter(|b| b.plan.height > 0.0) {
            let by = self.shadow.map(|s| s * building.plan.height);
            let outline = building.outline.swept(by);
            self.canvas.darken(outline.bounds().grown(1.0), 1.2, 0.92, |x, y| outline.inside(x, y));
        }
    }

    /// All roofs, each face lit as it faces the sun.
    pub(crate) fn paint_buildings(&mut self) {
        let length = (self.shadow[0] * self.shadow[0] + self.shadow[1] * self.shadow[1]).sqrt().max(1e-3);
        let sun = [-self.shadow[0] / length, -self.shadow[1] / length];
        for building in std::mem::take(&mut self.buildings) {
            let owner = self.canvas.register(building.plan.kind, building.parent);
            let ([u0, u1], [x0, y0]) = (building.direction, building.plan.center);
            let (along_sun, across_sun) = (sun[0] * u0 + sun[1] * u1, sun[1] * u0 - sun[0] * u1);
            let [length, width] = building.plan.half;
            let tilt = 0.3;
            let vault = (3.2 / self.gsd).max(3.0);
            let paint = |x: f32, y: f32, inside: f32| {
                let (dx, dy) = (x - x0, y - y0);
                let (a, b) = (dx * u0 + dy * u1, dy * u0 - dx * u1);
                let mut light = match building.plan.roof {
                    Roof::Flat if inside < 1.5 => 1.12,
                    Roof::Flat => 1.0,
                    Roof::Gable => 1.0 + tilt * across_sun * b.signum(),
                    Roof::Hip if width - b.abs() < length - a.abs() => 1.0 + tilt * across_sun * b.signum(),
                    Roof::Hip => 1.0 + tilt * along_sun * a.signum(),
                    Roof::Vaults => 1.0 + tilt * across_sun * super::random::wave(b / vault),
                };
                if building.plan.roof == Roof::Gable && b.abs() < 0.6 {
                    light *= 1.12;
                }
                building.plan.cover.at(x, y).map(|value| value * light)
            };
            let outline = &building.outline;
            let ground = building.ground;
            self.canvas.fill_within(ground, outline.bounds().grown(1.0), owner, |x, y| outline.inside(x, y), paint);
        }
    }

    /// Forget what stands where there is water or a road now.
    pub(crate) fn clear_sites(&mut self) {
        let canvas = &self.canvas;
        self.buildings.retain(|b| {
            let along = (-4..=4).map(|i| {
                let a = b.plan.half[0] * i as f32 / 4.0;
                [b.plan.center[0] + a * b.direction[0], b.plan.center[1] + a * b.direction[1]]
            });
            let free = |p: [f32; 2]| canvas.owner_at(p).is_none_or(|owner| owner == b.ground);
            b.outline.corners.iter().copied().chain(along).all(free)
        });
        let mut free: Vec<Convex> = Vec::new();
        self.buildings.retain(|b| {
            // Neighbours in a block never overlap; only what stands in yards is compared.
            let apart = b.parent != NOBODY
                || free.iter().rev().take(14).all(|o| o.inside(b.plan.center[0], b.plan.center[1]) < -b.plan.half[1]);
            if apart && b.parent == NOBODY {
                free.push(b.outline.clone());
            }
            apart
        });
        self.crowns.retain(|crown| crown.stands_on(canvas));
    }
}
