//! A tensor of the official layout, wherever a file keeps its values.

use std::ops::Range;

use geosam_core::Result;
use geosam_core::torch_file::TensorRef;

/// A tensor whose values are those of one stored tensor, of several that follow each other, or of a part of one.
/// Nothing is read until it is asked for.
#[derive(Clone, Debug)]
pub(super) struct TensorView {
    shape: Vec<usize>,
    /// At least one.
    parts: Vec<TensorRef>,
    /// Place of the first value in the first part.
    start: usize,
}

impl TensorView {
    /// A stored tensor as it is.
    pub(super) fn whole(tensor: TensorRef) -> Self {
        Self { shape: tensor.shape().to_vec(), parts: vec![tensor], start: 0 }
    }

    /// Tensors one below the other, along the first axis; `None` if they do not fit.
    pub(super) fn stacked(views: &[Self]) -> Option<Self> {
        let (_, row) = views.first()?.shape.split_first()?;
        let fits = |view: &Self| view.start == 0 && view.shape.get(1..) == Some(row);
        let rows = views.iter().try_fold(0usize, |rows, view| rows.checked_add(*view.shape.first()?))?;
        views.iter().all(fits).then(|| Self {
            shape: [&[rows], row].concat(),
            parts: views.iter().flat_map(|view| view.parts.iter().cloned()).collect(),
            start: 0,
        })
    }

    /// A range of an axis that only axes of length 1 precede; `None` if there is no such range.
    pub(super) fn rows(&self, axis: usize, rows: Range<usize>) -> Option<Self> {
        let single = self.shape.get(..axis)?.iter().all(|side| *side == 1);
        let row = self.shape.get(axis + 1..)?.iter().try_fold(1usize, |n, side| n.checked_mul(*side))?;
        let inside = single && self.parts.len() == 1 && rows.start <= rows.end && rows.end <= self.shape[axis];
        let start = self.start.checked_add(rows.start.checked_mul(row)?)?;
        let mut shape = self.shape.clone();
        shape[axis] = rows.len();
        inside.then(|| Self { shape, parts: self.parts.clone(), start })
    }

    /// Length of each axis.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values; the largest number if it is beyond what this machine can count, which reading refuses.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().fold(1usize, |n, side| n.saturating_mul(*side))
    }

    /// What the file calls the parts.
    pub(super) fn stored_names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(TensorRef::name)
    }

    /// Whether the values are real numbers.
    pub(super) fn casts_to_f32(&self) -> bool {
        self.parts.iter().all(|part| part.dtype().casts_to_f32())
    }

    /// All values in row-major order, cast to `f32`.
    ///
    /// # Errors
    /// Those of [`TensorRef::read_f32_range`].
    pub(super) fn read_f32(&self) -> Result<Vec<f32>> {
        self.read_f32_range(0..self.count())
    }

    /// The values of a range of row-major positions; only they are read.
    ///
    /// # Errors
    /// Those of [`TensorRef::read_f32_range`].
    pub(super) fn read_f32_range(&self, range: Range<usize>) -> Result<Vec<f32>> {
        let (mut from, mut to) = (self.start.saturating_add(range.start), self.start.saturating_add(range.end));
        if let [only] = &self.parts[..] {
            return only.read_f32_range(from..to);
        }
        let mut values = Vec::new();
        for part in &self.parts {
            let count = part.element_count().unwrap_or(usize::MAX);
            if from < count && from < to {
                values.append(&mut part.read_f32_range(from..to.min(count))?);
            }
            (from, to) = (from.saturating_sub(count), to.saturating_sub(count));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A tensor that counts up from `first`.
    fn counting(shape: &[usize], first: usize) -> TensorView {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (first..first + count).map(|value| value as f32).collect();
        TensorView::whole(TensorRef::from_f32(shape, &values).unwrap())
    }

    #[test]
    fn stacked_tensors_read_as_one() {
        let parts = [counting(&[2, 3], 0), counting(&[1, 3], 6), counting(&[2, 3], 9)];
        let view = TensorView::stacked(&parts).unwrap();
        assert_eq!(view.shape(), [5, 3]);
        for (start, end) in [(0, 15), (0, 6), (4, 11), (6, 9), (9, 15), (14, 15), (5, 5)] {
            let expected: Vec<f32> = (start..end).map(|value| value as f32).collect();
            assert_eq!(view.read_f32_range(start..end).unwrap(), expected, "{start}..{end}");
        }
        assert_eq!(view.read_f32().unwrap().len(), 15);
        assert!(TensorView::stacked(&[counting(&[2, 3], 0), counting(&[2, 4], 0)]).is_none());
        assert!(TensorView::stacked(&[counting(&[], 0)]).is_none());
    }

    #[test]
    fn rows_are_a_range_of_the_tensor() {
        let row = counting(&[4, 3], 0).rows(0, 2..3).unwrap();
        assert_eq!((row.shape(), row.read_f32().unwrap()), (&[1, 3][..], vec![6.0, 7.0, 8.0]));
        let without_first = counting(&[1, 5, 2], 0).rows(1, 1..5).unwrap();
        assert_eq!(without_first.shape(), [1, 4, 2]);
        assert_eq!(without_first.read_f32_range(6..8).unwrap(), [8.0, 9.0]);
        assert!(counting(&[2, 5], 0).rows(1, 1..5).is_none());
        assert!(counting(&[2, 5], 0).rows(0, 1..3).is_none());
        assert!(counting(&[2, 5], 0).rows(2, 0..1).is_none());
    }
}
