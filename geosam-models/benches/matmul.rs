//! Matrix products of the image encoders, in f32 and bf16, beside what the processor can do from registers.
//!
//!     cargo bench -p geosam-models --bench matmul
//!
//! The kinds take turns, and of each one's runs the fastest is shown: on a shared machine it is the one that was disturbed
//! least. In f32 the weights lie by rows, `[outputs, inputs]`, or by columns, as layers of many rows have them. Of all cores
//! each multiplies chunks of rows of its own, as the layers do; outputs that are larger than the caches are written to
//! memory, which layers that go on with a chunk at once do not wait for.

#![allow(clippy::print_stdout, missing_docs, unsafe_code)]

use std::time::Instant;

use rayon::prelude::*;

/// Rows, inputs and outputs: layers of Hiera, ViT and Perception Encoder, from one chip each; then two chunks of
/// rows whose outputs stay in the caches: of layers, and queries × keys and weights × values of attention.
const SHAPES: [[usize; 3]; 17] = [
    [65536, 96, 288],
    [65536, 96, 384],
    [65536, 384, 96],
    [4096, 384, 1152],
    [4096, 384, 1536],
    [4096, 1536, 384],
    [4096, 576, 2304],
    [4096, 768, 2304],
    [4096, 768, 3072],
    [4096, 3072, 768],
    [5184, 1024, 3072],
    [5184, 1024, 4736],
    [5184, 4736, 1024],
    [256, 384, 1152],
    [256, 768, 3072],
    [256, 64, 1024],
    [256, 1024, 64],
];

/// Rows of a core's chunk.
const CHUNK: usize = 128;
/// Operations, about, for which the runs of a kind on a shape are repeated.
const OPERATIONS: f64 = 4e11;

mod peak;

/// The kernels as they are, without making them public.
#[path = "../src/kernels"]
mod kernels {
    #[allow(dead_code, unused_imports)] // its tests, which do not run here
    mod bf16;
    #[allow(dead_code)]
    mod buffer;
    #[allow(dead_code)]
    mod matmul;
    #[allow(dead_code)]
    mod simd;

    pub(crate) use bf16::PackedMatrix;
    use matmul::{Matrix, Threads};

    pub(crate) fn pack(weights: &[f32], inputs: usize) -> PackedMatrix {
        PackedMatrix::of_transposed(Matrix::new(weights, inputs))
    }

    pub(crate) fn in_bf16(output: &mut [f32], input: &[f32], weights: &PackedMatrix) {
        bf16::product(output, input, weights);
    }

    pub(crate) fn by_rows(output: &mut [f32], input: &[f32], weights: &[f32], inputs: usize) {
        let (input, weights) = (Matrix::new(input, inputs), Matrix::new(weights, inputs));
        matmul::matmul_transposed(output, 1.0, input, weights, Threads::One);
    }

    pub(crate) fn by_columns(output: &mut [f32], input: &[f32], columns: &[f32], inputs: usize) {
        let (input, weights) = (Matrix::new(input, inputs), Matrix::new(columns, columns.len() / inputs));
        matmul::matmul(output, input, weights, Threads::One);
    }
}

fn main() {
    let cores = rayon::current_num_threads();
    // Of one core in f32 and bf16.
    let peaks = peak::measure();
    match peaks {
        Some([f32, bf16]) => println!("peak of one core: {f32:.0} GFLOP/s in f32, {bf16:.0} in bf16; {cores} cores"),
        None => println!("{cores} cores, without AVX512-BF16"),
    }
    println!("GFLOP/s, and the share of the peak\n");
    println!(
        "| rows × inputs → outputs | f32 by rows, 1 core | by columns | bf16 | f32 by columns, all | bf16, all | error of bf16 |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for [rows, inputs, outputs] in SHAPES {
        let (input, weights) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
        let columns: Vec<f32> = (0..inputs * outputs).map(|i| weights[i % outputs * inputs + i / outputs]).collect();
        let packed = kernels::pack(&weights, inputs);
        let (mut exact, mut output) = (vec![0.0; rows * outputs], vec![0.0; rows * outputs]);
        let in_chunks = |output: &mut [f32], product: &(dyn Fn(&mut [f32], &[f32]) + Sync)| {
            let chunks = output.par_chunks_mut(CHUNK * outputs).zip(input.par_chunks(CHUNK * inputs));
            chunks.for_each(|(output, input)| product(output, input));
        };
        let operations = 2.0 * (rows * inputs * outputs) as f64;
        let mut best = [f64::MAX; 5];
        for _ in 0..(OPERATIONS / operations / 5.0).clamp(3.0, 1000.0) as usize {
            let times = [
                seconds(|| kernels::by_rows(&mut exact, &input, &weights, inputs)),
                seconds(|| kernels::by_columns(&mut exact, &input, &columns, inputs)),
                seconds(|| kernels::in_bf16(&mut output, &input, &packed)),
                seconds(|| in_chunks(&mut exact, &|output, x| kernels::by_columns(output, x, &columns, inputs))),
                seconds(|| in_chunks(&mut output, &|output, x| kernels::in_bf16(output, x, &packed))),
            ];
            best = std::array::from_fn(|kind| best[kind].min(times[kind]));
        }
        let cell = |kind: usize, of: Option<f64>| {
            let rate = operations / best[kind] / 1e9;
            of.map_or(format!("{rate:.0}"), |peak| format!("{rate:.0} ({:.0} %)", 100.0 * rate / peak))
        };
        let [f32, bf16] = [0, 1].map(|kind| peaks.map(|peaks| peaks[kind]));
        let all = |peak: Option<f64>| peak.map(|peak| peak * cores as f64);
        println!(
            "| {rows} × {inputs} → {outputs} | {} | {} | {} | {} | {} | {:.1e} |",
            cell(0, f32),
            cell(1, f32),
            cell(2, bf16),
            cell(3, all(f32)),
            cell(4, all(bf16)),
            relative_error(&output, &exact)
        );
    }
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Numbers in [-1, 1) from a linear congruential generator.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// ‖actual - expected‖ / ‖expected‖.
fn relative_error(actual: &[f32], expected: &[f32]) -> f64 {
    let difference: f64 = actual.iter().zip(expected).map(|(a, e)| f64::from(a - e).powi(2)).sum();
    let norm: f64 = expected.iter().map(|e| f64::from(*e).powi(2)).sum();
    (difference / norm).sqrt()
}
