//! Where models run: which device is meant, and which one is there.

#[cfg(feature = "gpu")]
mod gpu;

use burn::tensor::{DType, Device};
use geosam_core::{Error, Precision, Result};

/// Where a model runs. Read from text: `auto`, `cpu`, `cuda:N` or `wgpu:N`, and `cuda` and `wgpu` for the first of each.
/// Every build reads every one of them; what the build or the machine lacks is an error when the model is loaded.
///
/// ```
/// use geosam_models::DeviceChoice;
///
/// assert_eq!("cuda".parse::<DeviceChoice>()?, DeviceChoice::Cuda(0));
/// assert_eq!(DeviceChoice::Wgpu(1).to_string(), "wgpu:1");
/// # Ok::<(), geosam_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that this build can use and that computes what it should, CUDA before wgpu; else the CPU.
    #[default]
    Auto,
    /// The CPU, on all of its cores.
    Cpu,
    /// The NVIDIA GPU of this number, as the driver counts. Needs a build with the feature `cuda` or `cuda-nvrtc`.
    Cuda(usize),
    /// The adapter of this number that Vulkan, Metal or DirectX 12 offers. Needs a build with the feature `wgpu`.
    Wgpu(usize),
}

impl std::str::FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, number) = text.split_once(':').map_or((text, None), |(kind, number)| (kind, Some(number)));
        let index = number.map_or(Some(0), |number| number.parse().ok());
        match (kind, number, index) {
            ("auto", None, _) => Ok(Self::Auto),
            ("cpu", None, _) => Ok(Self::Cpu),
            ("cuda", _, Some(index)) => Ok(Self::Cuda(index)),
            ("wgpu", _, Some(index)) => Ok(Self::Wgpu(index)),
            _ => Err(Error::invalid_argument("device", "auto, cpu, cuda, cuda:N, wgpu or wgpu:N", text)),
        }
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
        }
    }
}

/// A device that works.
#[derive(Clone, Debug)]
pub(crate) struct OpenDevice {
    pub(crate) device: Device,
    /// What was chosen and what it is called, e.g. `cuda:0 (NVIDIA L4)`.
    pub(crate) name: String,
    /// What [`DeviceChoice::Auto`] would have preferred, and why it was not to be had.
    pub(crate) passed_over: Vec<String>,
}

impl OpenDevice {
    fn cpu(passed_over: Vec<String>) -> Self {
        Self { device: Device::flex(), name: DeviceChoice::Cpu.to_string(), passed_over }
    }

    /// Refuses a precision that the device does not compute in.
    pub(crate) fn check_precision(&self, precision: Precision) -> Result<()> {
        let unsupported = |reason: &str| {
            Err(Error::Unsupported {
                what: format!("precision {precision} on {}", self.name),
                reason: reason.to_string(),
            })
        };
        match precision {
            Precision::F16 if is_cpu(&self.device) => {
                unsupported("processors have bf16 and f32; use one of them, or choose a GPU")
            }
            _ if is_cpu(&self.device) || self.device.supports_dtype(dtype(precision)) => Ok(()),
            _ => unsupported("the device does not compute in it; use f32"),
        }
    }

    /// Bytes of device memory that nobody uses, where that can be known.
    pub(crate) fn free_memory(&self) -> Option<u64> {
        #[cfg(feature = "gpu")]
        {
            gpu::free_memory(&self.device)
        }
        #[cfg(not(feature = "gpu"))]
        {
            None
        }
    }
}

/// The type that weights and products of the encoder have on a GPU.
pub(crate) fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
        Precision::F16 => DType::F16,
    }
}

/// Whether tensors of this device are those that the CPU kernels work on.
pub(crate) fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// Whether burn has a kernel for this device that attends without keeping all logits: its products are those of f16 tensor
/// cores.
pub(crate) fn has_flash_attention(device: &Device) -> bool {
    #[cfg(feature = "gpu")]
    {
        gpu::has_f16_tensor_cores(device)
    }
    #[cfg(not(feature = "gpu"))]
    {
        let _ = device;
        false
    }
}

impl DeviceChoice {
    /// The device, after a computation on it that came out right.
    pub(crate) fn open(self) -> Result<OpenDevice> {
        let (built, remedy) = match self {
            Self::Auto | Self::Cpu => (true, ""),
            Self::Wgpu(_) => (cfg!(feature = "wgpu"), "build with --features wgpu, or use --device cpu"),
            Self::Cuda(_) => (
                cfg!(feature = "cuda"),
                "build with --features cuda, or cuda-nvrtc where a CUDA toolkit is installed, or use --device cpu",
            ),
        };
        if !built {
            let reason = format!("this build is without it; {remedy}");
            return Err(Error::Unsupported { what: format!("device {self}"), reason });
        }
        #[cfg(feature = "gpu")]
        match self {
            Self::Cpu => {}
            Self::Auto => return Ok(gpu::first_that_works()),
            Self::Cuda(_) | Self::Wgpu(_) => return gpu::open(self),
        }
        Ok(OpenDevice::cpu(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn text_forms_go_there_and_back() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda:0", DeviceChoice::Cuda(0)),
            ("cuda:3", DeviceChoice::Cuda(3)),
            ("wgpu:1", DeviceChoice::Wgpu(1)),
        ] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        assert_eq!("wgpu".parse::<DeviceChoice>().unwrap(), DeviceChoice::Wgpu(0));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "auto:1", "CUDA"] {
            let error = wrong.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains("auto, cpu, cuda") && error.ends_with(wrong), "{error}");
        }
    }

    #[test]
    fn the_cpu_has_no_f16() {
        let cpu = DeviceChoice::Cpu.open().unwrap();
        assert!(cpu.check_precision(Precision::F32).is_ok() && cpu.check_precision(Precision::Bf16).is_ok());
        let error = cpu.check_precision(Precision::F16).unwrap_err().to_string();
        assert_eq!(
            error,
            "precision f16 on cpu is not supported: processors have bf16 and f32; use one of them, or choose a GPU"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_how_to_get_it() {
        let error = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
        assert_eq!(
            error,
            "device cuda:0 is not supported: this build is without it; build with --features cuda, or cuda-nvrtc where \
             a CUDA toolkit is installed, or use --device cpu"
        );
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn a_build_without_wgpu_says_how_to_get_it() {
        let error = DeviceChoice::Wgpu(0).open().unwrap_err().to_string();
        assert!(error.contains("this build is without it; build with --features wgpu"), "{error}");
    }

    #[cfg(not(feature = "gpu"))]
    #[test]
    fn auto_without_gpus_in_the_build_is_the_cpu_and_passes_nothing_over() {
        let device = DeviceChoice::Auto.open().unwrap();
        assert_eq!((device.name.as_str(), device.passed_over.len()), ("cpu", 0));
    }
}
