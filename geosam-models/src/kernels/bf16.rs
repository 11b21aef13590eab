//! Matrix products of bf16 factors: the left one rounded as it is read, the right one rounded and packed once, sums in
//! f32.
//!
//! A product of `[m, k]` and `[k, n]` takes 2·m·k·n operations; the packed factor has 2·k·n bytes and is read once for
//! every 256 rows of the left one. A core with AVX512-BF16 does 236 GFLOP/s from registers at 3.7 GHz; products of depths
//! from 384 on reach 90–95 % of that where the output stays in the second level cache, 85–88 % where it does not, those of
//! depths around 64 about 80 %: what is lost is the start and the storing of tiles, and the wait for the output's place in
//! the cache (`benches/matmul.rs` measures both). Outputs too large for any cache are bound by memory. Other processors
//! multiply in f32 what was rounded to bf16.
//!
//! A core works by itself: callers give each its own rows, best so many that what they become stays in its cache, and a
//! multiple of eight. That holds for weights of any size, as nothing is packed anew for a chunk of rows.

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::fmt;
use std::sync::Arc;

use super::matmul::{Matrix, Threads, add_matmul_transposed, matmul_transposed};
use super::simd::vectorised;

/// Columns of a panel: as many as a register has sums.
const LANES: usize = 16;

/// Two rows of a panel: of each column the value of the even row in the low half, of the odd row in the high half.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Pairs([u32; LANES]);

/// The right factor of products, `[depth, columns]`, in bf16.
///
/// Values are rounded to the nearest, ties to even; subnormal ones to zero of the same sign; those beyond the largest
/// finite bf16 to infinity; NaN stays NaN. Clones share the values.
#[derive(Clone)]
pub(crate) struct PackedMatrix {
    depth: usize,
    columns: usize,
    /// Panels one after the other, each of all rows; zeros where the last pair or panel is not full.
    pairs: Arc<Vec<Pairs>>,
}

impl fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedMatrix([{}, {}])", self.depth, self.columns)
    }
}

impl PackedMatrix {
    /// Packs `b` for products a b.
    pub(super) fn of(b: Matrix<'_>) -> Self {
        Self::packed(b.rows, b.columns, |panel, index| {
            let columns = index * LANES..b.columns.min((index + 1) * LANES);
            vectorised(
                #[inline(always)]
                || {
                    for (pairs, rows) in panel.iter_mut().zip(b.values.chunks(2 * b.columns)) {
                        let (even, odd) = rows.split_at(b.columns);
                        for (pair, &value) in pairs.0.iter_mut().zip(&even[columns.clone()]) {
                            *pair = round(value);
                        }
                        for (pair, &value) in pairs.0.iter_mut().zip(odd.get(columns.clone()).unwrap_or_default()) {
                            *pair |= round(value) << 16;
                        }
                    }
                },
            );
        })
    }

    /// Packs the transpose of `b` for products a bᵀ; weights `[outputs, inputs]` are such a `b`.
    pub(super) fn of_transposed(b: Matrix<'_>) -> Self {
        Self::packed(b.columns, b.rows, |panel, index| {
            let rows = &b.values[index * LANES * b.columns..b.values.len().min((index + 1) * LANES * b.columns)];
            #[cfg(target_arch = "x86_64")]
            if avx512::available() {
                // SAFETY: the processor has what the function was compiled for.
                return unsafe { avx512::pack_rows(panel, rows, b.columns) };
            }
            pack_rows(panel, rows, b.columns);
        })
    }

    /// Has `pack` fill the panels, which are told by their number.
    fn packed(depth: usize, columns: usize, pack: impl Fn(&mut [Pairs], usize)) -> Self {
        assert!(depth > 0 && columns > 0, "the matrix is empty");
        let height = depth.div_ceil(2);
        let mut pairs = vec![Pairs([0; LANES]); columns.div_ceil(LANES) * height];
        for (index, panel) in pairs.chunks_exact_mut(height).enumerate() {
            pack(panel, index);
        }
        Self { depth, columns, pairs: Arc::new(pairs) }
    }

    /// Rows, which are the columns of the left factor.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Columns, which are those of the product.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    fn panel(&self, index: usize) -> &[Pairs] {
        let height = self.depth.div_ceil(2);
        &self.pairs[index * height..][..height]
    }

    /// The transpose, in f32.
    pub(super) fn to_transposed(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.columns * self.depth];
        for (index, row) in values.chunks_exact_mut(self.depth).enumerate() {
            for (values, pairs) in row.chunks_mut(2).zip(self.panel(index / LANES)) {
                let pair = pairs.0[index % LANES];
                for (value, bits) in values.iter_mut().zip([pair << 16, pair & 0xFFFF_0000]) {
                    *value = f32::from_bits(bits);
                }
            }
        }
        values
    }
}

/// output = a b, for `a` `[m, k]`, `b` `[k, n]` and `output` `[m, n]`, on one core.
///
/// `a` is rounded as `b` was. Sums may take in two products at a time, and take subnormal products and sums for zero.
pub(super) fn product(output: &mut [f32], a: &[f32], b: &PackedMatrix) {
    multiply(output, a, b, false);
}

/// output += a b, as [`product`].
pub(super) fn add_product(output: &mut [f32], a: &[f32], b: &PackedMatrix) {
    multiply(output, a, b, true);
}

fn multiply(output: &mut [f32], a: &[f32], b: &PackedMatrix, add: bool) {
    assert!(a.len().is_multiple_of(b.depth));
    assert_eq!(output.len(), a.len() / b.depth * b.columns);
    #[cfg(target_arch = "x86_64")]
    if avx512::available() {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { avx512::multiply(output, a, b, add) };
    }
    multiply_in_f32(output, a, b, add);
}

fn multiply_in_f32(output: &mut [f32], a: &[f32], b: &PackedMatrix, add: bool) {
    let rounded: Vec<f32> = a.iter().map(|&value| f32::from_bits(round(value) << 16)).collect();
    let (a, b) = (Matrix::new(&rounded, b.depth), b.to_transposed());
    let b = Matrix::new(&b, a.columns);
    if add {
        add_matmul_transposed(output, a, b, Threads::One);
    } else {
        matmul_transposed(output, 1.0, a, b, Threads::One);
    }
}

/// Packs rows of `depth` values as the columns of a panel.
fn pack_rows(panel: &mut [Pairs], rows: &[f32], depth: usize) {
    for (lane, row) in rows.chunks_exact(depth).enumerate() {
        for (pairs, values) in panel.iter_mut().zip(row.chunks(2)) {
            pairs.0[lane] = round(values[0]) | values.get(1).map_or(0, |&odd| round(odd) << 16);
        }
    }
}

/// The bits of the bf16 nearest to `x`, as the instructions of AVX512-BF16 round.
#[inline(always)]
fn round(x: f32) -> u32 {
    const INFINITY: u32 = f32::INFINITY.to_bits();
    const SMALLEST: u32 = f32::MIN_POSITIVE.to_bits();
    let bits = x.to_bits();
    let magnitude = bits & !(1 << 31);
    let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    let quiet = bits >> 16 | 0x40;
    let zero = bits >> 31 << 15;
    let number = if magnitude < SMALLEST { zero } else { nearest };
    if magnitude > INFINITY { quiet } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measured: at most 1.3e-7.
    const TOLERANCE: f64 = 1e-6;

    /// Rows, depth and columns: one of each; parts of pairs, panels and tiles; several blocks of rows and of depth.
    const SIZES: [[usize; 3]; 9] = [
        [1, 1, 1],
        [5, 7, 3],
        [8, 32, 48],
        [13, 33, 50],
        [64, 80, 196],
        [300, 200, 64],
        [257, 801, 97],
        [70, 1600, 49],
        [9, 1025, 15],
    ];

    /// Numbers in [-1, 1) with all their digits.
    fn values(seed: u32, count: usize) -> Vec<f32> {
        let scrambled = (1..=count as u32).map(|i| (i ^ seed << 20).wrapping_mul(0x9E37_79B1).rotate_left(15));
        scrambled.map(|bits| (bits.wrapping_mul(0x85EB_CA77) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
        (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
    }

    fn rounded(x: f32) -> f64 {
        f64::from(f32::from_bits(round(x) << 16))
    }

    fn relative_error(actual: &[f32], expected: &[f64]) -> f64 {
        let difference: f64 = actual.iter().zip(expected).map(|(a, e)| (f64::from(*a) - e).powi(2)).sum();
        (difference / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
    }

    #[test]
    fn products_agree_with_f64() {
        for [rows, depth, columns] in SIZES {
            let (a, b) = (values(1, rows * depth), values(2, columns * depth));
            let packed = PackedMatrix::of_transposed(Matrix::new(&b, depth));
            for add in [false, true] {
                let before = if add { values(3, rows * columns) } else { vec![f32::NAN; rows * columns] };
                let mut expected = Vec::new();
                for (index, before) in before.iter().enumerate() {
                    let (a, b) = (&a[index / columns * depth..][..depth], &b[index % columns * depth..][..depth]);
                    let product: f64 = a.iter().zip(b).map(|(&a, &b)| rounded(a) * rounded(b)).sum();
                    expected.push(if add { f64::from(*before) + product } else { product });
                }
                for multiply in [multiply, multiply_in_f32] {
                    let mut actual = before.clone();
                    multiply(&mut actual, &a, &packed, add);
                    let error = relative_error(&actual, &expected);
                    assert!(error < TOLERANCE, "{rows} {depth} {columns} {add}: {error}");
                }
            }
        }
    }

    #[test]
    fn every_way_of_packing_rounds_alike() {
        let special = [
            0.0,
            -0.0,
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
            -(1.0 + 1.0 / 256.0 + f32::EPSILON),
            f32::MIN_POSITIVE,
            f32::MIN_POSITIVE / 2.0,
            -f32::MIN_POSITIVE / 1024.0,
            f32::MIN_POSITIVE * (1.0 - f32::EPSILON),
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            -f32::NAN,
            f32::from_bits(0x7F80_0001),
        ];
        for [columns, depth, _] in SIZES {
            let mut b = values(2, columns * depth);
            for (value, special) in b.iter_mut().step_by(3).zip(special) {
                *value = special;
            }
            let bits = |matrix: &PackedMatrix| matrix.pairs.iter().flat_map(|pairs| pairs.0).collect::<Vec<_>>();
            let by_rows = PackedMatrix::of_transposed(Matrix::new(&b, depth));
            let by_columns = PackedMatrix::of(Matrix::new(&transposed(&b, depth), columns));
            let portable = PackedMatrix::packed(depth, columns, |panel, index| {
                pack_rows(panel, &b[index * LANES * depth..b.len().min((index + 1) * LANES * depth)], depth);
            });
            assert_eq!(bits(&by_rows), bits(&portable), "{columns} {depth}");
            assert_eq!(bits(&by_columns), bits(&portable), "{columns} {depth}");
            let kept: Vec<u32> = by_rows.to_transposed().into_iter().map(f32::to_bits).collect();
            assert_eq!(kept, b.iter().map(|&value| round(value) << 16).collect::<Vec<_>>(), "{columns} {depth}");
        }
    }

    #[test]
    fn the_left_factor_is_rounded_like_the_right_one() {
        let a = [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, f32::MIN_POSITIVE / 2.0, f32::MAX, f32::NEG_INFINITY];
        let identity: Vec<f32> = (0..25).map(|i| f32::from(u8::from(i % 6 == 0))).collect();
        for (index, &value) in a.iter().enumerate() {
            let column = &identity[index * 5..][..5];
            let row: Vec<f32> = column.iter().map(|&one| if one == 1.0 { value } else { 0.0 }).collect();
            for multiply in [multiply, multiply_in_f32] {
                let mut output = [0.0; 1];
                multiply(&mut output, &row, &PackedMatrix::of(Matrix::new(column, 1)), false);
                assert_eq!(f64::from(output[0]), rounded(value), "{value}");
            }
        }
        let mut output = [0.0; 2];
        product(&mut output, &[2.0, f32::NAN], &PackedMatrix::of(Matrix::new(&[3.0], 1)));
        add_product(&mut output[..1], &[1.0], &PackedMatrix::of(Matrix::new(&[4.0], 1)));
        assert!(output[0] == 10.0 && output[1].is_nan(), "{output:?}");
    }
}
