//! Where models run.

use burn::tensor::Device;
use geosam_core::{Error, Result};

/// Where a model runs. Read from text: `auto` or `cpu`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The fastest device of this machine that this build can use; today that is the CPU.
    #[default]
    Auto,
    /// The CPU, on all of its cores.
    Cpu,
}

impl DeviceChoice {
    pub(crate) fn device(self) -> Device {
        match self {
            Self::Auto | Self::Cpu => Device::flex(),
        }
    }
}

impl std::str::FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            other => Err(Error::Unsupported {
                what: format!("device {other}"),
                reason: "this build has the CPU only; use auto or cpu".to_string(),
            }),
        }
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
        })
    }
}
