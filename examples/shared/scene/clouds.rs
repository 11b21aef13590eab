//! Clouds and their shadows.

use super::Painter;
use super::canvas::NOBODY;
use super::canvas::blend;
use super::cover::{Cover, Material};
use super::noise::Patch;
use super::object::ObjectKind;
use super::water::Blob;

impl Painter {
    /// `count` clouds over everything, each with its shadow beside it.
    pub(crate) fn cover_with_clouds(&mut self, count: usize) {
        let (width, height) = (self.canvas.shape.width as f32, self.canvas.shape.height as f32);
        let away = self.random.range(15.0, 180.0);
        let length = (self.shadow[0] * self.shadow[0] + self.shadow[1] * self.shadow[1]).sqrt().max(1e-3);
        let by = self.shadow.map(|s| s / length * away);
        let clouds: Vec<(f32, Blob)> = (0..count)
            .map(|_| {
                let radius = self.random.log_range(9.0, 110.0);
                let center = [self.random.range(0.0, width), self.random.range(0.0, height)];
                (radius, Blob::new(center, radius, 0.75, &mut self.random))
            })
            .collect();
        for (radius, blob) in &clouds {
            let bounds = blob.bounds().shifted(by);
            let blur = (0.12 * radius).clamp(2.0, 12.0);
            self.canvas.darken(bounds.grown(blur), blur, 0.75, |x, y| blob.inside(x - by[0], y - by[1]));
        }
        self.canvas.cast_shadows();
        // Clouds that meet are one.
        let owner = self.canvas.register(ObjectKind::Cloud, NOBODY);
        for (radius, blob) in &clouds {
            let cover = Cover::new(Material::Cloud, self.gsd, &mut self.random);
            let thick = self.random.range(0.75, 1.0);
            let soft = (0.15 * radius).clamp(1.5, 10.0);
            let billows = Patch::new(&mut self.random, 0.7 * radius);
            self.canvas.each(blob.bounds().grown(soft), |canvas, index, x, y| {
                let alpha = (blob.inside(x, y) / soft + 0.5).clamp(0.0, 1.0) * thick;
                if alpha <= 0.0 {
                    return;
                }
                let light = 0.92 + 0.14 * billows.fractal(x, y);
                blend(&mut canvas.pixels[index], cover.at(x, y).map(|value| value * light), alpha);
                if alpha >= 0.5 {
                    canvas.owners[index] = owner;
                }
            });
        }
    }
}
