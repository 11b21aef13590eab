//! What a GPU's runtime reports by panicking, as errors.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use burn::tensor::{DType, Tensor, TensorData};
use geosam_core::{Error, Result};

use crate::device::OpenDevice;
use crate::kernels::in_type;

/// The text of a panic.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_string())
}

/// Values of a tensor in row-major order.
///
/// Here a GPU reports what went wrong since it was last asked. That unwinds to [`on_gpu`], and as it is no bug without the
/// message of a panic.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    data_of(tensor).try_into_vec().expect(IN_F32)
}

/// [`read`], in as many equal parts.
pub(crate) fn read_parts<const D: usize>(tensor: Tensor<D>, parts: usize) -> Vec<Vec<f32>> {
    let data = data_of(tensor);
    if parts == 1 {
        return vec![data.try_into_vec().expect(IN_F32)];
    }
    let values = data.as_slice::<f32>().expect(IN_F32);
    values.chunks_exact(values.len() / parts).map(<[f32]>::to_vec).collect()
}

const IN_F32: &str = "the models answer in f32";

fn data_of<const D: usize>(tensor: Tensor<D>) -> TensorData {
    tensor.try_into_data().unwrap_or_else(|error| resume_unwind(Box::new(format!("{error:?}"))))
}

/// The first value of a tensor, for [`check_made`].
pub(crate) fn first_value<const D: usize>(tensor: &Tensor<D>) -> Tensor<1> {
    in_type(tensor.clone().slice([(); D].map(|()| 0..1)).reshape([1]), DType::F32)
}

/// Has a GPU report what went wrong while it made tensors that stay in its memory: it does when something of them is read.
pub(crate) fn check_made(first_values: Vec<Tensor<1>>) {
    read(Tensor::cat(first_values, 0));
}

/// Runs `work`, called `what`, whose operators are those of the GPU. Operators have no way to fail but to panic, and what a
/// user's machine brings about is an error: [`Error::TooLarge`] if memory ran out, in which case the runtime is told to give back
/// what it keeps for later; [`Error::Unsupported`] otherwise.
pub(crate) fn on_gpu<T>(gpu: &OpenDevice, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let panic = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => return result,
        Err(panic) => panic,
    };
    let message = message_of(&*panic);
    let OpenDevice { device, name, .. } = gpu;
    if is_out_of_memory(&message) {
        device.memory_cleanup();
        return Err(Error::TooLarge {
            what: what.to_string(),
            found: "its tensors".to_string(),
            limit: format!("the free memory of {name}"),
            remedy: "give it fewer at once, choose f16 or bf16, end other programs that use the device, or use the CPU",
        });
    }
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = message.chars().take(300).collect();
    Err(Error::Unsupported {
        what: format!("{what} on {name}"),
        reason: format!("the device's runtime failed: {shown}"),
    })
}

fn is_out_of_memory(message: &str) -> bool {
    let message = message.to_lowercase();
    // CubeCL's words, and the driver's.
    ["out of memory", "out_of_memory", "out-of-memory", "outofmemory", "out of device memory", "can't allocate"]
        .iter()
        .any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;

    use super::*;

    #[test]
    fn panics_of_a_runtime_are_errors_and_results_pass() {
        let gpu = OpenDevice { device: Device::flex(), name: "cuda:0 (a GPU)".to_string(), passed_over: Vec::new() };
        let run = |work: fn() -> Result<u8>| on_gpu(&gpu, "encoding 8 chips at once", work);
        assert_eq!(run(|| Ok(3)).unwrap(), 3);
        let full = run(|| panic!("CUDA_ERROR_OUT_OF_MEMORY: {}", 1)).unwrap_err();
        assert!(matches!(&full, Error::TooLarge { .. }), "{full}");
        let text = run(|| panic!("can't allocate buffer of size: 8\n   0: alloc::vec::push")).unwrap_err();
        assert!(matches!(text, Error::TooLarge { .. }));
        assert!(full.to_string().starts_with(
            "encoding 8 chips at once: its tensors exceed the limit of the free memory of cuda:0 (a GPU); give it fewer"
        ));
        let broken = run(|| panic!("an illegal\naddress")).unwrap_err().to_string();
        assert_eq!(
            broken,
            "encoding 8 chips at once on cuda:0 (a GPU) is not supported: the device's runtime failed: an illegal address"
        );
    }
}
