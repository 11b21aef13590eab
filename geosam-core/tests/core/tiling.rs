//! What holds of chips on every raster.

use std::collections::BTreeSet;

use geosam_core::{GridGeoSampler, Shape, Tiling, Window};
use proptest::prelude::*;

fn sampler(extent: Window, chip: Shape, tiling: Tiling) -> GridGeoSampler {
    GridGeoSampler::with_tiling(extent, chip, tiling).unwrap()
}

fn extents() -> impl Strategy<Value = Window> {
    (0..40_i64, 0..40_i64, 1..90_usize, 1..90_usize)
        .prop_map(|(column, row, height, width)| Window::new(column, row, Shape::new(height, width)))
}

fn chips() -> impl Strategy<Value = Shape> {
    (1..40_usize, 1..40_usize).prop_map(|(height, width)| Shape::new(height, width))
}

fn tilings() -> impl Strategy<Value = Tiling> {
    prop_oneof![Just(Tiling::HalfOverlap), Just(Tiling::NonOverlapping), Just(Tiling::Stride(Shape::square(1)))]
}

/// First and last pixel of each row or column of chips, without repetition.
fn spans(windows: &[Window], span: impl Fn(&Window) -> (i64, i64)) -> Vec<(i64, i64)> {
    windows.iter().map(span).collect::<BTreeSet<_>>().into_iter().collect()
}

fn columns(windows: &[Window]) -> Vec<(i64, i64)> {
    spans(windows, |window| (window.column, window.column_end()))
}

fn rows(windows: &[Window]) -> Vec<(i64, i64)> {
    spans(windows, |window| (window.row, window.row_end()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn chips_cover_the_extent_and_none_leaves_it(extent in extents(), chip in chips(), tiling in tilings()) {
        let windows: Vec<_> = sampler(extent, chip, tiling).windows().collect();
        let mut covered = vec![false; extent.shape.area()];
        for window in &windows {
            prop_assert!(window.column >= extent.column && window.column_end() <= extent.column_end());
            prop_assert!(window.row >= extent.row && window.row_end() <= extent.row_end());
            for row in window.row..window.row_end() {
                for column in window.column..window.column_end() {
                    let index = (row - extent.row) as usize * extent.shape.width + (column - extent.column) as usize;
                    covered[index] = true;
                }
            }
        }
        prop_assert!(covered.iter().all(|covered| *covered));
    }

    #[test]
    fn chips_have_their_size_unless_the_extent_is_smaller(extent in extents(), chip in chips(), tiling in tilings()) {
        let shape = Shape::new(chip.height.min(extent.shape.height), chip.width.min(extent.shape.width));
        prop_assert!(sampler(extent, chip, tiling).windows().all(|window| window.shape == shape));
        if extent.shape.height <= chip.height && extent.shape.width <= chip.width {
            prop_assert_eq!(sampler(extent, chip, tiling).windows().collect::<Vec<_>>(), [extent]);
        }
    }

    #[test]
    fn side_by_side_there_are_as_few_chips_as_cover_the_extent(extent in extents(), chip in chips()) {
        let Shape { height, width } = extent.shape;
        let expected = height.div_ceil(chip.height) * width.div_ceil(chip.width);
        prop_assert_eq!(sampler(extent, chip, Tiling::NonOverlapping).len(), expected);
    }

    #[test]
    fn side_by_side_only_the_chips_moved_inwards_overlap(extent in extents(), chip in chips()) {
        let windows: Vec<_> = sampler(extent, chip, Tiling::NonOverlapping).windows().collect();
        for (spans, end) in [(columns(&windows), extent.column_end()), (rows(&windows), extent.row_end())] {
            for (index, pair) in spans.windows(2).enumerate() {
                if index + 2 < spans.len() {
                    prop_assert_eq!(pair[0].1, pair[1].0, "neighbours meet");
                } else {
                    prop_assert!(pair[1].0 <= pair[0].1, "the last one may be moved inwards");
                    prop_assert_eq!(pair[1].1, end, "to end at the edge");
                }
            }
        }
    }
}

#[test]
fn a_stride_of_a_chip_is_side_by_side() {
    let (extent, chip) = (Window::new(3, 5, Shape::new(70, 41)), Shape::new(16, 20));
    assert_eq!(sampler(extent, chip, Tiling::Stride(chip)), sampler(extent, chip, Tiling::NonOverlapping));
    assert_eq!(Tiling::default(), Tiling::HalfOverlap);
    assert_eq!(Tiling::HalfOverlap.stride(Shape::new(7, 8)), Shape::square(4));
}
