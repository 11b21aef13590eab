//! Lakes, rivers and the sea.

use super::Painter;
use super::canvas::{Bounds, NOBODY, blend};
use super::cover::{Cover, Material};
use super::noise::Patch;
use super::object::ObjectKind;
use super::random::{Random, direction, wave};

/// An ellipse with a ragged edge.
#[derive(Debug)]
pub(crate) struct Blob {
    center: [f32; 2],
    /// Radii along and across the direction, in pixels.
    radii: [f32; 2],
    direction: [f32; 2],
    ragged: f32,
    edge: Patch,
}

impl Blob {
    /// About `radius` pixels large; `ragged` is the share of it by which the edge moves.
    pub(crate) fn new(center: [f32; 2], radius: f32, ragged: f32, random: &mut Random) -> Self {
        let aspect = random.range(1.0, 1.8);
        let size = radius * random.range(0.7, 1.6);
        Self {
            center,
            radii: [radius * aspect.sqrt(), radius / aspect.sqrt()],
            direction: random.direction(),
            ragged,
            edge: Patch::new(random, size),
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds::around(&[self.center]).grown(self.radii[0] * (1.0 + 1.2 * self.ragged) + 2.0)
    }

    /// About the distance inside, in pixels.
    pub(crate) fn inside(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - self.center[0], y - self.center[1]);
        let u = (dx * self.direction[0] + dy * self.direction[1]) / self.radii[0];
        let v = (dy * self.direction[0] - dx * self.direction[1]) / self.radii[1];
        let noise = self.edge.fractal(x, y).clamp(-1.2, 1.2);
        (1.0 + self.ragged * noise - (u * u + v * v).sqrt()) * self.radii[1]
    }
}

impl Painter {
    fn water(&mut self) -> Cover {
        let material = self.random.weighted(&[
            (Material::ClearWater, 0.45),
            (Material::GreenWater, 0.25),
            (Material::TurbidWater, 0.22),
            (Material::LagoonWater, 0.08),
        ]);
        Cover::new(material, self.gsd, &mut self.random)
    }

    fn shore(&mut self) -> Cover {
        let material =
            self.random.pick(&[Material::Mud, Material::Sand, Material::Reed, Material::Meadow, Material::Forest]);
        Cover::new(material, self.gsd, &mut self.random)
    }

    /// Whether there is a lake or a river at a point or around it: waters that meet could not be told apart.
    fn near_water(&self, center: [f32; 2], radius: f32) -> bool {
        let wet = |p: [f32; 2]| {
            self.canvas.owner_at(p).and_then(|owner| self.canvas.kind(owner)).is_some_and(ObjectKind::is_water)
        };
        let around = (0..24).map(|i| {
            let ([x, y], far) = (direction(i as f32 / 12.0), if i < 12 { 0.6 * radius } else { 1.3 * radius });
            [center[0] + far * x, center[1] + far * y]
        });
        wet(center) || around.into_iter().any(wet)
    }

    /// At most `count` lakes and ponds.
    pub(crate) fn flood_lakes(&mut self, count: usize) {
        let (width, height) = (self.canvas.shape.width as f32, self.canvas.shape.height as f32);
        let kin = self.water();
        for _ in 0..count {
            let radius = self.random.log_range(8.0, 130.0);
            let ragged = self.random.range(0.1, 0.65);
            let center = [self.random.range(0.0, width), self.random.range(0.0, height)];
            if self.near_water(center, radius) {
                continue;
            }
            let blob = Blob::new(center, radius, ragged, &mut self.random);
            // Lakes of one scene are often alike.
            let water = if self.random.chance(0.5) { kin.clone() } else { self.water() };
            let (shore, edge) = (self.shore(), self.shore());
            let wide = self.random.range(0.0, 0.22) * radius;
            let narrow = self.random.range(0.0, 2.5);
            let breadth = Patch::new(&mut self.random, 0.8 * radius);
            self.canvas.fill(
                blob.bounds().grown(1.6 * wide + narrow),
                NOBODY,
                |x, y| blob.inside(x, y) + narrow + wide * (0.4 + breadth.smooth(x, y)).clamp(0.0, 1.5),
                |x, y, inside| if inside > narrow + wide * 0.8 { edge.at(x, y) } else { shore.at(x, y) },
            );
            let owner = self.canvas.register(ObjectKind::Lake, NOBODY);
            let shallow = self.random.range(0.0, 0.5);
            let ground = shore.mean();
            self.canvas.fill(
                blob.bounds(),
                owner,
                |x, y| blob.inside(x, y),
                |x, y, inside| {
                    let mut colour = water.at(x, y);
                    blend(&mut colour, ground, shallow * (1.0 - inside / (0.15 * radius + 2.0)).clamp(0.0, 1.0) * 0.5);
                    colour
                },
            );
        }
    }

    /// A river that meanders through the scene: a sine-generated curve.
    pub(crate) fn flow_river(&mut self) {
        let (width, height) = (self.canvas.shape.width as f32, self.canvas.shape.height as f32);
        let half = (self.random.log_range(4.0, 300.0) / self.gsd).clamp(5.0, 70.0) / 2.0;
        let heading = self.random.unit();
        let [x, y] = direction(heading);
        let target = [self.random.range(0.2, 0.8) * width, self.random.range(0.2, 0.8) * height];
        let reach = 0.8 * (width + height);
        let mut at = [target[0] - x * reach, target[1] - y * reach];
        let wavelength = half * self.random.range(14.0, 26.0);
        let swing = self.random.range(0.05, 0.24);
        let wander = Patch::new(&mut self.random, 3.0 * wavelength);
        let step = (0.5 * half).max(3.0);
        let mut path = Vec::new();
        let mut length = 0.0;
        while length < 4.0 * reach {
            let turn = swing * wave(length / wavelength) + 0.05 * wander.smooth(length, 0.0);
            let [dx, dy] = direction(heading + turn);
            at = [at[0] + dx * step, at[1] + dy * step];
            path.push((at, half * (1.0 + 0.25 * wander.smooth(length, 500.0))));
            length += step;
        }
        let (bank, water) = (self.shore(), self.water());
        let bank_width = self.random.range(0.5, 0.3 * half + 1.5);
        let owner = self.canvas.register(ObjectKind::River, NOBODY);
        let ragged = Patch::new(&mut self.random, 2.5 * half);
        for (owner, extra, cover) in [(NOBODY, bank_width, &bank), (owner, 0.0, &water)] {
            for pair in path.windows(2) {
                let [(a, half), (b, _)] = [pair[0], pair[1]];
                let half = half + extra;
                self.canvas.fill(
                    Bounds::around(&[a, b]).grown(1.3 * half + 1.0),
                    owner,
                    |x, y| {
                        let distance = to_segment([x, y], a, b);
                        if distance > 1.3 * half + 1.0 {
                            return -1.0;
                        }
                        half + 0.2 * half * ragged.smooth(x, y) - distance
                    },
                    |x, y, _| cover.at(x, y),
                );
            }
        }
    }

    /// A coast: sea, surf, beach.
    pub(crate) fn flood_coast(&mut self) {
        let (width, height) = (self.canvas.shape.width as f32, self.canvas.shape.height as f32);
        let normal = self.random.direction();
        let [cx, cy] = [self.random.range(0.25, 0.75) * width, self.random.range(0.25, 0.75) * height];
        let size = self.random.range(90.0, 350.0);
        let (line, swing) = (Patch::new(&mut self.random, size), size * self.random.range(0.1, 0.5));
        let inside = move |x: f32, y: f32| (x - cx) * normal[0] + (y - cy) * normal[1] + swing * line.fractal(x, y);
        let beach_width = (self.random.range(2.0, 60.0) / self.gsd).clamp(1.5, 40.0);
        let material = self.random.pick(&[Material::Sand, Material::Sand, Material::Mud, Material::Concrete]);
        let beach = Cover::new(material, self.gsd, &mut self.random);
        let deep = self.water();
        let shallow = Cover::new(Material::LagoonWater, self.gsd, &mut self.random).mean();
        let whole = Bounds { left: 0.0, top: 0.0, right: width, bottom: height };
        let wetness = Patch::new(&mut self.random, 80.0);
        self.canvas.fill(
            whole,
            NOBODY,
            |x, y| inside(x, y) + beach_width * (0.7 + wetness.smooth(x, y)).clamp(0.0, 2.0),
            |x, y, _| beach.at(x, y),
        );
        let owner = self.canvas.register(ObjectKind::Sea, NOBODY);
        let (shelf, clear) = (self.random.range(10.0, 120.0), self.random.range(0.0, 0.9));
        let surf = self.random.range(0.0, 0.6);
        self.canvas.fill(whole, owner, inside, |x, y, depth| {
            let mut colour = deep.at(x, y);
            blend(&mut colour, shallow, clear * (1.0 - depth / shelf).clamp(0.0, 1.0));
            let foam = (1.0 - (depth - 2.0).abs() / 3.0).clamp(0.0, 1.0) * (0.5 + wetness.fractal(4.0 * x, 4.0 * y));
            blend(&mut colour, [3500.0; 4], surf * foam.clamp(0.0, 1.0));
            colour
        });
    }
}

/// Distance of `p` from the segment between `a` and `b`.
pub(crate) fn to_segment(p: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let (ux, uy) = (b[0] - a[0], b[1] - a[1]);
    let (px, py) = (p[0] - a[0], p[1] - a[1]);
    let along = ((px * ux + py * uy) / (ux * ux + uy * uy).max(1e-6)).clamp(0.0, 1.0);
    let (dx, dy) = (px - along * ux, py - along * uy);
    (dx * dx + dy * dy).sqrt()
}
