//! Which range of values a raster holds.

use crate::coordinates::{Shape, Window};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::sample::{PixelValue, Pixels, RasterSample};
use crate::source::ChipSource;
use crate::value_range::{BandRange, ValueRange, ValueRangeChoice};
use crate::with_pixels;

/// Largest window that is read at once: wide enough for strips, and whole rows of the usual tiles.
const BLOCK: Shape = Shape::new(512, 8192);

/// Settle which values of a raster become 0 and 255: an implementation of [`ChipSource::value_range`] for any source.
///
/// Where statistics are needed, the part of `extent` on the raster is read in blocks, once for minimum and maximum, and
/// for percentiles once for every 16 bits of the element type; memory stays bounded whatever the extent. Only finite
/// values of valid pixels count. Percentiles are exact, with NumPy's default linear interpolation between neighbours
/// (64-bit integers beyond 2⁵³ are rounded). A band without any such value, while others have some, gets the range 0 to 0.
///
/// # Errors
/// [`Error::InvalidArgument`] for an unusable choice or an extent in which no pixel holds data, [`Error::OutOfBounds`] if
/// the extent misses the raster, [`Error::Cancelled`] when `progress` says so, and what [`ChipSource::read`] reports.
pub fn value_range(
    source: &dyn ChipSource,
    choice: ValueRangeChoice,
    extent: Window,
    progress: &dyn Progress,
) -> Result<ValueRange> {
    choice.validate()?;
    extent.validate()?;
    let on_raster = extent.clip(source.grid().shape).ok_or_else(|| Error::OutOfBounds {
        what: "the extent".to_string(),
        location: extent.to_string(),
        container: format!("the raster of {} pixels", source.grid().shape),
    })?;
    let ranges = match choice {
        ValueRangeChoice::PerChip => return Ok(ValueRange::PerChip),
        ValueRangeChoice::Fixed { min, max } => vec![BandRange { min, max }; source.bands().len()],
        ValueRangeChoice::Auto => {
            let first = source.read(Window { shape: Shape::square(1), ..on_raster })?;
            if matches!(first.pixels, Pixels::U8(_)) {
                return Ok(ValueRange::AsIs);
            }
            minimum_and_maximum(&Blocks { source, extent: on_raster, progress })?
        }
        ValueRangeChoice::Percentiles { low, high, joint } => {
            percentiles(&Blocks { source, extent: on_raster, progress }, [low, high], joint)?
        }
    };
    Ok(ValueRange::PerBand(ranges))
}

/// An extent of a raster that is read block by block.
struct Blocks<'a> {
    source: &'a dyn ChipSource,
    extent: Window,
    progress: &'a dyn Progress,
}

impl Blocks<'_> {
    /// Call `visit` with every block, row by row.
    fn for_each(&self, mut visit: impl FnMut(&RasterSample)) -> Result<()> {
        let Self { source, extent, progress } = self;
        let Shape { height, width } = extent.shape;
        progress.push_info(&format!("reading {extent} of {} for its value range", source.source_path()));
        for row in (0..height).step_by(BLOCK.height) {
            for column in (0..width).step_by(BLOCK.width) {
                if progress.is_canceled() {
                    return Err(Error::Cancelled { done: 0, total: 1 });
                }
                let shape = Shape::new(BLOCK.height.min(height - row), BLOCK.width.min(width - column));
                visit(&source.read(Window::new(extent.column + column as i64, extent.row + row as i64, shape))?);
            }
        }
        Ok(())
    }

    fn bands(&self) -> usize {
        self.source.bands().len()
    }

    fn no_data(&self) -> Error {
        Error::invalid_argument(
            "extent",
            "at least one pixel that holds data",
            format_args!("none among {} of {}", self.extent, self.source.source_path()),
        )
    }
}

/// The finite values of a band's valid pixels.
fn values<'a, T: PixelValue>(sample: &'a RasterSample, band: usize, all: &'a [T]) -> impl Iterator<Item = T> + 'a {
    let area = sample.shape().area();
    let valid = sample.valid.as_deref();
    all[band * area..][..area]
        .iter()
        .enumerate()
        .filter(move |(i, v)| valid.is_none_or(|valid| valid[*i]) && v.to_f64().is_finite())
        .map(|(_, v)| *v)
}

fn minimum_and_maximum(blocks: &Blocks<'_>) -> Result<Vec<BandRange>> {
    let nothing = BandRange { min: f64::INFINITY, max: f64::NEG_INFINITY };
    let mut ranges = vec![nothing; blocks.bands()];
    blocks.for_each(|sample| {
        for (band, range) in ranges.iter_mut().enumerate() {
            *range = with_pixels!(&sample.pixels, all => values(sample, band, all).fold(*range, |range, v| {
                BandRange { min: range.min.min(v.to_f64()), max: range.max.max(v.to_f64()) }
            }));
        }
    })?;
    if ranges.iter().all(|range| range.min > range.max) {
        return Err(blocks.no_data());
    }
    let or_zero = |range: BandRange| if range.min > range.max { BandRange { min: 0.0, max: 0.0 } } else { range };
    Ok(ranges.into_iter().map(or_zero).collect())
}

fn percentiles(blocks: &Blocks<'_>, percents: [f64; 2], joint: bool) -> Result<Vec<BandRange>> {
    let bands = blocks.bands();
    let mut selections: Vec<RadixSelection> =
        (0..if joint { 1 } else { bands }).map(|_| RadixSelection::new(percents)).collect();
    // The number of passes is that of the element type's digits, known after the first block.
    loop {
        blocks.for_each(|sample| {
            with_pixels!(&sample.pixels, all => for band in 0..bands {
                selections[if joint { 0 } else { band }].count(values(sample, band, all));
            });
        })?;
        if selections.iter().all(RadixSelection::is_empty) {
            return Err(blocks.no_data());
        }
        selections.iter_mut().for_each(RadixSelection::descend);
        if selections.iter().all(RadixSelection::is_finished) {
            break;
        }
    }
    let ranges: Vec<_> = selections.iter().map(RadixSelection::range).collect();
    Ok(if joint { vec![ranges[0]; bands] } else { ranges })
}

/// Exact order statistics of values that are seen several times but never kept: a radix selection.
///
/// Values are mapped to unsigned integers of the same order, which have one, two or four digits of 16 bits. Each pass
/// counts the values by one digit, most significant first, among those that share the digits found so far.
struct RadixSelection {
    percents: [f64; 2],
    /// Number of values, known after the first pass.
    total: u64,
    /// Digits of the element type; 0 until a value has been seen.
    digits: u32,
    decode: fn(u64) -> f64,
    /// Digits settled so far.
    settled: u32,
    /// The values that are looked for: two neighbours for each percentile.
    targets: Vec<Target>,
    /// One histogram for each different prefix among the targets.
    histograms: Vec<(u64, Vec<u64>)>,
}

/// A value that is looked for.
#[derive(Clone, Copy)]
struct Target {
    /// Its settled digits.
    prefix: u64,
    /// Its rank, from 0, among the values with this prefix.
    rank: u64,
}

impl RadixSelection {
    const BASE: usize = 1 << 16;

    fn new(percents: [f64; 2]) -> Self {
        let histograms = vec![(0, vec![0; Self::BASE])];
        Self { percents, total: 0, digits: 0, decode: |_| 0.0, settled: 0, targets: Vec::new(), histograms }
    }

    fn is_empty(&self) -> bool {
        self.digits == 0
    }

    fn is_finished(&self) -> bool {
        self.settled == self.digits
    }

    fn count<T: Ordered>(&mut self, values: impl Iterator<Item = T>) {
        let shift = 16 * (T::DIGITS - 1 - self.settled.min(T::DIGITS - 1));
        for value in values {
            (self.digits, self.decode) = (T::DIGITS, T::decode);
            let leading = value.encode() >> shift;
            let prefix = leading >> 16;
            for (_, histogram) in self.histograms.iter_mut().filter(|(own, _)| *own == prefix) {
                histogram[leading as usize % Self::BASE] += 1;
            }
        }
    }

    /// Settle one more digit of each target.
    fn descend(&mut self) {
        if self.is_finished() {
            return;
        }
        if self.settled == 0 {
            self.total = self.histograms[0].1.iter().sum();
            let last = self.total - 1;
            self.targets = self
                .percents
                .map(|percent| (position(percent, self.total) as u64).min(last))
                .iter()
                .flat_map(|&rank| [rank, (rank + 1).min(last)])
                .map(|rank| Target { prefix: 0, rank })
                .collect();
        }
        for target in &mut self.targets {
            let histogram = self.histograms.iter().find(|(prefix, _)| *prefix == target.prefix);
            for (digit, count) in histogram.iter().flat_map(|(_, histogram)| histogram.iter().enumerate()) {
                if target.rank < *count {
                    target.prefix = (target.prefix << 16) | digit as u64;
                    break;
                }
                target.rank -= count;
            }
        }
        self.settled += 1;
        let mut prefixes: Vec<_> = self.targets.iter().map(|target| target.prefix).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        self.histograms = prefixes.into_iter().map(|prefix| (prefix, vec![0; Self::BASE])).collect();
    }

    fn range(&self) -> BandRange {
        if self.is_empty() {
            return BandRange { min: 0.0, max: 0.0 };
        }
        let value = |which: usize| {
            let [below, above] = [0, 1].map(|i| (self.decode)(self.targets[2 * which + i].prefix));
            below + (above - below) * position(self.percents[which], self.total).fract()
        };
        BandRange { min: value(0), max: value(1) }
    }
}

/// Where a percentile lies among `total` sorted values, between two ranks.
fn position(percent: f64, total: u64) -> f64 {
    percent / 100.0 * (total - 1) as f64
}

/// An element type as unsigned integers of the same order.
trait Ordered: PixelValue {
    /// Digits of 16 bits.
    const DIGITS: u32;
    fn encode(self) -> u64;
    fn decode(code: u64) -> f64;
}

macro_rules! ordered_integers {
    ($($t:ty, $digits:expr);*) => {$(
        #[allow(clippy::cast_lossless)]
        impl Ordered for $t {
            const DIGITS: u32 = $digits;
            // Counted from the smallest value of the type.
            fn encode(self) -> u64 { (self as i128 - <$t>::MIN as i128) as u64 }
            fn decode(code: u64) -> f64 { (code as i128 + <$t>::MIN as i128) as f64 }
        }
    )*};
}
ordered_integers!(u8, 1; i8, 1; u16, 1; i16, 1; u32, 2; i32, 2; u64, 4; i64, 4);

macro_rules! ordered_floats {
    ($($t:ty, $bits:ty, $digits:expr);*) => {$(
        #[allow(clippy::cast_lossless)]
        impl Ordered for $t {
            const DIGITS: u32 = $digits;
            // IEEE 754 sorts like sign and magnitude: flip the sign of positive numbers, everything of negative ones.
            fn encode(self) -> u64 {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let bits = self.to_bits();
                (if bits & SIGN == 0 { bits | SIGN } else { !bits }) as u64
            }
            fn decode(code: u64) -> f64 {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let code = code as $bits;
                <$t>::from_bits(if code & SIGN == 0 { !code } else { code & !SIGN }) as f64
            }
        }
    )*};
}
ordered_floats!(f32, u32, 2; f64, u64, 4);
