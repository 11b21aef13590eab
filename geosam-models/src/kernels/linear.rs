//! Affine maps, with what comes before and after them done while the rows are in the cache: norm, bias, activation, the sum with
//! the residual, a second map.
//!
//! A map costs 2·rows·inputs·outputs operations; rows are read and written once, and what lies between two maps of a chunk is
//! not. Of `benches/encoder.rs`, two cores, share of the peak measured in the same run: a norm, two maps and their residual run
//! at 69 to 83 % in f32 and 61 to 82 % in bf16, most single maps at 60 to 87 %, the narrowest at 25 to 50 %. The rest is norm and
//! activation, and for narrow maps the reading and writing of rows.

use burn::tensor::Tensor;

use super::activation::activate_by_operators;
use super::affine::{Affine, RowAffine};
use super::buffer::{self, Buffer};
use super::cast::in_type;
use super::norm::{Norm, RowNorm};
use super::rows::{Chunks, elementwise};
use crate::nn::Activation;

/// activation(norm(x) Wᵀ + b).
///
/// # Shapes
/// - x: `[.., inputs]`
/// - output: `[.., outputs]`
pub(crate) fn linear<const D: usize>(
    x: Tensor<D>,
    norm: Option<Norm>,
    affine: Affine,
    activation: Option<Activation>,
) -> Tensor<D> {
    let fused = || {
        let input = Buffer::of(&x)?;
        let rows = RowAffine::of(&affine)?;
        let norm = norm.as_ref().map(RowNorm::of);
        if let Some(None) = norm {
            return None;
        }
        let mut shape = x.dims();
        shape[D - 1] = rows.outputs();
        Some(buffer::tensor(rows.apply(input.values(), norm.flatten().as_ref(), activation), shape))
    };
    fused().unwrap_or_else(|| {
        let x = match norm {
            Some(norm) => norm.by_operators(x),
            None => x,
        };
        activate_by_operators(affine.by_operators(x), activation)
    })
}

/// sum + x Wᵀ + b, in the memory of `sum` where nobody else uses it.
///
/// # Shapes
/// - sum: `[.., outputs]`
/// - x: `[.., inputs]`
/// - output: `[.., outputs]`
pub(crate) fn add_linear<const D: usize>(sum: Tensor<D>, x: Tensor<D>, affine: Affine) -> Tensor<D> {
    let (Some(input), Some(rows), true) = (Buffer::of(&x), RowAffine::of(&affine), buffer::on_cpu(&sum)) else {
        let dtype = sum.dtype();
        return sum + in_type(affine.by_operators(x), dtype);
    };
    let mut sum = buffer::Owned::of(sum);
    let input = input.values();
    let [inputs, outputs] = [rows.inputs(), rows.outputs()];
    let chunks = Chunks::of(input.len() / inputs, inputs.max(outputs), rows.weight.packed_per_chunk());
    chunks.for_each(sum.values_mut(), outputs, |sum, first, threads, _| {
        rows.add_to(sum, &input[first * inputs..][..sum.len() / outputs * inputs], threads);
    });
    sum.into_tensor()
}

/// x + W₂ activation(W₁ norm(x) + b₁) + b₂, in the memory of `x` where nobody else uses it. What lies between the two maps
/// is never in memory as a whole.
///
/// # Shapes
/// - x: `[.., width]`
/// - output: the same
pub(crate) fn add_mlp<const D: usize>(
    x: Tensor<D>,
    norm: &Norm,
    [first, second]: [Affine; 2],
    activation: Activation,
) -> Tensor<D> {
    let parts = (RowNorm::of(norm), RowAffine::of(&first), RowAffine::of(&second), buffer::on_cpu(&x));
    let (Some(norm), Some(first), Some(second), true) = parts else {
        let (hidden, dtype) = (first.by_operators(norm.clone().by_operators(x.clone())), x.dtype());
        return x + in_type(second.by_operators(activate_by_operators(hidden, Some(activation))), dtype);
    };
    let mut x = buffer::Owned::of(x);
    let (width, hidden_width) = (first.inputs(), first.outputs());
    let values = x.values_mut();
    let packed = first.weight.packed_per_chunk() + second.weight.packed_per_chunk();
    let chunks = Chunks::of(values.len() / width, hidden_width, packed);
    chunks.for_each(values, width, |x, _, threads, scratch| {
        let [normed, hidden] = scratch.buffers([x.len(), x.len() / width * hidden_width]);
        elementwise(threads, normed, x, width, |normed, x| norm.apply(normed, x));
        first.map(hidden, normed, Some(activation), threads);
        second.add_to(x, hidden, threads);
    });
    x.into_tensor()
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation;

    use super::*;
    use crate::golden::{input, relative_error};
    use crate::kernels::affine::{RowWeight, Weight, by_columns, pack};

    /// Measured: at most 4.5e-7, with 2048 inputs.
    const TOLERANCE: f64 = 2e-6;

    /// Rows, inputs and outputs: few rows, on one core, on each core by itself, on all cores together; some left over.
    const SIZES: [[usize; 3]; 7] =
        [[1, 3, 5], [7, 32, 96], [4, 2048, 256], [12, 80, 300], [333, 129, 67], [5000, 48, 96], [1500, 320, 840]];

    fn affine([inputs, outputs]: [usize; 2]) -> Affine {
        Affine::new(input("weight", [outputs, inputs], 0.3), input("bias", [outputs], 1.0))
    }

    fn norm(width: usize) -> Norm {
        Norm { weight: input("norm", [width], 1.0), bias: input("shift", [width], 1.0), epsilon: 1e-6 }
    }

    fn values(x: Tensor<3>) -> Vec<f32> {
        x.into_data().try_into_vec::<f32>().expect("computed in f32")
    }

    #[test]
    fn linear_agrees_with_burn() {
        for [rows, inputs, outputs] in SIZES {
            for activation in [None, Some(Activation::Gelu), Some(Activation::Relu)] {
                for norm in [None, Some(norm(inputs))] {
                    let x = input("x", [2, rows, inputs], 1.0);
                    let normed = norm.clone().map_or(x.clone(), |norm| norm.by_operators(x.clone()));
                    let expected = activate_by_operators(affine([inputs, outputs]).by_operators(normed), activation);
                    let actual = linear(x, norm.clone(), affine([inputs, outputs]), activation);
                    let error = relative_error(actual, &values(expected));
                    assert!(error < TOLERANCE, "{rows} {inputs} {outputs} {activation:?} {norm:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn weights_by_columns_are_the_same_weights() {
        for [rows, inputs, outputs] in SIZES {
            let (x, sum) = (input("x", [2, rows, inputs], 1.0), input("sum", [2, rows, outputs], 1.0));
            let Affine { weight: Weight::Plain(weight), bias } = affine([inputs, outputs]) else { unreachable!() };
            let columns = by_columns(weight.clone());
            columns.clone().into_data().assert_eq(&weight.into_data(), true);
            let columns = || Affine::new(columns.clone(), bias.clone());
            assert!(matches!(RowAffine::of(&columns()).map(|rows| rows.weight), Some(RowWeight::Columns(_))));
            let expected = values(affine([inputs, outputs]).by_operators(x.clone()));
            let error = relative_error(linear(x.clone(), None, columns(), None), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
            let expected = values(sum.clone() + affine([inputs, outputs]).by_operators(x.clone()));
            let error = relative_error(add_linear(sum, x, columns()), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
        }
    }

    /// Products in bf16 are those of rounded factors; the sums' order and rounding are all that differs.
    #[test]
    fn packed_weights_give_the_products_of_rounded_factors() {
        for [rows, inputs, outputs] in SIZES {
            let (weight, bias) = (input("weight", [outputs, inputs], 0.3), input("bias", [outputs], 1.0));
            let packed = pack(&weight);
            let packed = || Affine { weight: Weight::Packed(packed.clone()), bias: bias.clone() };
            // Short enough for bf16 to hold it.
            let x = (input("x", [2, rows, inputs], 1.0) * 64.0).round() / 64.0;
            let expected = values(packed().by_operators(x.clone()));
            let error = relative_error(linear(x.clone(), None, packed(), None), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
            let sum = input("sum", [2, rows, outputs], 1.0);
            let expected = values(sum.clone() + packed().by_operators(x.clone()));
            let error = relative_error(add_linear(sum, x, packed()), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
        }
    }

    #[test]
    fn sums_agree_with_burn() {
        for [rows, inputs, outputs] in SIZES {
            let (x, sum) = (input("x", [2, rows, inputs], 1.0), input("sum", [2, rows, outputs], 1.0));
            let expected = values(sum.clone() + affine([inputs, outputs]).by_operators(x.clone()));
            let kept = sum.clone();
            let error = relative_error(add_linear(sum, x.clone(), affine([inputs, outputs])), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
            kept.into_data().assert_eq(&input("sum", [2, rows, outputs], 1.0).into_data(), true);

            let layers = || [affine([inputs, outputs]), affine([outputs, inputs])];
            let [first, second] = layers();
            let hidden = activation::gelu(first.by_operators(norm(inputs).by_operators(x.clone())));
            let expected = values(x.clone() + second.by_operators(hidden));
            let error = relative_error(add_mlp(x, &norm(inputs), layers(), Activation::Gelu), &expected);
            assert!(error < TOLERANCE, "{rows} {inputs} {outputs}: {error}");
        }
    }
}
