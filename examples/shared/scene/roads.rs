//! Roads that cross the land, whatever lies there.

use super::Painter;
use super::canvas::{Bounds, NOBODY, Owner};
use super::cover::{Cover, Material};
use super::noise::Patch;
use super::object::ObjectKind;
use super::random::direction;
use super::water::to_segment;

impl Painter {
    /// A road through the scene, straight or winding, with verges, and lines where pixels show them.
    pub(crate) fn cross_road(&mut self) {
        let (width, height) = (self.canvas.shape.width as f32, self.canvas.shape.height as f32);
        let metres = self.random.log_range(3.0, 26.0);
        let half = (metres / self.gsd).clamp(1.3, 70.0) / 2.0;
        let heading = self.random.unit();
        let [dx, dy] = direction(heading);
        let through = [self.random.range(0.1, 0.9) * width, self.random.range(0.1, 0.9) * height];
        let reach = 0.8 * (width + height);
        let mut at = [through[0] - dx * reach, through[1] - dy * reach];
        let winding = self.random.range(0.0, 0.12);
        let scale = self.random.range(200.0, 600.0);
        let bends = Patch::new(&mut self.random, scale);
        let step = 12.0;
        let path: Vec<[f32; 2]> = (0..(2.4 * reach / step) as usize)
            .map(|i| {
                let [dx, dy] = direction(heading + winding * bends.smooth(i as f32 * step, 0.0));
                at = [at[0] + dx * step, at[1] + dy * step];
                at
            })
            .collect();
        let surface = if metres > 6.0 {
            self.random.pick(&[Material::Asphalt, Material::Concrete])
        } else {
            self.random.pick(&[Material::Gravel, Material::Soil, Material::Asphalt])
        };
        let surface = Cover::new(surface, self.gsd, &mut self.random);
        let verge = self.random.pick(&[Material::Meadow, Material::DryGrass, Material::Soil, Material::Forest]);
        let verge = Cover::new(verge, self.gsd, &mut self.random);
        let strip = (self.random.range(0.5, 6.0) / self.gsd).clamp(0.3, half + 2.0);
        let owner = if half > 1.5 { self.canvas.register(ObjectKind::Road, NOBODY) } else { NOBODY };
        self.stroke(&path, half + strip, NOBODY, &verge, false);
        self.stroke(&path, half, owner, &surface, false);
        if self.gsd < 0.35 && metres > 6.0 {
            let paint = Cover::new(Material::Film, self.gsd, &mut self.random);
            let line = 0.15 / self.gsd;
            self.stroke(&path, half - 2.0 * line, owner, &paint, false);
            self.stroke(&path, half - 3.0 * line, owner, &surface, false);
            self.stroke(&path, 0.5 * line, owner, &paint, true);
        }
    }

    /// Paint `path`, `half` pixels to either side; `dashed` leaves every other stretch out.
    fn stroke(&mut self, path: &[[f32; 2]], half: f32, owner: Owner, cover: &Cover, dashed: bool) {
        for (i, pair) in path.windows(2).enumerate() {
            let [a, b] = [pair[0], pair[1]];
            let bounds = Bounds::around(&[a, b]).grown(half + 1.0);
            if (dashed && i % 6 > 2) || !bounds.touches(self.canvas.shape) {
                continue;
            }
            self.canvas.fill(bounds, owner, |x, y| half - to_segment([x, y], a, b), |x, y, _| cover.at(x, y));
        }
    }
}
