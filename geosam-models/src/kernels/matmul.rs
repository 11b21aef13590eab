//! Matrix products on slices.

use std::ops::Range;

/// A row-major matrix, or some columns of one.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Values from the beginning of a row to that of the next.
    stride: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, rows: values.len() / columns, columns, stride: columns }
    }

    /// Some columns of all rows.
    pub(super) fn narrow(self, columns: Range<usize>) -> Self {
        assert!(columns.start < columns.end && columns.end <= self.columns && self.rows > 0);
        let end = (self.rows - 1) * self.stride + columns.end;
        Self { values: &self.values[columns.start..end], columns: columns.len(), ..self }
    }
}

/// Which cores a product runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    One,
    All,
}

/// output = scale · a bᵀ, for `a` `[m, k]`, `b` `[n, k]` and `output` `[m, n]`.
pub(super) fn matmul_transposed(output: &mut [f32], scale: f32, a: Matrix<'_>, b: Matrix<'_>, threads: Threads) {
    product(output, 0.0, scale, Factor::of(a), Factor::transposed(b), threads);
}

/// output += a bᵀ, for `a` `[m, k]`, `b` `[n, k]` and `output` `[m, n]`.
pub(super) fn add_matmul_transposed(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, threads: Threads) {
    product(output, 1.0, 1.0, Factor::of(a), Factor::transposed(b), threads);
}

/// output = a b, for `a` `[m, k]`, `b` `[k, n]` and `output` `[m, n]`.
pub(super) fn matmul(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, threads: Threads) {
    product(output, 0.0, 1.0, Factor::of(a), Factor::of(b), threads);
}

/// output += a b, for `a` `[m, k]`, `b` `[k, n]` and `output` `[m, n]`.
pub(super) fn add_matmul(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, threads: Threads) {
    product(output, 1.0, 1.0, Factor::of(a), Factor::of(b), threads);
}

/// output += aᵀ b, for `a` `[k, m]`, `b` `[k, n]` and `output` `[m, n]`, on one core.
pub(super) fn add_transposed_matmul(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    product(output, 1.0, 1.0, Factor::transposed(a), Factor::of(b), Threads::One);
}

/// A factor of a product.
#[derive(Clone, Copy)]
struct Factor<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Values from one row, and from one column, to the next.
    strides: [usize; 2],
}

impl<'a> Factor<'a> {
    fn of(Matrix { values, rows, columns, stride }: Matrix<'a>) -> Self {
        Self { values, rows, columns, strides: [stride, 1] }
    }

    fn transposed(Matrix { values, rows, columns, stride }: Matrix<'a>) -> Self {
        Self { values, rows: columns, columns: rows, strides: [1, stride] }
    }

    /// Values from the first to the last, both included.
    fn span(self) -> usize {
        (self.rows - 1) * self.strides[0] + (self.columns - 1) * self.strides[1] + 1
    }
}

/// output = keep · output + scale · a b.
fn product(output: &mut [f32], keep: f32, scale: f32, a: Factor<'_>, b: Factor<'_>, threads: Threads) {
    if output.is_empty() {
        return;
    }
    let (rows, columns, depth) = (a.rows, b.columns, a.columns);
    assert!(output.len() == rows * columns && depth == b.rows && depth > 0);
    assert!(a.values.len() >= a.span() && b.values.len() >= b.span());
    let threads = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: the three slices hold every element that the dimensions and strides reach, which was just checked, and
    // `output` overlaps none of the others as it is borrowed mutably.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            output.as_mut_ptr(),
            1,
            columns as isize,
            keep != 0.0,
            a.values.as_ptr(),
            a.strides[1] as isize,
            a.strides[0] as isize,
            b.values.as_ptr(),
            b.strides[1] as isize,
            b.strides[0] as isize,
            keep,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}
