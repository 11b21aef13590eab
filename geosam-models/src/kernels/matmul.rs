//! Matrix products on slices.

/// A row-major matrix, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, rows: values.len() / columns, columns }
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
    assert_eq!(a.columns, b.columns);
    product(output, 0.0, scale, a, b.rows, (b.values, 1, b.columns), threads);
}

/// output += a bᵀ, for `a` `[m, k]`, `b` `[n, k]` and `output` `[m, n]`.
pub(super) fn add_matmul_transposed(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, threads: Threads) {
    assert_eq!(a.columns, b.columns);
    product(output, 1.0, 1.0, a, b.rows, (b.values, 1, b.columns), threads);
}

/// output += a b, for `a` `[m, k]`, `b` `[k, n]` and `output` `[m, n]`.
pub(super) fn add_matmul(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(a.columns, b.rows);
    product(output, 1.0, 1.0, a, b.columns, (b.values, b.columns, 1), Threads::One);
}

/// output = keep · output + scale · a b, where `b` has `columns` columns and the given strides of row and column.
fn product(
    output: &mut [f32],
    keep: f32,
    scale: f32,
    a: Matrix<'_>,
    columns: usize,
    (b, row_stride, column_stride): (&[f32], usize, usize),
    threads: Threads,
) {
    let Matrix { values, rows, columns: depth } = a;
    assert_eq!(output.len(), rows * columns);
    assert_eq!(values.len(), rows * depth);
    assert_eq!(b.len(), depth * columns);
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
            values.as_ptr(),
            1,
            depth as isize,
            b.as_ptr(),
            column_stride as isize,
            row_stride as isize,
            keep,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}
