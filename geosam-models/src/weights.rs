//! Strict loading: every module takes its tensors by name and shape, and what does not fit is reported all at once.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};
use geosam_core::{Error, Precision, Result};

use crate::device::{dtype, is_cpu};

/// Where tensors come from: a checkpoint file, or a seeded generator.
pub trait TensorSource: std::fmt::Debug {
    /// What messages call the source: the file's path.
    fn path(&self) -> PathBuf;

    /// Names of the tensors that the model must have a use for, in the layout of the official checkpoints.
    fn names(&self) -> Vec<String>;

    /// What the source itself calls a tensor, or the tensors it is made of, where that differs.
    fn stored_name(&self, _name: &str) -> Option<String> {
        None
    }

    /// Shape of a tensor, or `None` if there is no such tensor. A generator answers with `wanted`.
    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>>;

    /// Values of a tensor in row-major order, cast to `f32`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::InvalidFile`] if the bytes cannot be read.
    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>>;
}

/// What went wrong so far, and what has been used.
#[derive(Debug, Default)]
struct Log {
    problems: Vec<String>,
    used: HashSet<String>,
    failure: Option<Error>,
}

/// Loads a whole model from a source and reports every misfit by name.
///
/// # Errors
/// [`Error::CheckpointMismatch`] if a tensor is missing, misshapen, or present and not asked for; read errors as they
/// come.
pub(crate) fn load<M>(
    source: &dyn TensorSource,
    model: &str,
    device: &Device,
    build: impl FnOnce(&Weights<'_>) -> M,
) -> Result<M> {
    load_over(source, &Leaves::new(), model, device, build)
}

/// Tensors that gradients are wanted of, by the name in the checkpoint, their values in one row.
pub(crate) type Leaves = HashMap<String, Tensor<1>>;

/// [`load`] with `leaves` in the place of the source's tensors: what is built depends on them, and gradients of what it
/// computes are gradients of theirs.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_over<M>(
    source: &dyn TensorSource,
    leaves: &Leaves,
    model: &str,
    device: &Device,
    build: impl FnOnce(&Weights<'_>) -> M,
) -> Result<M> {
    let log = RefCell::new(Log::default());
    let module =
        build(&Weights { source, leaves, prefix: String::new(), device: device.clone(), layout: None, log: &log });
    let mut log = log.into_inner();
    if let Some(failure) = log.failure {
        return Err(failure);
    }
    for name in source.names() {
        if !log.used.contains(&name) {
            log.problems.push(format!("{} is not part of the model", both_names(source, &name)));
        }
    }
    if log.problems.is_empty() {
        Ok(module)
    } else {
        Err(Error::CheckpointMismatch { path: source.path(), model: model.to_string(), problems: log.problems })
    }
}

/// A parameter with this value. Unlike burn's own constructor it leaves the value what it is, also where that was computed
/// from [`Leaves`].
pub(crate) fn parameter<const D: usize>(value: Tensor<D>) -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), value)
}

/// The name of a tensor that is there, and what the source calls it.
fn both_names(source: &dyn TensorSource, name: &str) -> String {
    match source.stored_name(name) {
        Some(stored) => format!("{name} (stored as {stored})"),
        None => name.to_string(),
    }
}

/// The tensors below one prefix of a checkpoint, e.g. `image_encoder.blocks.3`.
#[derive(Clone, Debug)]
pub(crate) struct Weights<'a> {
    source: &'a dyn TensorSource,
    leaves: &'a Leaves,
    prefix: String,
    device: Device,
    layout: Option<Precision>,
    log: &'a RefCell<Log>,
}

impl<'a> Weights<'a> {
    /// The tensors below `name`.
    pub(crate) fn scope(&self, name: impl std::fmt::Display) -> Weights<'a> {
        Weights { prefix: self.qualified(&name.to_string()), ..self.clone() }
    }

    /// The same tensors, for layers that see thousands of rows at a time: their weights are laid out for products in
    /// `precision`.
    pub(crate) fn laid_out_for(&self, precision: Precision) -> Weights<'a> {
        Weights { layout: Some(precision), ..self.clone() }
    }

    /// What weights of layers are laid out for; `None` where they stay as they are, for a handful of rows.
    pub(crate) fn layout(&self) -> Option<Precision> {
        self.layout
    }

    /// The same tensors on the CPU, for what is then [placed](Weights::placed): there layers are folded into one, as GPUs may
    /// multiply f32 with the digits of f16.
    pub(crate) fn on_host(&self) -> Weights<'a> {
        let device = if is_cpu(&self.device) { self.device.clone() } else { Device::flex() };
        Weights { device, ..self.clone() }
    }

    /// The device tensors are put on.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Weight or bias of a layer as products take it: on the device, and on a GPU in the precision that weights are laid out
    /// for. It is converted before it goes there.
    pub(crate) fn placed<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if is_cpu(&self.device) {
            return x;
        }
        let dtype = self.layout.map_or(DType::F32, dtype);
        Tensor::from_data(x.into_data().convert_dtype(dtype), (&self.device, dtype))
    }

    /// Tensor `name` with exactly this shape, as `f32` on the device. Where it is missing or misshapen that is noted
    /// and zeros stand in, so that one run names every problem.
    pub(crate) fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let qualified = self.qualified(name);
        if let Some(leaf) = self.leaves.get(&qualified) {
            self.log.borrow_mut().used.insert(qualified);
            return leaf.clone().reshape(shape);
        }
        Tensor::from_data(TensorData::new(self.values(name, &shape), shape), (&self.device, DType::F32))
    }

    /// Values of tensor `name` of the source, row-major, for constants that are folded while loading.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let name = self.qualified(name);
        let zeros = || vec![0.0; shape.iter().product()];
        let mut log = self.log.borrow_mut();
        log.used.insert(name.clone());
        match self.source.shape(&name, shape) {
            None => log.problems.push(format!("{name} is missing (expected {shape:?})")),
            Some(found) if found != shape => {
                let name = both_names(self.source, &name);
                log.problems.push(format!("{name} has shape {found:?}, expected {shape:?}"));
            }
            Some(_) => match self.source.read(&name, shape) {
                Ok(values) => return values,
                Err(error) => {
                    log.failure.get_or_insert(error);
                }
            },
        }
        zeros()
    }

    fn qualified(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }
}
