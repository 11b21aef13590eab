//! What a sensor makes of the ground: haze, uneven light, blur, noise, and whole numbers.

use geosam::Shape;

use super::canvas::Reflectance;
use super::noise::Patch;
use super::random::{Random, mix};

/// Half the taps of the blur, without the middle one.
const REACH: usize = 2;

/// One exposure of one sensor.
#[derive(Debug)]
pub(crate) struct Sensor {
    /// Share of the light that the air scatters, and its colour.
    haze: f32,
    air: Reflectance,
    gain: Reflectance,
    /// Light and shadow of the terrain and of thin cloud.
    relief: Patch,
    relief_strength: f32,
    /// Weights of the middle pixel and its neighbours one and two away.
    taps: [f32; REACH + 1],
    /// Noise, as share of the signal and in units.
    noise: [f32; 2],
    /// Share of the noise that all bands have in common.
    common: f32,
}

impl Sensor {
    pub(crate) fn new(random: &mut Random) -> Self {
        let sigma = random.range(0.35, 0.95);
        // A Gaussian's second differences, without `exp`: a rational bell of the same width.
        let bell = |distance: f32| {
            let x = distance * distance / (2.0 * sigma * sigma);
            1.0 / (1.0 + x + x * x / 2.0 + x * x * x / 6.0 + x * x * x * x / 24.0)
        };
        let (near, far) = (bell(1.0), bell(2.0));
        let sum = 1.0 + 2.0 * near + 2.0 * far;
        let light = random.range(0.75, 1.2);
        let air = random.range(700.0, 1400.0);
        let relief_size = random.range(120.0, 400.0);
        Self {
            haze: if random.chance(0.3) { random.range(0.1, 0.4) } else { random.range(0.0, 0.1) },
            air: [0.8 * air, air, 1.25 * air, 0.6 * air],
            gain: std::array::from_fn(|_| light * (1.0 + 0.1 * random.signed())),
            relief: Patch::new(random, relief_size),
            relief_strength: random.range(0.0, 0.16),
            taps: [1.0 / sum, near / sum, far / sum],
            noise: [random.range(0.003, 0.035), random.range(2.0, 25.0)],
            common: random.unit(),
        }
    }

    /// Reflectance × 10 000 as recorded, `[4, height, width]`; 0 never occurs.
    pub(crate) fn record(&self, mut pixels: Vec<Reflectance>, shape: Shape) -> Vec<u16> {
        let Shape { height, width } = shape;
        for (row, line) in pixels.chunks_exact_mut(width).enumerate() {
            self.scatter(line, row as f32 + 0.5);
            self.blur_row(line);
        }
        let area = shape.area();
        let mut values = vec![0u16; 4 * area];
        let taps = [self.taps[2], self.taps[1], self.taps[0], self.taps[1], self.taps[2]];
        for row in 0..height {
            let lines: [&[Reflectance]; 2 * REACH + 1] = std::array::from_fn(|tap| {
                let at = (row + tap).saturating_sub(REACH).min(height - 1);
                &pixels[at * width..(at + 1) * width]
            });
            for column in 0..width {
                let mut sum = [0f32; 4];
                for (line, tap) in lines.iter().zip(taps) {
                    sum.iter_mut().zip(line[column]).for_each(|(sum, value)| *sum += tap * value);
                }
                // One hash has the numbers of all bands, 12 bits each.
                let bits = mix(((row as u64) << 32 | column as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let white = |part: u32| ((bits >> (12 * part)) & 0xfff) as f32 / 2048.0 - 1.0;
                let shared = self.common * white(4);
                for (band, value) in sum.into_iter().enumerate() {
                    let own = (1.0 - self.common) * white(band as u32);
                    let noisy = value + (own + shared) * (self.noise[0] * value + self.noise[1]);
                    values[band * area + row * width + column] = noisy.clamp(1.0, 10_000.0) as u16;
                }
            }
        }
        values
    }

    /// Light, terrain and air.
    fn scatter(&self, line: &mut [Reflectance], y: f32) {
        // The terrain changes so slowly that every eighth pixel is enough.
        for (step, pixels) in line.chunks_mut(8).enumerate() {
            let light = 1.0 + self.relief_strength * self.relief.smooth(8.0 * step as f32 + 4.0, y);
            for pixel in pixels {
                for ((value, gain), air) in pixel.iter_mut().zip(self.gain).zip(self.air) {
                    *value = *value * light * gain * (1.0 - self.haze) + air * self.haze;
                }
            }
        }
    }

    fn blur_row(&self, line: &mut [Reflectance]) {
        let last = line.len() - 1;
        let (mut second, mut first) = (line[0], line[0]);
        for column in 0..=last {
            let (here, next, after) = (line[column], line[(column + 1).min(last)], line[(column + 2).min(last)]);
            line[column] = std::array::from_fn(|band| {
                self.taps[0] * here[band]
                    + self.taps[1] * (first[band] + next[band])
                    + self.taps[2] * (second[band] + after[band])
            });
            (second, first) = (first, here);
        }
    }
}
