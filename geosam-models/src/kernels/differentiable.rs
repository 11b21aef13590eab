//! Kernels under autodiff: on the CPU, burn's operators and their gradients are passes over memory on one thread each, so the
//! ones that training spends its time in have both from here. Work is on one core: training learns from several images side
//! by side.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;

use super::activation::{gelu_of, gelu_slope};
use super::buffer::{self, Buffer};
use super::matmul::{Matrix, Threads, add_matmul_transposed, add_transposed_matmul, matmul};
use super::norm::{Norm, RowNorm, RowStatistics};
use super::simd::{LANES, vectorised};
use super::softmax::softmax_rows;

/// An input: its values, and its place in the graph.
pub(super) struct Input {
    pub(super) values: Buffer,
    pub(super) node: NodeGuard,
}

impl Input {
    /// `None` of a tensor that is not on the CPU, not in f32, or without autodiff.
    pub(super) fn of<const D: usize>(x: &Tensor<D>) -> Option<Self> {
        let (values, node) = x.clone().try_into_primitive::<Autodiff<Flex>>().ok()?.into_parts();
        Some(Self { values: Buffer::of_primitive(&values)?, node })
    }
}

/// What each input's gradient is, given the output's; `None` of those that nobody wants.
type Gradient<const N: usize> = dyn Fn(&[f32], [bool; N]) -> [Option<Vec<f32>>; N] + Send + Sync;

/// A kernel in the graph.
#[derive(Debug)]
struct Kernel;

#[derive(Clone)]
struct State<const N: usize> {
    gradient: Arc<Gradient<N>>,
    shapes: [Vec<usize>; N],
}

impl<const N: usize> std::fmt::Debug for State<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({:?})", self.shapes)
    }
}

impl<const N: usize> Backward<Flex, N> for Kernel {
    type State = State<N>;

    fn backward(self, ops: Ops<State<N>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let output = Buffer::of_primitive(&gradients.consume::<Flex>(&ops.node)).expect("gradients are in f32");
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = (ops.state.gradient)(output.values(), wanted);
        for ((parent, gradient), shape) in ops.parents.into_iter().zip(found).zip(ops.state.shapes) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, buffer::primitive(gradient, &shape));
            }
        }
    }
}

/// Puts a kernel's output into the graph.
pub(super) fn differentiable<const N: usize, const D: usize>(
    inputs: [(NodeGuard, Vec<usize>); N],
    output: Vec<f32>,
    shape: [usize; D],
    gradient: impl Fn(&[f32], [bool; N]) -> [Option<Vec<f32>>; N] + Send + Sync + 'static,
) -> Tensor<D> {
    let output: FlexTensor = buffer::primitive(output, &shape);
    let mut shapes = [const { Vec::new() }; N];
    let mut index = 0;
    let nodes = inputs.map(|(node, shape)| {
        shapes[index] = shape;
        index += 1;
        node
    });
    let output = match Kernel.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(State { gradient: Arc::new(gradient), shapes }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(output)
}

/// Gaussian error linear unit; `None` without autodiff.
///
/// # Shapes
/// - x: any; output: the same
pub(super) fn gelu<const D: usize>(x: &Tensor<D>) -> Option<Tensor<D>> {
    let Input { values, node } = Input::of(x)?;
    let mut output = buffer::zeroed(values.values().len());
    vectorised(
        #[inline(always)]
        || output.iter_mut().zip(values.values()).for_each(|(y, &x)| *y = gelu_of(x)),
    );
    let gradient = move |output: &[f32], [_]: [bool; 1]| {
        let mut gradient = buffer::zeroed(output.len());
        vectorised(
            #[inline(always)]
            || {
                for ((dx, &dy), &x) in gradient.iter_mut().zip(output).zip(values.values()) {
                    *dx = dy * gelu_slope(x);
                }
            },
        );
        [Some(gradient)]
    };
    Some(differentiable([(node, x.dims().to_vec())], output, x.dims(), gradient))
}

/// Softmax over the last axis; `None` without autodiff.
///
/// # Shapes
/// - x: `[.., width]`; output: the same
pub(super) fn softmax<const D: usize>(x: &Tensor<D>) -> Option<Tensor<D>> {
    let Input { values, node } = Input::of(x)?;
    let width = x.dims()[D - 1];
    let mut output = values.values().to_vec();
    softmax_rows(&mut output, width);
    let kept = Arc::new(output.clone());
    let gradient = move |output: &[f32], [_]: [bool; 1]| {
        let mut gradient = buffer::zeroed(output.len());
        vectorised(
            #[inline(always)]
            || {
                let rows = output.chunks_exact(width).zip(kept.chunks_exact(width));
                for (dx, (dy, y)) in gradient.chunks_exact_mut(width).zip(rows) {
                    let mean = dot(dy, y);
                    for ((dx, &dy), &y) in dx.iter_mut().zip(dy).zip(y) {
                        *dx = y * (dy - mean);
                    }
                }
            },
        );
        [Some(gradient)]
    };
    Some(differentiable([(node, x.dims().to_vec())], output, x.dims(), gradient))
}

/// Layer normalisation over the last axis; `None` without autodiff.
///
/// # Shapes
/// - x: `[.., width]`; output: the same
pub(super) fn layer_norm<const D: usize>(x: &Tensor<D>, norm: &Norm) -> Option<Tensor<D>> {
    let [input, weight] = [Input::of(x)?, Input::of(&norm.weight)?];
    let bias = Input::of(&norm.bias)?;
    let width = weight.values.values().len();
    let rows = RowNorm::new(weight.values, bias.values, norm.epsilon);
    let mut output = buffer::zeroed(input.values.values().len());
    rows.apply(&mut output, input.values.values());
    let values = input.values;
    let gradient = move |output: &[f32], [_, _, _]: [bool; 3]| {
        let [mut dx, mut dw, mut db] = [output.len(), width, width].map(|count| vec![0.0; count]);
        vectorised(
            #[inline(always)]
            || {
                let of_row = output.chunks_exact(width).zip(values.values().chunks_exact(width));
                for (dx, (dy, x)) in dx.chunks_exact_mut(width).zip(of_row) {
                    let RowStatistics { mean, scale } = rows.statistics(x);
                    let weight = rows.weight();
                    let (mut along, mut total) = (0.0, 0.0);
                    for ((((dx, &dy), &x), &w), (dw, db)) in
                        dx.iter_mut().zip(dy).zip(x).zip(weight).zip(dw.iter_mut().zip(db.iter_mut()))
                    {
                        let normed = (x - mean) * scale;
                        *dw += dy * normed;
                        *db += dy;
                        *dx = dy * w;
                        along += *dx * normed;
                        total += *dx;
                    }
                    let (along, total) = (along / width as f32, total / width as f32);
                    for (dx, &x) in dx.iter_mut().zip(x) {
                        *dx = scale * (*dx - total - (x - mean) * scale * along);
                    }
                }
            },
        );
        [Some(dx), Some(dw), Some(db)]
    };
    let inputs = [(input.node, x.dims().to_vec()), (weight.node, vec![width]), (bias.node, vec![width])];
    Some(differentiable(inputs, output, x.dims(), gradient))
}

/// x Wᵀ + b; `None` without autodiff.
///
/// # Shapes
/// - x: `[.., inputs]`
/// - weight: `[outputs, inputs]`, bias: `[outputs]`
/// - output: `[.., outputs]`
pub(super) fn affine<const D: usize>(x: &Tensor<D>, weight: &Tensor<2>, bias: &Tensor<1>) -> Option<Tensor<D>> {
    let [outputs, inputs] = weight.dims();
    let (x_in, weight_in, bias_in) = (Input::of(x)?, Input::of(weight)?, Input::of(bias)?);
    let (values, weights) = (x_in.values, weight_in.values);
    let rows = values.values().len() / inputs;
    let mut output = bias_in.values.values().repeat(rows);
    let [factor, transposed] = [&values, &weights].map(|values| Matrix::new(values.values(), inputs));
    add_matmul_transposed(&mut output, factor, transposed, Threads::One);
    let gradient = move |output: &[f32], [x_wanted, weight_wanted, bias_wanted]: [bool; 3]| {
        let dy = Matrix::new(output, outputs);
        let dx = x_wanted.then(|| {
            let mut dx = buffer::zeroed(rows * inputs);
            matmul(&mut dx, dy, Matrix::new(weights.values(), inputs), Threads::One);
            dx
        });
        let dw = weight_wanted.then(|| {
            let mut dw = vec![0.0; outputs * inputs];
            add_transposed_matmul(&mut dw, dy, Matrix::new(values.values(), inputs));
            dw
        });
        let db = bias_wanted.then(|| {
            let mut db = vec![0.0; outputs];
            vectorised(
                #[inline(always)]
                || {
                    for dy in output.chunks_exact(outputs) {
                        db.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
                    }
                },
            );
            db
        });
        [dx, dw, db]
    };
    let mut shape = x.dims();
    let inputs = [(x_in.node, shape.to_vec()), (weight_in.node, vec![outputs, inputs]), (bias_in.node, vec![outputs])];
    shape[D - 1] = outputs;
    Some(differentiable(inputs, output, shape, gradient))
}

#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::{activation, module};

    use super::*;
    use crate::golden::{input, relative_error};

    /// Of values and gradients, from burn's operators. Measured: at most 2.1e-7.
    const TOLERANCE: f64 = 1e-6;

    type Function<'a, const D: usize> = &'a dyn Fn(&[Tensor<1>]) -> Tensor<D>;

    /// Compares two functions of the same inputs: what they compute, and the gradients of it times fixed numbers.
    fn compare<const D: usize>(inputs: &[Tensor<1>], of: [Function<'_, D>; 2]) {
        let run = |of: Function<'_, D>| {
            let leaves: Vec<_> = inputs.iter().map(|x| x.clone().autodiff().require_grad()).collect();
            let y = of(&leaves);
            let mut gradients = (y.clone() * input("output", y.dims(), 1.0).autodiff()).sum().backward();
            let of_leaf = |leaf: &Tensor<1>| leaf.grad_remove(&mut gradients).unwrap();
            let gradients: Vec<_> = leaves.iter().map(of_leaf).collect();
            (y.without_autodiff(), gradients)
        };
        let ([ours, burns], values) = (of.map(run), |x: Tensor<1>| x.into_data().try_into_vec::<f32>().unwrap());
        let count = ours.0.shape().num_elements();
        let flat = |y: Tensor<D>| values(y.reshape([count]));
        let mut errors = vec![relative_error(ours.0, &flat(burns.0))];
        errors.extend(ours.1.into_iter().zip(burns.1).map(|(ours, burns)| relative_error(ours, &values(burns))));
        assert!(errors.iter().all(|&error| error < TOLERANCE), "{errors:?}");
    }

    #[test]
    fn gelu_and_its_gradient_agree_with_burn() {
        let x = input("x", [4 * 333], 3.0);
        compare(&[x], [&|x| gelu(&x[0]).unwrap(), &|x| activation::gelu(x[0].clone())]);
    }

    #[test]
    fn softmax_and_its_gradient_agree_with_burn() {
        for [rows, width] in [[50, 7], [3, 64], [2, 1000]] {
            let x = input("x", [rows * width], 3.0);
            let square = |x: &[Tensor<1>]| x[0].clone().reshape([rows, width]);
            compare(&[x], [&|x| softmax(&square(x)).unwrap(), &|x| activation::softmax(square(x), 1)]);
        }
    }

    #[test]
    fn layer_norm_and_its_gradients_agree_with_burn() {
        for [rows, width] in [[50, 16], [7, 100]] {
            let [x, weight, bias] = [("x", rows * width), ("weight", width), ("bias", width)]
                .map(|(name, count)| input(name, [count], 1.0));
            let parts = |x: &[Tensor<1>]| (x[0].clone().reshape([rows, width]), x[1].clone(), x[2].clone());
            let ours = |x: &[Tensor<1>]| {
                let (x, weight, bias) = parts(x);
                layer_norm(&x, &Norm { weight, bias, epsilon: 1e-6 }).unwrap()
            };
            let burns = |x: &[Tensor<1>]| {
                let (x, weight, bias) = parts(x);
                module::layer_norm(x, weight, Some(bias), 1e-6)
            };
            compare(&[x, weight, bias], [&ours, &burns]);
        }
    }

    #[test]
    fn affine_maps_and_their_gradients_agree_with_burn() {
        for [rows, inputs, outputs] in [[50, 16, 24], [7, 100, 3]] {
            let [x, weight, bias] = [("x", rows * inputs), ("weight", outputs * inputs), ("bias", outputs)]
                .map(|(name, count)| input(name, [count], 1.0));
            let parts = |x: &[Tensor<1>]| {
                (x[0].clone().reshape([rows, inputs]), x[1].clone().reshape([outputs, inputs]), x[2].clone())
            };
            let ours = |x: &[Tensor<1>]| {
                let (x, weight, bias) = parts(x);
                affine(&x, &weight, &bias).unwrap()
            };
            let burns = |x: &[Tensor<1>]| {
                let (x, weight, bias) = parts(x);
                module::linear(x, weight.transpose(), Some(bias))
            };
            compare(&[x, weight, bias], [&ours, &burns]);
        }
    }

    #[test]
    fn tensors_without_autodiff_are_left_to_others() {
        assert!(gelu(&input("x", [5], 1.0)).is_none());
    }
}
