//! Vector instructions: loops that the compiler vectorises are compiled once for each instruction set, and the best
//! one that the processor has is chosen when they are called.

/// Lanes of an accumulator array, wide enough for the widest registers.
pub(super) const LANES: usize = 16;

/// Runs `work` compiled for AVX-512, AVX2 or the portable baseline. Only what is inlined is compiled anew, so `work` and
/// what it calls must be `#[inline(always)]`.
#[inline]
pub(super) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        let fused = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if fused
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { avx512(work) };
        }
        if fused {
            // SAFETY: as above.
            return unsafe { avx2(work) };
        }
    }
    work()
}

/// eˣ for x ≤ 88, zero below -87.3. The relative error is about (1 + |x|)·10⁻⁷: the argument is rounded after its
/// change of base, which the weights of a softmax, small where |x| is large, do not feel.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// 2ᶠ for |f| ≤ ½, fitted to a relative error of 2e-9.
    const POWER: [f32; 7] =
        [1.0, std::f32::consts::LN_2, 0.240_226_47, 0.055_503_29, 0.009_618_52, 0.001_339_986, 0.000_153_375_77];
    /// Adding this rounds to an integer, and leaves the integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let y = x.max(-87.4) * std::f32::consts::LOG2_E;
    let shifted = y + ROUND;
    let fraction = y - (shifted - ROUND);
    let power = polynomial(fraction, POWER);
    let scaled = f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < -87.3 { 0.0 } else { scaled }
}

/// c₀ + c₁ x + c₂ x² + …
#[inline(always)]
pub(super) fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    coefficients.iter().rev().fold(0.0, |sum, &c| sum.mul_add(x, c))
}

/// Largest value; -∞ of nothing.
#[inline(always)]
pub(super) fn max(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

/// Replaces every value v by e^(v - offset) and returns the sum.
#[inline(always)]
pub(super) fn exp_and_sum(values: &mut [f32], offset: f32) -> f32 {
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *value = exp(*value - offset);
            *lane += *value;
        }
    }
    let mut sum: f32 = lanes.iter().sum();
    for value in rest {
        *value = exp(*value - offset);
        sum += *value;
    }
    sum
}
