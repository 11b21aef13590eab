//! How pixels are resampled.

use std::fmt;
use std::str::FromStr;

use geosam_core::Error;

/// Kernel for warping, and for reading at another size than the raster's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Resampling {
    /// The nearest pixel.
    Nearest,
    /// 2×2 pixels, weighted linearly.
    Bilinear,
    /// 4×4 pixels, cubic convolution.
    Cubic,
    /// 4×4 pixels, cubic B-spline.
    CubicSpline,
    /// 6×6 pixels, windowed sinc.
    Lanczos,
    /// Mean of all pixels that contribute; the default, as in Python geosam.
    #[default]
    Average,
    /// The value that occurs most often.
    Mode,
}

impl Resampling {
    /// All kernels, in GDAL's order.
    pub const ALL: [Self; 7] =
        [Self::Nearest, Self::Bilinear, Self::Cubic, Self::CubicSpline, Self::Lanczos, Self::Average, Self::Mode];

    /// The name on the command line, e.g. `cubicspline`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Cubic => "cubic",
            Self::CubicSpline => "cubicspline",
            Self::Lanczos => "lanczos",
            Self::Average => "average",
            Self::Mode => "mode",
        }
    }

    /// `GDALResampleAlg` and `GDALRIOResampleAlg` agree on these numbers.
    pub(crate) const fn to_gdal(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for Resampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Resampling {
    type Err = Error;

    /// The kernel of a [`Resampling::name`]; upper case, `_` and `-` are allowed.
    fn from_str(text: &str) -> Result<Self, Error> {
        let name = text.to_ascii_lowercase().replace(['_', '-'], "");
        Self::ALL.into_iter().find(|kernel| kernel.name() == name).ok_or_else(|| {
            Error::invalid_argument("resampling", format!("one of {}", Self::ALL.map(Self::name).join(", ")), text)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_are_read_back() {
        for kernel in Resampling::ALL {
            assert_eq!(kernel.name().parse::<Resampling>().unwrap(), kernel);
        }
        assert_eq!("Cubic_Spline".parse::<Resampling>().unwrap(), Resampling::CubicSpline);
        let error = "sharpest".parse::<Resampling>().unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid resampling: expected one of nearest, bilinear, cubic, cubicspline, lanczos, average, mode, \
             found sharpest"
        );
    }

    #[test]
    fn numbers_are_gdals() {
        use gdal_sys::GDALResampleAlg as Warp;
        let numbers = [
            Warp::GRA_NearestNeighbour,
            Warp::GRA_Bilinear,
            Warp::GRA_Cubic,
            Warp::GRA_CubicSpline,
            Warp::GRA_Lanczos,
            Warp::GRA_Average,
            Warp::GRA_Mode,
        ];
        assert_eq!(Resampling::ALL.map(Resampling::to_gdal), numbers);
    }
}
