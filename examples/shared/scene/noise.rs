//! Clouded textures: two tables of fractal value noise, made once, that patches of the ground sample at their own place,
//! scale and direction.

use std::sync::LazyLock;

use super::random::{Random, mix};

const SIDE: usize = 256;

type Table = [f32; SIDE * SIDE];

/// Fine and coarse detail together, of mean 0 and deviation 0.5.
static FRACTAL: LazyLock<Box<Table>> = LazyLock::new(|| table(1, &[16, 32, 64, 128], 0.62));
/// Coarse forms only, smooth from one cell to the next.
static SMOOTH: LazyLock<Box<Table>> = LazyLock::new(|| table(2, &[16, 32], 0.35));

/// A periodic table of value noise: octaves of `periods` lattice points a side, each `fade` times as strong as the last.
fn table(seed: u64, periods: &[usize], fade: f32) -> Box<Table> {
    let mut values: Box<Table> = Box::new([0f32; SIDE * SIDE]);
    let mut strength = 1.0;
    for &period in periods {
        let lattice = |column: usize, row: usize| {
            let key = (seed << 40) ^ ((period as u64) << 24) ^ ((row % period * period + column % period) as u64);
            (mix(key) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        let cell = SIDE / period;
        for row in 0..SIDE {
            for column in 0..SIDE {
                let (c, r) = (column / cell, row / cell);
                let (x, y) = ((column % cell) as f32 / cell as f32, (row % cell) as f32 / cell as f32);
                let (x, y) = (x * x * (3.0 - 2.0 * x), y * y * (3.0 - 2.0 * y));
                let top = lattice(c, r) * (1.0 - x) + lattice(c + 1, r) * x;
                let bottom = lattice(c, r + 1) * (1.0 - x) + lattice(c + 1, r + 1) * x;
                values[row * SIDE + column] += strength * (top * (1.0 - y) + bottom * y);
            }
        }
        strength *= fade;
    }
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / values.len() as f32;
    let scale = 0.5 / variance.sqrt();
    values.iter_mut().for_each(|v| *v = (*v - mean) * scale);
    values
}

/// A place, scale and direction in the tables: noise over the pixels of a scene.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patch {
    along: [f32; 2],
    offset: [f32; 2],
    stretch: f32,
}

impl Patch {
    /// Noise whose largest forms are about `size` pixels, at a random place and direction.
    pub(crate) fn new(random: &mut Random, size: f32) -> Self {
        Self::stretched(random, size, 1.0)
    }

    /// As [`new`](Self::new), `stretch` times finer across than along.
    pub(crate) fn stretched(random: &mut Random, size: f32, stretch: f32) -> Self {
        let direction = random.direction();
        // The coarsest lattice has 16 cells of 16 table points.
        let scale = 16.0 / size.max(1.0);
        Self {
            along: direction.map(|d| d * scale),
            offset: [random.range(0.0, SIDE as f32), random.range(0.0, SIDE as f32)],
            stretch,
        }
    }

    /// Where a pixel lies in a table.
    fn place(&self, x: f32, y: f32) -> [f32; 2] {
        let u = x * self.along[0] + y * self.along[1] + self.offset[0];
        let v = (y * self.along[0] - x * self.along[1]) * self.stretch + self.offset[1];
        [u, v]
    }

    fn sample(&self, table: &Table, x: f32, y: f32) -> f32 {
        let [u, v] = self.place(x, y);
        let (column, row) = (u as i32 - i32::from(u < 0.0), v as i32 - i32::from(v < 0.0));
        let (fx, fy) = (u - column as f32, v - row as f32);
        let at = |column: i32, row: i32| table[(row as usize % SIDE) * SIDE + column as usize % SIDE];
        let top = at(column, row) * (1.0 - fx) + at(column + 1, row) * fx;
        let bottom = at(column, row + 1) * (1.0 - fx) + at(column + 1, row + 1) * fx;
        top * (1.0 - fy) + bottom * fy
    }

    /// Fractal noise at a pixel: mean 0, deviation 0.5.
    pub(crate) fn fractal(&self, x: f32, y: f32) -> f32 {
        self.sample(&FRACTAL, x, y)
    }

    /// Fractal noise at a pixel, from the nearest point of the table: for forms of a few pixels.
    pub(crate) fn speckle(&self, x: f32, y: f32) -> f32 {
        let [u, v] = self.place(x, y);
        FRACTAL[(v as i32 as usize % SIDE) * SIDE + u as i32 as usize % SIDE]
    }

    /// Smooth noise at a pixel: mean 0, deviation 0.5.
    pub(crate) fn smooth(&self, x: f32, y: f32) -> f32 {
        self.sample(&SMOOTH, x, y)
    }
}

/// White noise of a pixel, between -1 and 1.
pub(crate) fn grain(x: f32, y: f32) -> f32 {
    let mut h = (x as i32 as u32).wrapping_mul(0x9e37_79b1) ^ (y as i32 as u32).wrapping_mul(0x85eb_ca77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    ((h ^ (h >> 15)) >> 8) as f32 / (1u32 << 23) as f32 - 1.0
}
