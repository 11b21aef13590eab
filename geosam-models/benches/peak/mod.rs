//! What a core can do at most, measured from registers only.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::{arch::x86_64::*, hint::black_box, time::Instant};

/// Sums that do not wait for each other.
#[cfg(target_arch = "x86_64")]
const SUMS: usize = 24;
#[cfg(target_arch = "x86_64")]
const STEPS: usize = 1 << 18;
#[cfg(target_arch = "x86_64")]
const RUNS: usize = 50;

/// GFLOP/s of one core in f32 and bf16; `None` on a processor without AVX512-BF16.
#[cfg(target_arch = "x86_64")]
pub(crate) fn measure() -> Option<[f64; 2]> {
    if !(is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")) {
        return None;
    }
    let seconds = |work: fn()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    let best = |work: fn()| (0..RUNS).map(|_| seconds(work)).fold(f64::MAX, f64::min);
    // SAFETY: the processor has the instructions, in both cases.
    let times = [best(|| unsafe { in_f32() }), best(|| unsafe { in_bf16() })];
    Some([0, 1].map(|kind| (STEPS * SUMS * [32, 64][kind]) as f64 / times[kind] / 1e9))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn in_f32() {
    let one = _mm512_set1_ps(black_box(1.0));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(one, one, *sum);
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn in_bf16() {
    let ones = _mm512_set1_epi32(black_box(0x3F80_3F80));
    // SAFETY: registers of the same size, for which every bit pattern is a value.
    let ones = unsafe { std::mem::transmute::<__m512i, __m512bh>(ones) };
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, ones, ones);
        }
    }
    black_box(sums);
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn measure() -> Option<[f64; 2]> {
    None
}
