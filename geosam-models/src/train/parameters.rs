//! The tensors of a checkpoint while they are trained.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{DType, Device, Tensor, TensorData};
use geosam_core::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::neighbours;
use crate::checkpoint::{MODEL_ID, add_class_row};
use crate::runtime_panic::read;
use crate::weights::{self, Leaves, TensorSource, Weights};

/// Share of the moving average that stays at a step, once there were many.
const AVERAGE_DECAY: f64 = 0.995;
/// Share of a matrix that goes at a step, times the learning rate.
const WEIGHT_DECAY: f32 = 0.01;
/// Of AdamW's running means of the gradient and its square.
const BETAS: [f32; 2] = [0.9, 0.99];

/// What a state says of itself …
const STEPS: &str = "steps";
const SEED: &str = "seed";
/// … and what its tensors are of the tensor whose name follows.
const VALUE: &str = "value";
const AVERAGE: &str = "average";
const MOMENTS: [&str; 2] = ["moment_1", "moment_2"];

/// Every tensor of a model, under its name in the checkpoint. There is no second definition of the network: each step builds
/// it from these as [`crate::load_model`] builds it from a file.
#[derive(Debug)]
pub(crate) struct Parameters {
    tensors: BTreeMap<String, Parameter>,
    steps: usize,
}

#[derive(Debug)]
struct Parameter {
    shape: Vec<usize>,
    /// Flat, on the CPU, without a history.
    value: Tensor<1>,
    /// What training changes; `None` of one that stays as it is.
    trained: Option<Trained>,
}

#[derive(Debug)]
struct Trained {
    /// Moving average of the value, smoother than it.
    average: Tensor<1>,
    /// Of the gradient and of its square; `None` before the first step.
    moments: Option<[Tensor<1>; 2]>,
}

/// Which values of the [`Parameters`] a model is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// Those of the last step.
    Latest,
    /// Their moving average.
    Averaged,
}

impl Parameters {
    /// Those that `build` takes from `source`. Trained are the ones for which `trains` says so; the frequencies of
    /// the positional code never are.
    ///
    /// # Errors
    /// As [`weights::load`].
    pub(crate) fn of<M>(
        source: &dyn TensorSource,
        build: impl FnOnce(&Weights<'_>) -> M,
        trains: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let recorder = Recorder { source, tensors: RefCell::default() };
        weights::load(&recorder, "training", &Device::flex(), build)?;
        let parameter = |(name, (shape, values)): (String, (Vec<usize>, Vec<f32>))| {
            let value = flat(values);
            let trained = (trains(&name) && !name.ends_with("gaussian_matrix"))
                .then(|| Trained { average: value.clone(), moments: None });
            (name, Parameter { shape, value, trained })
        };
        Ok(Self { tensors: recorder.tensors.into_inner().into_iter().map(parameter).collect(), steps: 0 })
    }

    /// Steps made so far.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Those of the model itself.
    fn of_model(&self) -> impl Iterator<Item = (&String, &Parameter)> {
        self.tensors.iter().filter(|(name, _)| !name.starts_with(neighbours::PREFIX))
    }

    /// Numbers in all tensors of the model.
    pub(crate) fn count(&self) -> usize {
        self.of_model().map(|(_, parameter)| parameter.value.dims()[0]).sum()
    }

    /// Tensors that gradients are wanted of, on the CPU with autodiff.
    pub(crate) fn leaves(&self) -> Leaves {
        let trained = self.tensors.iter().filter(|(_, parameter)| parameter.trained.is_some());
        let leaf = |value: &Tensor<1>| value.clone().autodiff().require_grad();
        trained.map(|(name, parameter)| (name.clone(), leaf(&parameter.value))).collect()
    }

    /// The values, to make a model of.
    pub(crate) fn source(&self, values: Values) -> impl TensorSource + '_ {
        Source { parameters: self, values }
    }

    /// One step of AdamW (<https://arxiv.org/abs/1711.05101>): matrices decay, vectors do not. Gradients longer than
    /// `longest` all together are shortened to it; returns their length before.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for gradients that are no numbers; nothing is changed then.
    pub(crate) fn update(
        &mut self,
        mut gradients: BTreeMap<String, Tensor<1>>,
        rate: f64,
        longest: f64,
    ) -> Result<f64> {
        let square = |gradient: &Tensor<1>| read(gradient.clone().square().sum())[0];
        let length = f64::from(gradients.values().map(square).sum::<f32>()).sqrt();
        if !length.is_finite() {
            let reason = "the weights have diverged; begin again from the last checkpoint with a lower learning rate";
            return Err(Error::Unsupported {
                what: "a step without a finite gradient".to_string(),
                reason: reason.to_string(),
            });
        }
        let scale = if length > longest { longest / length } else { 1.0 };
        let optimizer = |decay: f32| -> AdamW {
            let [beta_1, beta_2] = BETAS;
            AdamWConfig::new()
                .with_beta_1(beta_1)
                .with_beta_2(beta_2)
                .with_epsilon(1e-8)
                .with_weight_decay(decay)
                .build()
        };
        let [decaying, constant] = [WEIGHT_DECAY, 0.0].map(optimizer);
        let kept = AVERAGE_DECAY.min((1.0 + self.steps as f64) / (10.0 + self.steps as f64));
        for (name, parameter) in &mut self.tensors {
            let (Some(trained), Some(gradient)) = (&mut parameter.trained, gradients.remove(name)) else { continue };
            let optimizer = if parameter.shape.len() > 1 { &decaying } else { &constant };
            let state = trained
                .moments
                .take()
                .map(|[first, second]| AdamWState::new(AdaptiveMomentumState::new(self.steps, first, second)));
            let (value, state) = optimizer.step(rate, parameter.value.clone(), gradient * scale, state);
            let moments = state.expect("AdamW keeps its moments").momentum;
            trained.moments = Some([moments.moment_1, moments.moment_2]);
            trained.average = trained.average.clone() * kept + value.clone() * (1.0 - kept);
            parameter.value = value;
        }
        self.steps += 1;
        Ok(length)
    }

    /// Writes the averaged tensors as a safetensors file that holds them in `dtype`, f16 or f32, through another name first.
    /// `model_id` is what the file says it is, where the tensors alone leave that open.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub(crate) fn write(&self, path: &Path, dtype: Dtype, model_id: Option<&str>) -> Result<()> {
        let tensors = self.of_model().map(|(name, parameter)| {
            let (mut shape, mut values) = (parameter.shape.clone(), read(parameter.of(Values::Averaged)));
            // No network reads what stands there.
            add_class_row(name, &mut shape, &mut values, |width| vec![0.0; width]);
            let count = values.len();
            let data = TensorData::new(values, [count]);
            let data = if dtype == Dtype::F16 { data.convert_dtype(DType::F16) } else { data };
            (name.clone(), shape, data.bytes().to_vec())
        });
        let metadata = model_id.map(|id| [(MODEL_ID.to_string(), id.to_string())].into());
        write_safetensors(path, dtype, &tensors.collect::<Vec<_>>(), metadata)
    }

    /// Writes everything that the next step depends on, under another name first. The tensors that are not trained follow from
    /// the seed.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub(crate) fn save(&self, path: &Path, seed: u64) -> Result<()> {
        let mut tensors = Vec::new();
        for (name, parameter) in &self.tensors {
            let Some(Trained { average, moments }) = &parameter.trained else { continue };
            let mut push = |kind: &str, tensor: &Tensor<1>| {
                let bytes = tensor.clone().into_data().bytes().to_vec();
                tensors.push((format!("{kind}.{name}"), parameter.shape.clone(), bytes));
            };
            push(VALUE, &parameter.value);
            push(AVERAGE, average);
            if let Some([first, second]) = moments {
                push(MOMENTS[0], first);
                push(MOMENTS[1], second);
            }
        }
        let metadata =
            [(STEPS, self.steps as u64), (SEED, seed)].map(|(name, value)| (name.to_string(), value.to_string()));
        write_safetensors(path, Dtype::F32, &tensors, Some(metadata.into()))
    }

    /// Takes the state of a training of the same tensors and seed.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::InvalidFile`] if it is of another training; nothing has changed then.
    pub(crate) fn restore(&mut self, path: &Path, seed: u64) -> Result<()> {
        let contents = std::fs::read(path).map_err(|source| Error::io("read", path, source))?;
        let invalid = |found: String| Error::invalid_file(path, "safetensors", "the state of this training", found);
        let file = SafeTensors::deserialize(&contents).map_err(|error| invalid(error.to_string()))?;
        let (_, header) = SafeTensors::read_metadata(&contents).map_err(|error| invalid(error.to_string()))?;
        let number = |name: &str| -> Result<u64> {
            let number = header.metadata().as_ref().and_then(|metadata| metadata.get(name)?.parse().ok());
            number.ok_or_else(|| invalid(format!("no {name}")))
        };
        let (steps, stored) = (number(STEPS)?, number(SEED)?);
        if stored != seed {
            return Err(invalid(format!("that of seed {stored}, and not {seed}")));
        }
        let mut restored = Vec::new();
        for (name, parameter) in self.tensors.iter().filter(|(_, parameter)| parameter.trained.is_some()) {
            let shape = &parameter.shape;
            let tensor = |kind: &str| {
                let stored = file.tensor(&format!("{kind}.{name}")).ok()?;
                let fits = stored.shape() == shape && stored.dtype() == Dtype::F32;
                fits.then(|| flat(stored.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()))
            };
            let needed =
                |kind: &str| tensor(kind).ok_or_else(|| invalid(format!("no {kind} of {name} of shape {shape:?}")));
            // A tensor that no prompt has needed yet has no moments.
            let moments = tensor(MOMENTS[0]).zip(tensor(MOMENTS[1])).map(<[_; 2]>::from);
            restored.push((needed(VALUE)?, Trained { average: needed(AVERAGE)?, moments }));
        }
        let trained = self.tensors.values_mut().filter(|parameter| parameter.trained.is_some());
        for (parameter, (value, trained)) in trained.zip(restored) {
            parameter.value = value;
            parameter.trained = Some(trained);
        }
        self.steps = steps as usize;
        Ok(())
    }
}

impl Parameter {
    fn of(&self, values: Values) -> Tensor<1> {
        match (&self.trained, values) {
            (Some(Trained { average, .. }), Values::Averaged) => average.clone(),
            _ => self.value.clone(),
        }
    }
}

/// Writes tensors of one type, their bytes in the order of the machine, which is that of the format.
fn write_safetensors(
    path: &Path,
    dtype: Dtype,
    tensors: &[(String, Vec<usize>, Vec<u8>)],
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(dtype, shape.clone(), bytes).expect("as many bytes as the shape says"))
    });
    let contents = safetensors::serialize(views, metadata).expect("the names are different");
    geosam_core::replace_file(path, |file| file.write_all(&contents))
}

fn flat(values: Vec<f32>) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), (&Device::flex(), DType::F32))
}

/// Parameters as the tensors of a checkpoint.
#[derive(Debug)]
struct Source<'a> {
    parameters: &'a Parameters,
    values: Values,
}

impl TensorSource for Source<'_> {
    fn path(&self) -> PathBuf {
        PathBuf::from("the weights in training")
    }

    fn names(&self) -> Vec<String> {
        // Not all of them are asked for where a part of the model is built.
        Vec::new()
    }

    fn shape(&self, name: &str, _wanted: &[usize]) -> Option<Vec<usize>> {
        self.parameters.tensors.get(name).map(|parameter| parameter.shape.clone())
    }

    fn read(&self, name: &str, _shape: &[usize]) -> Result<Vec<f32>> {
        Ok(read(self.parameters.tensors[name].of(self.values)))
    }
}

/// What a model asks a source for.
#[derive(Debug)]
struct Recorder<'a> {
    source: &'a dyn TensorSource,
    tensors: RefCell<Recorded>,
}

/// Shapes and values by name.
type Recorded = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl TensorSource for Recorder<'_> {
    fn path(&self) -> PathBuf {
        self.source.path()
    }

    fn names(&self) -> Vec<String> {
        self.source.names()
    }

    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        self.source.shape(name, wanted)
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values = self.source.read(name, shape)?;
        self.tensors.borrow_mut().insert(name.to_string(), (shape.to_vec(), values.clone()));
        Ok(values)
    }
}
