//! The memory behind a tensor of the Flex backend.

use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape, Tensor};

/// The values of an `f32` tensor of the Flex backend, in row-major order.
pub(super) struct Buffer(FlexTensor);

impl Buffer {
    /// `None` for other devices and types, and for tensors that record gradients. Copies what is not row-major.
    pub(super) fn of<const D: usize>(x: &Tensor<D>) -> Option<Self> {
        Self::of_primitive(&x.clone().try_into_primitive::<Flex>().ok()?)
    }

    /// `None` of other types than `f32`.
    pub(super) fn of_primitive(tensor: &FlexTensor) -> Option<Self> {
        (tensor.dtype() == DType::F32).then(|| Self(tensor.to_contiguous()))
    }

    /// The values of an `f32` tensor of the Flex backend that lies in memory column by column, in this order.
    pub(super) fn of_columns(x: &Tensor<2>) -> Option<Self> {
        let columns = x.clone().transpose().try_into_primitive::<Flex>().ok()?;
        let by_rows = x.clone().try_into_primitive::<Flex>().ok()?.is_contiguous();
        (!by_rows && columns.dtype() == DType::F32 && columns.is_contiguous()).then_some(Self(columns))
    }

    pub(super) fn values(&self) -> &[f32] {
        let layout = self.0.layout();
        &self.0.storage::<f32>()[layout.start_offset()..][..layout.shape().num_elements()]
    }

    pub(super) fn into_tensor<const D: usize>(self) -> Tensor<D> {
        Tensor::from_primitive::<Flex>(self.0)
    }
}

/// Whether `x` is an `f32` tensor of the Flex backend that records no gradients.
pub(crate) fn on_cpu<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && x.clone().try_into_primitive::<Flex>().is_ok()
}

/// The values of an `f32` tensor of the Flex backend, to be changed where they lie.
pub(super) struct Owned<const D: usize> {
    tensor: FlexTensor,
}

impl<const D: usize> Owned<D> {
    /// Of a tensor [`on_cpu`]. Copies what is not row-major.
    pub(super) fn of(x: Tensor<D>) -> Self {
        let tensor = x.try_into_primitive::<Flex>().expect("the tensor is on the CPU");
        Self { tensor: if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() } }
    }

    /// Copies them first if others hold them, too.
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        let (start, count) = (self.tensor.layout().start_offset(), self.tensor.layout().num_elements());
        &mut self.tensor.storage_mut::<f32>()[start..][..count]
    }

    pub(super) fn into_tensor(self) -> Tensor<D> {
        Tensor::from_primitive::<Flex>(self.tensor)
    }
}

/// Zeros, in large pages where the system has them, as the first touch of each page is a trap: three encodings with SAM 2
/// tiny took 551,000 of them with small pages and every layer in memory, and take 118,000.
pub(super) fn zeroed(count: usize) -> Vec<f32> {
    let values = vec![0.0; count];
    advise_large_pages(&values);
    values
}

#[cfg(target_os = "linux")]
fn advise_large_pages(values: &[f32]) {
    /// Large pages of the architectures that have them.
    const PAGE: usize = 2 << 20;
    let range = values.as_ptr_range();
    let (start, end) = ((range.start as usize).next_multiple_of(PAGE), range.end as usize / PAGE * PAGE);
    if start < end {
        // SAFETY: the range lies within the allocation of `values`, and the advice changes no content.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_large_pages(_: &[f32]) {}

/// A tensor of the Flex backend that takes over `values`.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(primitive(values, &shape))
}

/// What [`tensor`] holds.
pub(super) fn primitive(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::from(shape.to_vec()));
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}
