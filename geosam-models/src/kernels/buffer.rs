//! The memory behind a tensor of the Flex backend.

use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape, Tensor};

/// The values of an `f32` tensor of the Flex backend, in row-major order.
pub(super) struct Buffer(FlexTensor);

impl Buffer {
    /// `None` for other devices and types, and for tensors that record gradients. Copies what is not row-major.
    pub(super) fn of<const D: usize>(x: &Tensor<D>) -> Option<Self> {
        let tensor = x.clone().try_into_primitive::<Flex>().ok()?;
        (tensor.dtype() == DType::F32).then(|| Self(tensor.to_contiguous()))
    }

    pub(super) fn values(&self) -> &[f32] {
        let layout = self.0.layout();
        &self.0.storage::<f32>()[layout.start_offset()..][..layout.shape().num_elements()]
    }
}

/// A tensor of the Flex backend that takes over `values`.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    let layout = Layout::contiguous(Shape::new(shape));
    Tensor::from_primitive::<Flex>(FlexTensor::new(Bytes::from_elems(values), layout, DType::F32))
}
