//! A scene as the eight-bit picture of three bands that a model is shown.

use super::Scene;
use super::random::Random;
use geosam::Pixels;

/// Which bands are shown as red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BandOrder {
    /// Red, green, blue.
    TrueColour,
    /// Near infrared, red, green.
    FalseColour,
    /// Red, near infrared, green: vegetation is green, as Landsat is often shown.
    NaturalLooking,
    /// Blue, green, red.
    Reversed,
    /// One band three times; 0 is red, 3 near infrared.
    Grey(usize),
}

impl BandOrder {
    fn bands(self) -> [usize; 3] {
        match self {
            Self::TrueColour => [0, 1, 2],
            Self::FalseColour => [3, 0, 1],
            Self::NaturalLooking => [0, 3, 1],
            Self::Reversed => [2, 1, 0],
            Self::Grey(band) => [band; 3],
        }
    }
}

/// How reflectance becomes a byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stretch {
    /// Least and greatest value of all three bands.
    MinMax,
    /// Percentiles `low` and 100 - `low` of each band, or of the three together.
    Percentiles { low: f32, joint: bool },
    /// 0 to `white`, the same for every scene, with square root shading if `bright`.
    Fixed { white: f32, bright: bool },
}

/// Bands and stretch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PictureStyle {
    pub(crate) order: BandOrder,
    pub(crate) stretch: Stretch,
}

impl Default for PictureStyle {
    /// True colour between the first and the last percent.
    fn default() -> Self {
        Self { order: BandOrder::TrueColour, stretch: Stretch::Percentiles { low: 1.0, joint: true } }
    }
}

impl PictureStyle {
    /// A style as rasters come: mostly true colour, often false colour, sometimes grey.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x57f1e);
        let order = random.weighted(&[
            (BandOrder::TrueColour, 0.55),
            (BandOrder::FalseColour, 0.2),
            (BandOrder::NaturalLooking, 0.1),
            (BandOrder::Reversed, 0.05),
            (BandOrder::Grey(0), 0.05),
            (BandOrder::Grey(3), 0.05),
        ]);
        let low = random.range(0.1, 3.0);
        let joint = random.chance(0.5);
        let (white, bright) = (random.range(2200.0, 4500.0), random.chance(0.5));
        let stretch = random.weighted(&[
            (Stretch::MinMax, 0.3),
            (Stretch::Percentiles { low, joint }, 0.4),
            (Stretch::Fixed { white, bright }, 0.3),
        ]);
        Self { order, stretch }
    }
}

impl Scene {
    /// The picture, `[3, height, width]`.
    pub(crate) fn rgb(&self, style: PictureStyle) -> Vec<u8> {
        let Pixels::U16(values) = &self.pixels else { unreachable!("scenes are drawn in 16 bits") };
        let area = self.grid.shape.area();
        let bands = style.order.bands().map(|band| &values[band * area..(band + 1) * area]);
        let [joint, first, second, third] = match style.stretch {
            Stretch::MinMax => [limits(&bands, 0.0), [0; 2], [0; 2], [0; 2]],
            Stretch::Percentiles { low, .. } => {
                [limits(&bands, low), limits(&bands[..1], low), limits(&bands[1..2], low), limits(&bands[2..], low)]
            }
            Stretch::Fixed { white, .. } => [[0, white as u16]; 4],
        };
        let (apart, bright) = match style.stretch {
            Stretch::Percentiles { joint, .. } => (!joint, false),
            Stretch::Fixed { bright, .. } => (false, bright),
            Stretch::MinMax => (false, false),
        };
        let mut picture = Vec::with_capacity(3 * area);
        for (band, own) in bands.into_iter().zip([first, second, third]) {
            let [low, high] = if apart { own } else { joint };
            let scale = 1.0 / f32::from(high.saturating_sub(low).max(1));
            picture.extend(band.iter().map(|value| {
                let share = (f32::from(value.saturating_sub(low)) * scale).min(1.0);
                (255.0 * if bright { share.sqrt() } else { share } + 0.5) as u8
            }));
        }
        picture
    }
}

/// The percentiles `low` and 100 - `low` of some bands, from every pixel.
fn limits(bands: &[&[u16]], low: f32) -> [u16; 2] {
    let mut counts = vec![0usize; 10_001];
    for band in bands {
        band.iter().for_each(|value| counts[usize::from(*value).min(10_000)] += 1);
    }
    let total: usize = counts.iter().sum();
    let cut = (total as f32 * low / 100.0) as usize;
    let end = |values: Vec<usize>| {
        let mut passed = 0;
        let reaches = |value: &usize| {
            passed += counts[*value];
            passed > cut
        };
        values.into_iter().find(reaches).unwrap_or(0) as u16
    };
    [end((0..counts.len()).collect()), end((0..counts.len()).rev().collect())]
}
