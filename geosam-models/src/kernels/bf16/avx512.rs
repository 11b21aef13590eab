//! With the instructions of AVX512-BF16, which multiply 32 pairs of bf16 and add them to 16 sums in f32.
//!
//! The output is made in tiles whose sums stay in registers. The packed factor streams through the first level cache,
//! three panels at a time, each meeting a block of the other factor's rows, which was rounded into the second level cache.

use std::arch::x86_64::*;
use std::array;
use std::cell::RefCell;
use std::ops::Range;

use super::{LANES, PackedMatrix, Pairs};

/// Rows of a tile. With [`PANELS`] its sums take 24 of the 32 registers: enough to hide the latency of the instruction,
/// with eleven loads for 24 of them.
const ROWS: usize = 8;
/// Panels of a tile, at most.
const PANELS: usize = 3;
/// Pairs of values of a row that are multiplied before the sums are stored.
const DEPTH: usize = 256;
/// Pairs from which on it pays to fetch the output's place in the cache while the sums are made.
const DEEP: usize = 64;
/// Tiles of a block of rows: with [`DEPTH`] a quarter of a mebibyte in bf16.
const BLOCK: usize = 32;

/// A part of a row in bf16, with room that keeps the rows of a tile out of each other's way in the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Row([u32; DEPTH + LANES]);

thread_local! {
    /// A block of rows.
    static ROUNDED: RefCell<Vec<[Row; ROWS]>> = const { RefCell::new(Vec::new()) };
}

/// Whether the processor has the instructions.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// output = a b, or output += a b if `add`; the lengths of the slices fit.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn multiply(output: &mut [f32], a: &[f32], b: &PackedMatrix, add: bool) {
    let (depth, columns) = (b.depth, b.columns);
    let part = depth.div_ceil(depth.div_ceil(2 * DEPTH)).next_multiple_of(2 * LANES);
    ROUNDED.with_borrow_mut(|rounded| {
        rounded.resize(BLOCK, [Row([0; DEPTH + LANES]); ROWS]);
        let rows = BLOCK * ROWS;
        for (output, a) in output.chunks_mut(rows * columns).zip(a.chunks(rows * depth)) {
            for start in (0..depth).step_by(part) {
                let end = depth.min(start + part);
                for (rounded, row) in rounded.as_flattened_mut().iter_mut().zip(a.chunks_exact(depth)) {
                    round_row(rounded, &row[start..end]);
                }
                multiply_block(output, rounded, b, start / 2..end.div_ceil(2), add || start > 0);
            }
        }
    });
}

/// Multiplies a block of rows, of which `a` holds the given pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn multiply_block(output: &mut [f32], a: &[[Row; ROWS]], b: &PackedMatrix, pairs: Range<usize>, add: bool) {
    let panels = b.columns.div_ceil(LANES);
    let mut first = 0;
    while first < panels {
        // As even as can be: a narrow tile is a slow one.
        let left = panels - first;
        let count = left.div_ceil(left.div_ceil(PANELS));
        for (output, a) in output.chunks_mut(ROWS * b.columns).zip(a) {
            match count {
                1 => multiply_tile::<1>(output, a, b, first, pairs.clone(), add),
                2 => multiply_tile::<2>(output, a, b, first, pairs.clone(), add),
                _ => multiply_tile::<PANELS>(output, a, b, first, pairs.clone(), add),
            }
        }
        first += count;
    }
}

/// Multiplies the rows of a tile, all of `output`, with `N` panels.
#[allow(clippy::needless_range_loop)] // several arrays are walked side by side
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn multiply_tile<const N: usize>(
    output: &mut [f32],
    a: &[Row; ROWS],
    b: &PackedMatrix,
    first: usize,
    pairs: Range<usize>,
    add: bool,
) {
    let (count, width, start) = (pairs.len(), b.columns, first * LANES);
    let panels: [&[Pairs]; N] = array::from_fn(|panel| &b.panel(first + panel)[pairs.clone()]);
    // Checked here, not for every pair.
    assert!(count <= DEPTH && panels.iter().all(|panel| panel.len() == count));
    if count >= DEEP {
        for row in 0..ROWS {
            for panel in 0..N {
                let place = output.as_ptr().wrapping_add(row * width + start + panel * LANES);
                _mm_prefetch::<_MM_HINT_T0>(place.cast());
            }
        }
    }

    let mut sums = [[_mm512_setzero_ps(); N]; ROWS];
    for pair in 0..count {
        let right: [__m512i; N] = array::from_fn(|panel| load(&panels[panel][pair]));
        for row in 0..ROWS {
            let left = _mm512_set1_epi32(a[row].0[pair].cast_signed());
            for panel in 0..N {
                sums[row][panel] = add_products(sums[row][panel], left, right[panel]);
            }
        }
    }

    let rows = output.len() / width;
    let last = u16::MAX >> (N * LANES).saturating_sub(width - start);
    for row in 0..ROWS {
        if row < rows {
            let output = &mut output[row * width..][start..width];
            for panel in 0..N {
                let mask = if panel == N - 1 { last } else { u16::MAX };
                let place = output.as_mut_ptr().wrapping_add(panel * LANES);
                // SAFETY: all panels but the matrix's last one lie within the row, and the mask leaves out what of that
                // one does not.
                unsafe {
                    let sum = match add {
                        true => _mm512_add_ps(sums[row][panel], _mm512_maskz_loadu_ps(mask, place)),
                        false => sums[row][panel],
                    };
                    _mm512_mask_storeu_ps(place, mask, sum);
                }
            }
        }
    }
}

/// Adds to each sum the two products of its pairs.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn add_products(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: registers of the same size, for which every bit pattern is a value.
    let [a, b] = [a, b].map(|pairs| unsafe { std::mem::transmute::<__m512i, __m512bh>(pairs) });
    _mm512_dpbf16_ps(sums, a, b)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(pairs: &Pairs) -> __m512i {
    // SAFETY: the array is as long as the register, and aligned.
    unsafe { _mm512_load_si512(pairs.0.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn round_row(rounded: &mut Row, row: &[f32]) {
    let (rounded, _) = rounded.0.as_chunks_mut::<LANES>();
    for (rounded, values) in rounded.iter_mut().zip(row.chunks(2 * LANES)) {
        // SAFETY: the array is as long as the register.
        unsafe { _mm512_storeu_si512(rounded.as_mut_ptr().cast(), round(values)) };
    }
}

/// Rounds up to 32 values; zeros follow.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn round(values: &[f32]) -> __m512i {
    let mask = u32::MAX >> (2 * LANES - values.len());
    // SAFETY: the masks leave out what is not in `values`; the registers have the same size, and every bit pattern is a
    // value of the second.
    unsafe {
        let low = _mm512_maskz_loadu_ps(mask as u16, values.as_ptr());
        let high = _mm512_maskz_loadu_ps((mask >> LANES) as u16, values.as_ptr().wrapping_add(LANES));
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Packs rows of `depth` values as the columns of a panel.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pack_rows(panel: &mut [Pairs], rows: &[f32], depth: usize) {
    for (panel, start) in panel.chunks_mut(LANES).zip((0..depth).step_by(2 * LANES)) {
        let mut square = [_mm512_setzero_si512(); LANES];
        for (rounded, row) in square.iter_mut().zip(rows.chunks_exact(depth)) {
            *rounded = round(&row[start..depth.min(start + 2 * LANES)]);
        }
        transpose(&mut square);
        for (pairs, column) in panel.iter_mut().zip(square) {
            // SAFETY: the array is as long as the register, and aligned.
            unsafe { _mm512_store_si512(pairs.0.as_mut_ptr().cast(), column) };
        }
    }
}

/// Transposes a square of lanes: swaps halves of halves that lie across the diagonal.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(square: &mut [__m512i; LANES]) {
    for step in [1, 2, 4, 8] {
        // Lanes of the upper row count from 0, those of the lower one from 16.
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let distance = _mm512_set1_epi32(step);
        let across = _mm512_test_epi32_mask(lanes, distance);
        let sixteen = _mm512_set1_epi32(LANES as i32);
        let upper = _mm512_mask_add_epi32(lanes, across, lanes, _mm512_sub_epi32(sixteen, distance));
        let lower = _mm512_mask_add_epi32(_mm512_add_epi32(lanes, distance), across, lanes, sixteen);
        let step = step as usize;
        for row in (0..LANES).filter(|row| row & step == 0) {
            let [a, b] = [square[row], square[row + step]];
            square[row] = _mm512_permutex2var_epi32(a, upper, b);
            square[row + step] = _mm512_permutex2var_epi32(a, lower, b);
        }
    }
}
