//! GPUs, through burn's CubeCL backend.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor, TensorData};
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig};
use geosam_core::{Error, Result};

use super::{DeviceChoice, OpenDevice};
use crate::runtime_panic::message_of;

/// The first of each kind of device in this build.
const KINDS: &[DeviceChoice] = &[
    #[cfg(feature = "cuda")]
    DeviceChoice::Cuda(0),
    #[cfg(feature = "wgpu")]
    DeviceChoice::Wgpu(0),
];

/// The first GPU that works, or the CPU and why.
pub(super) fn first_that_works() -> OpenDevice {
    configure();
    let (listed, mut passed_over) = (listed(), Vec::new());
    for kind in KINDS {
        if count(&listed, *kind) == 0 {
            passed_over.push(format!("{kind}: {}", absence(*kind)));
        }
    }
    for (choice, device) in listed {
        if is_software(&device) {
            passed_over.push(format!("{choice}: a software renderer, slower than the CPU by itself"));
            continue;
        }
        match try_out(choice, &device) {
            Ok(name) => return OpenDevice { device: Device::new(DispatchDevice::Cube(device)), name, passed_over },
            Err(reason) => passed_over.push(format!("{choice}: {reason}")),
        }
    }
    OpenDevice::cpu(passed_over)
}

/// The GPU that is meant.
pub(super) fn open(choice: DeviceChoice) -> Result<OpenDevice> {
    configure();
    let unsupported = |reason| Error::Unsupported { what: format!("device {choice}"), reason };
    let listed = listed();
    let (_, device) = listed.iter().find(|(listed, _)| *listed == choice).ok_or_else(|| {
        unsupported(match count(&listed, choice) {
            0 => format!("{}, or use --device cpu", absence(choice)),
            1 => "this machine has one such device, number 0".to_string(),
            n => format!("this machine has {n} such devices, numbers 0 to {}", n - 1),
        })
    })?;
    let name = try_out(choice, device).map_err(unsupported)?;
    Ok(OpenDevice { device: Device::new(DispatchDevice::Cube(device.clone())), name, passed_over: Vec::new() })
}

/// Every device of every runtime in this build, in the order of preference.
fn listed() -> Vec<(DeviceChoice, cubecl::Device)> {
    let (mut cuda, mut wgpu) = (0.., 0..);
    let mut choices: Vec<_> = cubecl::Device::enumerate_all()
        .into_iter()
        .filter_map(|device| match device {
            cubecl::Device::Cuda(_) => cuda.next().map(|index| (DeviceChoice::Cuda(index), device)),
            cubecl::Device::Wgpu(_) => wgpu.next().map(|index| (DeviceChoice::Wgpu(index), device)),
            _ => None,
        })
        .collect();
    choices.sort_by_key(|(choice, _)| matches!(choice, DeviceChoice::Wgpu(_)));
    choices
}

/// How many devices there are of the kind of `choice`.
fn count(listed: &[(DeviceChoice, cubecl::Device)], choice: DeviceChoice) -> usize {
    let kind = std::mem::discriminant(&choice);
    listed.iter().filter(|(choice, _)| std::mem::discriminant(choice) == kind).count()
}

/// Why a machine has no device of a kind, and what to do.
fn absence(choice: DeviceChoice) -> &'static str {
    match choice {
        DeviceChoice::Wgpu(_) => "no adapter was found; install a Vulkan driver",
        _ => "no NVIDIA GPU was found; install NVIDIA's driver, which brings libcuda, if there is one",
    }
}

fn is_software(device: &cubecl::Device) -> bool {
    matches!(device, cubecl::Device::Wgpu(device) if device.kind == cubecl::device::WgpuDeviceKind::Cpu)
}

/// What the kernels of NVIDIA's GPUs cannot be compiled without, tried before cubecl does: it compiles on a thread of its own,
/// where an error is only logged.
#[cfg(feature = "cuda-nvrtc")]
fn check_toolkit(choice: DeviceChoice) -> std::result::Result<(), String> {
    use cubecl::cuda::install::{cccl_include_path, cuda_path, include_path};
    use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};

    if !matches!(choice, DeviceChoice::Cuda(_)) {
        return Ok(());
    }
    if cuda_path().is_none() {
        let remedy = "no CUDA toolkit was found; install one of the driver's version, and set CUDA_PATH to its folder";
        return Err(remedy.to_string());
    }
    let include_paths = [include_path(), cccl_include_path()].map(|path| path.to_string_lossy().into_owned()).into();
    let options = CompileOptions { include_paths, ..CompileOptions::default() };
    let compile =
        || compile_ptx_with_opts("#include <cuda_fp16.h>\nextern \"C\" __global__ void nothing() {}", options);
    match catch_unwind(AssertUnwindSafe(compile)) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(CompileError::CompileError { log, .. })) => {
            Err(explained(&format!("headers: {}", log.to_string_lossy())))
        }
        Ok(Err(error)) => Err(explained(&format!("nvrtc: {error}"))),
        Err(panic) => Err(explained(&message_of(&*panic))),
    }
}

/// Lets the device compute, and compares. Its name, or what is wrong with it.
fn try_out(choice: DeviceChoice, device: &cubecl::Device) -> std::result::Result<String, String> {
    const SIDE: usize = 16;
    #[cfg(feature = "cuda-nvrtc")]
    check_toolkit(choice)?;
    let compute = || {
        let device = Device::new(DispatchDevice::Cube(device.clone()));
        let ascending = (0..SIDE * SIDE).map(|value| value as f32 / 64.0).collect();
        let x = Tensor::<2>::from_data(TensorData::new(ascending, [SIDE, SIDE]), (&device, DType::F32));
        // Every kind of kernel that a network cannot do without: a product, an elementwise function, a reduction.
        let sum = (x.clone().matmul(x.transpose()) * 0.01).exp().sum();
        sum.try_into_data().map_err(|error| format!("{error:?}"))?.try_into_vec::<f32>().map_err(|e| format!("{e:?}"))
    };
    let value = |row: usize, column: usize| (row * SIDE + column) as f64 / 64.0;
    let product = |i: usize, j: usize| (0..SIDE).map(|k| value(i, k) * value(j, k)).sum::<f64>();
    let expected: f64 = (0..SIDE * SIDE).map(|at| (0.01 * product(at / SIDE, at % SIDE)).exp()).sum();
    match catch_unwind(AssertUnwindSafe(compute)) {
        Ok(Ok(found)) if (f64::from(found[0]) - expected).abs() <= 1e-2 * expected => {
            let name = device.client().properties().identity.name.clone();
            Ok(format!("{choice} ({name})"))
        }
        Ok(Ok(found)) => Err(format!("it computes {} where {expected} is right; update its driver", found[0])),
        Ok(Err(reason)) => Err(explained(&reason)),
        Err(panic) => Err(explained(&message_of(&*panic))),
    }
}

/// What the runtime said, with the remedy where it is known.
fn explained(reason: &str) -> String {
    let remedy = match reason.to_lowercase() {
        r if r.contains("nvrtc") => "libnvrtc is missing; install a CUDA toolkit of the driver's version",
        r if r.contains("include") || r.contains("header") => {
            "the CUDA headers are missing; install a CUDA toolkit and set CUDA_PATH to its folder"
        }
        r if r.contains("libdevice") => {
            "libdevice.10.bc is missing; install a CUDA toolkit and set CUDA_PATH to its folder"
        }
        _ => "it does not work; update its driver, or use --device cpu",
    };
    let first = reason.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message").trim();
    format!("{remedy} ({first})")
}

/// Compiled kernels and the results of tuning go to the user's cache folder, unless the program has decided otherwise:
/// what it has set through `cubecl` before is kept, as are `cubecl`'s environment variables.
fn configure() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut config = CubeClRuntimeConfig::default();
        config.compilation.cache = true;
        config.environment.path = CacheConfig::Global;
        CubeClRuntimeConfig::try_set(config.override_from_env());
    });
}

/// Bytes of an NVIDIA GPU's memory that nobody uses.
#[cfg(feature = "cuda")]
pub(super) fn free_memory(device: &Device) -> Option<u64> {
    let DispatchDevice::Cube(cubecl::Device::Cuda(device)) = device.as_dispatch() else { return None };
    let context = cudarc::driver::CudaContext::new(device.index).ok()?;
    let (free, _) = context.mem_get_info().ok()?;
    u64::try_from(free).ok()
}

/// No other runtime tells.
#[cfg(not(feature = "cuda"))]
pub(super) fn free_memory(_: &Device) -> Option<u64> {
    None
}

pub(super) fn has_f16_tensor_cores(device: &Device) -> bool {
    let DispatchDevice::Cube(device) = device.as_dispatch() else { return false };
    let client = device.client();
    let f16 = cubecl::ir::ElemType::Float(cubecl::ir::FloatKind::F16);
    client.properties().features.matmul.cmma.iter().any(|cmma| cmma.a_type == f16 && cmma.b_type == f16)
}
