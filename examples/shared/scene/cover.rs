//! What the ground is covered with: reflectance, and how it varies within one object.

use super::canvas::{Reflectance, blend};
use super::noise::{Patch, grain};
use super::random::{Random, wave};

/// A material with a typical reflectance and the one that its patches tend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    Wheat,
    Cereal,
    Maize,
    Rapeseed,
    Meadow,
    DryGrass,
    Lawn,
    Soil,
    DarkSoil,
    Stubble,
    Forest,
    Conifer,
    Crown,
    Scrub,
    ClearWater,
    TurbidWater,
    GreenWater,
    LagoonWater,
    Mud,
    Sand,
    Reed,
    Asphalt,
    Gravel,
    Concrete,
    TileRoof,
    MetalRoof,
    DarkRoof,
    BlueRoof,
    Film,
    Panel,
    Pool,
    Town,
    Cloud,
}

impl Material {
    /// Two reflectances × 10 000 (red, green, blue, near infrared): the usual one, and that of its patches.
    fn reflectances(self) -> [Reflectance; 2] {
        match self {
            Self::Wheat => [[1750.0, 1480.0, 880.0, 3000.0], [1400.0, 1350.0, 700.0, 3300.0]],
            Self::Cereal => [[420.0, 820.0, 380.0, 4300.0], [700.0, 950.0, 480.0, 3300.0]],
            Self::Maize => [[330.0, 640.0, 330.0, 4700.0], [520.0, 730.0, 400.0, 3600.0]],
            Self::Rapeseed => [[1650.0, 1800.0, 450.0, 4400.0], [900.0, 1250.0, 420.0, 4300.0]],
            Self::Meadow => [[560.0, 940.0, 450.0, 3700.0], [900.0, 1080.0, 560.0, 3000.0]],
            Self::DryGrass => [[1350.0, 1230.0, 820.0, 2700.0], [950.0, 1080.0, 640.0, 2900.0]],
            Self::Lawn => [[480.0, 930.0, 400.0, 4200.0], [720.0, 980.0, 480.0, 3400.0]],
            Self::Soil => [[1900.0, 1480.0, 1080.0, 2400.0], [1450.0, 1130.0, 830.0, 1900.0]],
            Self::DarkSoil => [[900.0, 760.0, 620.0, 1300.0], [1250.0, 1000.0, 770.0, 1700.0]],
            Self::Stubble => [[1600.0, 1400.0, 960.0, 2600.0], [1200.0, 1150.0, 760.0, 2600.0]],
            Self::Forest => [[270.0, 480.0, 270.0, 3500.0], [420.0, 620.0, 330.0, 4200.0]],
            Self::Conifer => [[200.0, 330.0, 230.0, 2300.0], [300.0, 430.0, 270.0, 2800.0]],
            Self::Crown => [[330.0, 560.0, 290.0, 3900.0], [250.0, 430.0, 250.0, 3300.0]],
            Self::Scrub => [[620.0, 740.0, 470.0, 2600.0], [1200.0, 1100.0, 800.0, 2500.0]],
            Self::ClearWater => [[190.0, 270.0, 350.0, 130.0], [240.0, 350.0, 420.0, 150.0]],
            Self::TurbidWater => [[760.0, 800.0, 620.0, 380.0], [600.0, 690.0, 580.0, 280.0]],
            Self::GreenWater => [[380.0, 640.0, 400.0, 300.0], [300.0, 500.0, 350.0, 220.0]],
            Self::LagoonWater => [[260.0, 900.0, 1150.0, 170.0], [480.0, 1250.0, 1400.0, 220.0]],
            Self::Mud => [[1250.0, 1120.0, 920.0, 1600.0], [1650.0, 1450.0, 1200.0, 2100.0]],
            Self::Sand => [[2700.0, 2400.0, 1900.0, 3300.0], [2200.0, 1950.0, 1500.0, 2800.0]],
            Self::Reed => [[520.0, 640.0, 380.0, 2700.0], [850.0, 830.0, 560.0, 2500.0]],
            Self::Asphalt => [[1050.0, 1060.0, 1080.0, 1250.0], [850.0, 860.0, 890.0, 1050.0]],
            Self::Gravel => [[2250.0, 2050.0, 1700.0, 2700.0], [1900.0, 1700.0, 1380.0, 2400.0]],
            Self::Concrete => [[2300.0, 2270.0, 2180.0, 2600.0], [1950.0, 1930.0, 1880.0, 2250.0]],
            Self::TileRoof => [[2250.0, 1300.0, 1000.0, 2700.0], [1800.0, 1100.0, 880.0, 2300.0]],
            Self::MetalRoof => [[3700.0, 3750.0, 3800.0, 3900.0], [3200.0, 3250.0, 3300.0, 3400.0]],
            Self::DarkRoof => [[800.0, 800.0, 840.0, 1050.0], [1000.0, 980.0, 980.0, 1250.0]],
            Self::BlueRoof => [[900.0, 1450.0, 2500.0, 2600.0], [1000.0, 1500.0, 2350.0, 2500.0]],
            Self::Film => [[3900.0, 4000.0, 4050.0, 4600.0], [2700.0, 2950.0, 2900.0, 3900.0]],
            Self::Panel => [[420.0, 500.0, 800.0, 900.0], [500.0, 570.0, 860.0, 950.0]],
            Self::Pool => [[1000.0, 2500.0, 3000.0, 400.0], [1300.0, 2800.0, 3200.0, 500.0]],
            Self::Town => [[1350.0, 1230.0, 1120.0, 2000.0], [800.0, 900.0, 720.0, 2600.0]],
            Self::Cloud => [[7600.0, 7700.0, 7800.0, 7900.0], [5600.0, 5800.0, 6100.0, 6200.0]],
        }
    }

    /// How strongly pixels differ from their neighbours, at one metre a pixel.
    fn roughness(self) -> f32 {
        match self {
            Self::Forest | Self::Conifer | Self::Scrub => 0.22,
            Self::Town => 0.35,
            Self::ClearWater | Self::TurbidWater | Self::GreenWater | Self::LagoonWater | Self::Pool => 0.02,
            Self::Cloud | Self::Asphalt | Self::Concrete | Self::MetalRoof => 0.03,
            _ => 0.07,
        }
    }
}

/// Stripes: crop rows, swaths, tramlines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    /// Turns per pixel, along x and y.
    step: [f32; 2],
    strength: f32,
    /// Narrow lines instead of a wave.
    lines: bool,
}

impl Rows {
    /// Rows `spacing` pixels apart along `direction`; they fade where pixels are too large to show them.
    pub(crate) fn new(direction: [f32; 2], spacing: f32, strength: f32, lines: bool) -> Self {
        let visible = ((spacing - 1.6) / 1.5).clamp(0.0, 1.0);
        Self { step: [-direction[1] / spacing, direction[0] / spacing], strength: strength * visible, lines }
    }

    fn shade(&self, x: f32, y: f32) -> f32 {
        let wave = wave(x * self.step[0] + y * self.step[1]);
        1.0 + self.strength * if self.lines { ((wave - 0.85) * 6.0).clamp(0.0, 1.0) } else { wave }
    }
}

/// The cover of one object, with its own tint, patches, grain and rows.
#[derive(Clone, Debug)]
pub(crate) struct Cover {
    usual: Reflectance,
    patches: Reflectance,
    /// How far the patches go, 0 to 1.
    mottle: f32,
    forms: Patch,
    fine: Patch,
    fine_strength: f32,
    grain: f32,
    rows: [Option<Rows>; 2],
}

impl Cover {
    /// `material` as one object shows it, at `gsd` metres a pixel.
    pub(crate) fn new(material: Material, gsd: f32, random: &mut Random) -> Self {
        let light = 1.0 + 0.2 * random.signed();
        let tint: [f32; 4] = std::array::from_fn(|_| light * (1.0 + 0.1 * random.signed()));
        let toward = random.unit() * 0.5;
        let [mut usual, mut patches] = material.reflectances();
        let other = patches;
        blend(&mut usual, other, toward);
        for reflectance in [&mut usual, &mut patches] {
            reflectance.iter_mut().zip(tint).for_each(|(value, tint)| *value *= tint);
        }
        let averaged = 1.0 / (1.0 + 0.4 * gsd);
        let canopy = if matches!(material, Material::Forest | Material::Conifer | Material::Town) { 2.0 } else { 1.0 };
        let (forms, fine) = (random.log_range(25.0, 160.0), random.range(3.0, 9.0));
        let stretch = random.range(1.0, 3.0);
        Self {
            usual,
            patches,
            mottle: random.range(0.2, 1.0),
            forms: Patch::stretched(random, forms, stretch),
            fine: Patch::new(random, fine),
            fine_strength: canopy * random.range(0.3, 1.0) * material.roughness() * (0.4 + 0.6 * averaged),
            grain: random.range(0.3, 0.9) * material.roughness() * (0.4 + 0.6 * averaged),
            rows: [None; 2],
        }
    }

    /// The same, with rows.
    pub(crate) fn with_rows(mut self, rows: [Option<Rows>; 2]) -> Self {
        self.rows = rows.map(|r| r.filter(|r| r.strength != 0.0));
        self
    }

    /// The same, rough in forms of `size` pixels, as tree crowns are.
    pub(crate) fn with_fine(mut self, size: f32, random: &mut Random) -> Self {
        self.fine = Patch::new(random, size.max(2.0));
        self
    }

    /// Reflectance at a pixel.
    pub(crate) fn at(&self, x: f32, y: f32) -> Reflectance {
        self.at_rows(x, y, [x, y])
    }

    /// Reflectance at a pixel whose place along the rows is `straight`.
    pub(crate) fn at_rows(&self, x: f32, y: f32, straight: [f32; 2]) -> Reflectance {
        let mut reflectance = self.usual;
        let share = self.mottle * (0.3 + 0.7 * self.forms.fractal(x, y)).clamp(0.0, 1.0);
        blend(&mut reflectance, self.patches, share);
        let mut light = 1.0 + self.fine_strength * self.fine.speckle(x, y) + self.grain * grain(x, y);
        for rows in self.rows.iter().flatten() {
            light *= rows.shade(straight[0], straight[1]);
        }
        reflectance.map(|value| value * light.max(0.2))
    }

    /// Reflectance at a pixel, without patches: cheaper.
    pub(crate) fn plain(&self, x: f32, y: f32) -> Reflectance {
        let light = 1.0 + 1.5 * self.grain * grain(x, y);
        self.usual.map(|value| value * light)
    }

    /// Multiply by `light`.
    pub(crate) fn lighten(&mut self, light: f32) {
        for reflectance in [&mut self.usual, &mut self.patches] {
            *reflectance = reflectance.map(|value| value * light);
        }
    }

    /// The usual reflectance, without any variation.
    pub(crate) fn mean(&self) -> Reflectance {
        self.usual
    }
}
