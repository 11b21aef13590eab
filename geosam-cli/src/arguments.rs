//! Options that several commands share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use geosam::{
    BoundingBox, Crs, DeviceChoice, Error, Label, LegacySettings, ModelOptions, Osr, Precision, Preprocess,
    RasterDataset, RasterOptions, Resampling, Result, Sam, Shape, Tiling, ValueRangeChoice, Window, WorldPoint,
    load_model,
};

use crate::console::print_note;

/// How a raster is read.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RasterArguments {
    /// Bands to read, the first being 1 [default: the first three]
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    pub(crate) bands: Option<Vec<usize>>,
    /// Resolution in metres a pixel [default: the raster's]
    #[arg(long, value_name = "METRES", allow_hyphen_values = true)]
    pub(crate) res: Option<f64>,
    /// CRS of a raster that has none, or a wrong one
    #[arg(long, value_name = "CRS")]
    pub(crate) assume_crs: Option<Crs>,
    /// nearest, bilinear, cubic, cubicspline, lanczos, average or mode [default: average]
    #[arg(long, value_name = "NAME")]
    pub(crate) resampling: Option<Resampling>,
}

impl RasterArguments {
    /// The first of the options that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        first_given([
            (self.bands.is_some(), "--bands"),
            (self.res.is_some(), "--res"),
            (self.assume_crs.is_some(), "--assume-crs"),
            (self.resampling.is_some(), "--resampling"),
        ])
    }

    /// Open the raster, in `crs` if one is given.
    pub(crate) fn open(&self, raster: &str, crs: Option<Crs>, settings: &LegacySettings) -> Result<Arc<RasterDataset>> {
        let mut options = RasterOptions {
            bands: self.bands.clone().or_else(|| settings.bands.clone()),
            crs: crs.or_else(|| settings.crs.clone()),
            resolution: self.res.or(settings.resolution),
            assume_crs: self.assume_crs.clone(),
            ..RasterOptions::default()
        };
        if let Some(resampling) = self.resampling {
            options.resampling = resampling;
        }
        RasterDataset::open(raster, &options).map(Arc::new)
    }
}

/// Where chips lie.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct GridArguments {
    /// Side of a chip in pixels [default: the model's input: 256 with geosam_nano, 1008 with SAM 3, else 1024]
    #[arg(long, value_name = "N")]
    pub(crate) chip_size: Option<usize>,
    /// Whether chips overlap; a prompt for an object that lies whole in no chip is answered in part [default: overlapping]
    #[arg(long, value_name = "HOW")]
    pub(crate) tiling: Option<TilingChoice>,
    /// Pixels from one overlapping chip to the next [default: half a chip]
    #[arg(long, value_name = "N")]
    pub(crate) stride: Option<usize>,
    /// CRS to bring the raster into [default: the raster's]
    #[arg(long)]
    pub(crate) crs: Option<Crs>,
    /// Part of the raster to use, in the given CRS or else the raster's [default: all of it]
    #[arg(long, value_name = "MINX,MINY,MAXX,MAXY [CRS]", allow_hyphen_values = true)]
    pub(crate) extent: Option<Extent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TilingChoice {
    /// Every --stride pixels, or every half chip
    Overlapping,
    /// Side by side, the last row and column moved inwards: fewest chips, as Geo-SAM2 lays them
    NonOverlapping,
}

impl GridArguments {
    /// The first of the options that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        first_given([
            (self.chip_size.is_some(), "--chip-size"),
            (self.tiling.is_some(), "--tiling"),
            (self.stride.is_some(), "--stride"),
            (self.crs.is_some(), "--crs"),
            (self.extent.is_some(), "--extent"),
        ])
    }

    /// The pixels of the raster to use.
    pub(crate) fn window(&self, raster: &RasterDataset, settings: &LegacySettings) -> Result<Window> {
        use geosam::{ChipSource, CrsTransform};
        let grid = raster.grid();
        let extent = match (&self.extent, &settings.extent) {
            (Some(extent), _) => extent.bounds(&grid.crs)?,
            (None, Some(legacy)) => legacy.resolve(&grid.bounds(), |b| Osr.transform_bounds(b, &grid.crs))?,
            (None, None) => return Ok(Window::whole(grid.shape)),
        };
        raster.window_of(&extent)
    }

    /// Size of a chip.
    pub(crate) fn chip(&self, image_size: usize) -> Shape {
        Shape::square(self.chip_size.unwrap_or(image_size))
    }

    /// How far apart chips lie. An option comes before the settings, so that --tiling overrules their STRIDE.
    pub(crate) fn tiling(&self, settings: &LegacySettings) -> Result<Tiling> {
        match (self.tiling, self.stride, settings.stride) {
            (Some(TilingChoice::NonOverlapping), Some(stride), _) => Err(Error::invalid_argument(
                "--stride",
                "none beside --tiling non-overlapping, which lays chips side by side",
                format_args!("{stride}; leave one of the two out"),
            )),
            (Some(TilingChoice::NonOverlapping), None, _) => Ok(Tiling::NonOverlapping),
            (_, Some(stride), _) | (None, None, Some(stride)) => Ok(Tiling::Stride(Shape::square(stride))),
            (_, None, _) => Ok(Tiling::HalfOverlap),
        }
    }
}

/// The name of the first option that is given.
fn first_given<const N: usize>(options: [(bool, &'static str); N]) -> Option<&'static str> {
    options.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
}

/// Refuses an option that says how a raster is read, where features are.
pub(crate) fn refuse_with_folder(given: Option<&'static str>) -> Result<()> {
    let expected = "none about reading a raster with a feature folder, where that was settled when it was encoded";
    given.map_or(Ok(()), |option| Err(Error::invalid_argument("options", expected, option)))
}

/// How values become bytes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RangeArguments {
    /// Values that become 0 and 255 [default: 8-bit as it is, else each band's minimum and maximum over the extent]
    #[arg(long, value_name = "MIN,MAX", conflicts_with = "percentiles", allow_hyphen_values = true)]
    pub(crate) value_range: Option<Pair>,
    /// Percentiles of each band over the extent that become 0 and 255, for example 2,98
    #[arg(long, value_name = "LO,HI")]
    pub(crate) percentiles: Option<Pair>,
}

impl RangeArguments {
    /// The first of the options that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        first_given([(self.value_range.is_some(), "--value-range"), (self.percentiles.is_some(), "--percentiles")])
    }

    pub(crate) fn choice(&self, preprocess: Preprocess, settings: &LegacySettings) -> Result<ValueRangeChoice> {
        let choice = match (self.value_range, self.percentiles, settings.value_range) {
            (Some(Pair(min, max)), _, _) => ValueRangeChoice::Fixed { min, max },
            (_, Some(Pair(low, high)), _) => ValueRangeChoice::Percentiles { low, high, joint: false },
            (_, _, Some(choice)) => choice,
            _ if preprocess == Preprocess::Geosam01 => ValueRangeChoice::PerChip,
            _ => ValueRangeChoice::Auto,
        };
        choice.validate()?;
        Ok(choice)
    }
}

/// Which model, where, and how it is fed.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelArguments {
    /// The model: an official, ultralytics or Hugging Face file, recognised by its content. Without one it is geosam_nano,
    /// which is part of this program
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// auto, cpu, cuda:N or wgpu:N; auto takes the first GPU that works and that this build is for, else the CPU. The first
    /// run on a GPU compiles and tunes its kernels, which takes minutes; they are kept in the user's cache folder, cubecl/
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
    /// How exactly chips are encoded: f32; bf16, about twice as fast on processors with AVX512-BF16; or f16, on GPUs only
    #[arg(long, value_name = "f32|bf16|f16", default_value = "f32")]
    pub(crate) precision: Precision,
    /// Prepare chips exactly as an earlier system did, to compare with its results or extend its folders
    #[arg(long, value_name = "SYSTEM")]
    pub(crate) compat: Option<Compat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compat {
    /// Python geosam 0.1.3
    #[value(name = "geosam-0.1")]
    Geosam01,
}

impl ModelArguments {
    pub(crate) fn preprocess(&self) -> Preprocess {
        match self.compat {
            Some(Compat::Geosam01) => Preprocess::Geosam01,
            None => Preprocess::Standard,
        }
    }

    pub(crate) fn load(&self, settings: &LegacySettings) -> Result<Arc<Sam>> {
        let options = ModelOptions { device: self.device, preprocess: self.preprocess(), precision: self.precision };
        let model = match self.checkpoint.as_deref().or(settings.checkpoint.as_deref()) {
            Some(path) => load_model(path, &options)?,
            #[cfg(feature = "nano")]
            None => geosam::load_nano(&options)?,
            #[cfg(not(feature = "nano"))]
            None => {
                let expected = "the path of a model file, for example sam_b.pt";
                return Err(Error::invalid_argument("--checkpoint", expected, "none"));
            }
        };
        for reason in model.passed_over() {
            print_note(&format!("{reason}; running on {}", model.device_name()));
        }
        Ok(Arc::new(model))
    }
}

/// Settings from a file, or none.
pub(crate) fn read_settings(path: Option<&Path>) -> Result<LegacySettings> {
    path.map_or_else(|| Ok(LegacySettings::default()), LegacySettings::read)
}

/// A number of bytes: `512MB`, `1.5 GB`, `256MiB`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) usize);

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
        let unit = match unit.to_ascii_lowercase().as_str() {
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "kib" => f64::from(1 << 10),
            "mib" => f64::from(1 << 20),
            "gib" => f64::from(1 << 30),
            _ => f64::NAN,
        };
        let bytes = number.trim().parse().unwrap_or(f64::NAN) * unit;
        if bytes.is_finite() && bytes >= 0.0 {
            Ok(Self(bytes as usize))
        } else {
            Err(format!("expected a number with KB, MB, GB, KiB, MiB or GiB, for example 512MB, found {text:?}"))
        }
    }
}

/// `A,B`
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair(pub(crate) f64, pub(crate) f64);

impl std::str::FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match numbers(text)?[..] {
            [a, b] => Ok(Self(a, b)),
            _ => Err(format!("expected two numbers, found {text:?}")),
        }
    }
}

/// `MINX,MINY,MAXX,MAXY [CRS]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extent {
    numbers: [f64; 4],
    crs: Option<Crs>,
}

impl Extent {
    fn bounds(&self, default_crs: &Crs) -> Result<BoundingBox> {
        let [left, bottom, right, top] = self.numbers;
        BoundingBox::new(left, bottom, right, top, self.crs.clone().unwrap_or_else(|| default_crs.clone()))
    }
}

impl std::str::FromStr for Extent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The brackets around the CRS may stand there or not: both "0,0,1,1 [EPSG:4326]" and "0,0,1,1 EPSG:4326".
        let (head, crs) = match text.trim().split_once(char::is_whitespace) {
            Some((head, tail)) if !head.ends_with(',') => {
                (head, Some(Crs::new(tail.trim().trim_start_matches('[').trim_end_matches(']'))))
            }
            _ => (text, None),
        };
        let numbers = numbers(head)?.try_into();
        Ok(Self { numbers: numbers.map_err(|_| format!("expected four numbers, found {text:?}"))?, crs })
    }
}

/// `L,B,R,T`
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BoxArgument(pub(crate) [f64; 4]);

impl std::str::FromStr for BoxArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = numbers(text)?.try_into();
        Ok(Self(numbers.map_err(|_| format!("expected left,bottom,right,top, found {text:?}"))?))
    }
}

/// `X,Y[,LABEL]`
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PointArgument {
    pub(crate) at: WorldPoint,
    pub(crate) label: Label,
}

impl std::str::FromStr for PointArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (x, y, label) = match numbers(text)?[..] {
            [x, y] => (x, y, 1.0),
            [x, y, label] => (x, y, label),
            _ => return Err(format!("expected X,Y or X,Y,LABEL, found {text:?}")),
        };
        let label = match label {
            1.0 => Label::Foreground,
            0.0 => Label::Background,
            other => return Err(format!("expected the label 1 (on the object) or 0 (not on it), found {other}")),
        };
        Ok(Self { at: WorldPoint::new(x, y), label })
    }
}

fn numbers(text: &str) -> Result<Vec<f64>, String> {
    text.split(',')
        .map(|n| n.trim().parse().ok().filter(|v: &f64| v.is_finite()))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("expected numbers separated by commas, found {text:?}"))
}
