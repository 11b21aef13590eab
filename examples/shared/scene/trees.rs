//! Trees: orchards in rows, woods with clearings, single trees.

use super::Painter;
use super::canvas::{Bounds, Canvas, NOBODY, Owner, Reflectance};
use super::cover::{Cover, Material};
use super::noise::{Patch, grain};
use super::object::ObjectKind;
use super::parcels::Parcel;
use super::water::{Blob, to_segment};

/// One crown, seen from above.
#[derive(Debug)]
pub(crate) struct Crown {
    center: [f32; 2],
    /// In pixels.
    radius: f32,
    colour: Reflectance,
    lumps: Patch,
    /// What the crown belongs to if it is too small to be an object.
    parent: Owner,
    is_object: bool,
}

/// The smallest radius in pixels of a crown that is an object.
const OBJECT_RADIUS: f32 = 5.2;

impl Crown {
    /// Whether its ground is still seen.
    pub(crate) fn stands_on(&self, canvas: &Canvas) -> bool {
        canvas.owner_at(self.center) == Some(self.parent)
    }
}

impl Painter {
    /// Note a crown of `radius` pixels, if the point is still `parcel`'s.
    fn plant(&mut self, parcel: Owner, center: [f32; 2], radius: f32, colour: Reflectance, alone: bool) {
        if self.canvas.owner_at(center) != Some(parcel) {
            return;
        }
        let light = 1.0 + 0.22 * self.random.signed();
        let tint: [f32; 4] = std::array::from_fn(|band| colour[band] * light * (1.0 + 0.08 * self.random.signed()));
        let lumps = Patch::new(&mut self.random, (0.8 * radius).max(2.0));
        self.crowns.push(Crown {
            center,
            radius,
            colour: tint,
            lumps,
            parent: parcel,
            is_object: alone && radius >= OBJECT_RADIUS,
        });
    }

    /// Trees in rows.
    pub(crate) fn plant_orchard(&mut self, parcel: &Parcel) {
        let spacing = (self.random.range(4.0, 10.0) / self.gsd).min(120.0);
        let radius = spacing * self.random.range(0.28, 0.47);
        if radius < 0.9 {
            return;
        }
        let colour = Cover::new(Material::Crown, self.gsd, &mut self.random).mean();
        let aspect = self.random.range(0.75, 1.3);
        self.grid(parcel, [spacing, spacing * aspect.max(2.05 * radius / spacing)], 0.06, |painter, center| {
            if !painter.random.chance(0.04) {
                let radius = radius * painter.random.range(0.75, 1.1);
                painter.plant(parcel.owner, center, radius, colour, true);
            }
        });
    }

    /// Call `place` for points `spacing` pixels apart along and across the parcel's direction.
    fn grid(&mut self, parcel: &Parcel, spacing: [f32; 2], jitter: f32, place: impl Fn(&mut Self, [f32; 2])) {
        let [u, v] = [parcel.direction, [-parcel.direction[1], parcel.direction[0]]];
        let (along, across) = (parcel.polygon.extent(u), parcel.polygon.extent(v));
        let mut b = across[0] + spacing[1] * 0.6;
        while b < across[1] {
            let mut a = along[0] + spacing[0] * 0.6;
            while a < along[1] {
                let (da, db) = (jitter * self.random.signed() * spacing[0], jitter * self.random.signed() * spacing[1]);
                let point = [(a + da) * u[0] + (b + db) * v[0], (a + da) * u[1] + (b + db) * v[1]];
                // Off the scene there is nothing to plant, and in a large parcel most is off.
                if self.canvas.owner_at(point) == Some(parcel.owner) {
                    place(self, point);
                }
                a += spacing[0];
            }
            b += spacing[1];
        }
    }

    /// Crowns where pixels show them, and clearings.
    pub(crate) fn grow_wood(&mut self, parcel: &Parcel, cover: &Cover) {
        let bounds = parcel.polygon.bounds();
        let size = (bounds.right - bounds.left).min(bounds.bottom - bounds.top);
        let clearings = self.random.below(1 + (size / 60.0) as usize);
        for _ in 0..clearings.min(6) {
            let center = [self.random.range(bounds.left, bounds.right), self.random.range(bounds.top, bounds.bottom)];
            let radius = self.random.log_range(8.0, (0.3 * size).max(9.0));
            let blob = Blob::new(center, radius, 0.35, &mut self.random);
            let material = self.random.pick(&[
                Material::Meadow,
                Material::DryGrass,
                Material::Soil,
                Material::Scrub,
                Material::Stubble,
            ]);
            let ground = Cover::new(material, self.gsd, &mut self.random);
            let owner = self.canvas.register(ObjectKind::Clearing, NOBODY);
            self.canvas.fill_within(
                parcel.owner,
                blob.bounds(),
                owner,
                |x, y| blob.inside(x, y),
                |x, y, _| ground.at(x, y),
            );
        }
        let diameter = self.random.range(5.0, 10.0) / self.gsd;
        if diameter < 7.0 {
            return;
        }
        let diameter = diameter.min(70.0);
        let colour = cover.mean();
        self.grid(parcel, [0.75 * diameter; 2], 0.4, |painter, center| {
            let radius = diameter * painter.random.range(0.4, 0.62);
            painter.plant(parcel.owner, center, radius, colour, false);
        });
    }

    /// Trees that stand alone, `density` of them to a hundred metres square.
    pub(crate) fn scatter_trees(&mut self, parcel: &Parcel, density: f32) {
        let bounds = parcel.polygon.bounds();
        let metres = self.gsd * self.gsd * (bounds.right - bounds.left) * (bounds.bottom - bounds.top);
        let trees = (density * metres / 10_000.0).min(60.0) * 2.0 * self.random.unit() + self.random.unit() * 0.6;
        for _ in 0..trees as usize {
            let center = [self.random.range(bounds.left, bounds.right), self.random.range(bounds.top, bounds.bottom)];
            let radius = (self.random.range(1.5, 6.0) / self.gsd).min(70.0);
            if radius > 0.8 {
                let colour = Cover::new(Material::Crown, self.gsd, &mut self.random).mean();
                self.plant(parcel.owner, center, radius, colour, true);
            }
        }
    }

    /// The shadows of all crowns.
    pub(crate) fn shade_crowns(&mut self) {
        for crown in &self.crowns {
            // A crown is about as wide as the tree is high.
            let length = 1.3 * crown.radius * self.gsd;
            let by = [self.shadow[0] * length, self.shadow[1] * length];
            let top = [crown.center[0] + by[0], crown.center[1] + by[1]];
            let radius = 0.9 * crown.radius;
            let bounds = Bounds::around(&[crown.center, top]).grown(radius + 1.0);
            self.canvas.darken(bounds, 2.0, 0.85, |x, y| radius - to_segment([x, y], crown.center, top));
        }
    }

    /// All crowns, lit from the sun's side.
    pub(crate) fn paint_crowns(&mut self) {
        let length = (self.shadow[0] * self.shadow[0] + self.shadow[1] * self.shadow[1]).sqrt().max(1e-3);
        let sun = [-self.shadow[0] / length, -self.shadow[1] / length];
        for crown in std::mem::take(&mut self.crowns) {
            let parent = crown.parent;
            let nested = self.canvas.registry[parent as usize - 1].0 == ObjectKind::Orchard;
            let owner = match (crown.is_object, nested) {
                (true, true) => self.canvas.register(ObjectKind::Crown, parent),
                (true, false) => self.canvas.register(ObjectKind::Crown, NOBODY),
                (false, _) => parent,
            };
            let [x0, y0] = crown.center;
            let reach = 1.35 * crown.radius;
            let bounds = Bounds { left: x0 - reach, right: x0 + reach, top: y0 - reach, bottom: y0 + reach };
            let rough = 0.2 * crown.radius;
            self.canvas.fill(
                bounds,
                owner,
                |x, y| {
                    let (dx, dy) = (x - x0, y - y0);
                    crown.radius + rough * crown.lumps.smooth(x, y).clamp(-1.2, 1.2) - (dx * dx + dy * dy).sqrt()
                },
                |x, y, _| {
                    let lit = ((x - x0) * sun[0] + (y - y0) * sun[1]) / crown.radius;
                    let light = 0.95 + 0.33 * lit + 0.2 * crown.lumps.speckle(x + 31.0, y) + 0.1 * grain(x, y);
                    crown.colour.map(|value| value * light.max(0.25))
                },
            );
        }
    }
}
