//! Where an annotator would click.
//!
//! Masks are row-major; a click on a pixel is on its centre.

use geosam_core::{Label, PixelBox, PixelPoint, Shape};

use super::random::Random;

/// Any pixel of the mask, or `None` if it has none.
pub(crate) fn any_inside(mask: &[bool], shape: Shape, random: &mut Random) -> Option<PixelPoint> {
    let count = mask.iter().filter(|&&inside| inside).count();
    let chosen = random.below(count)?;
    let (index, _) = mask.iter().enumerate().filter(|(_, inside)| **inside).nth(chosen)?;
    Some(centre(index, shape))
}

/// The pixel of the mask that is farthest from its border and from the edge of the chip, or `None` if it has none.
pub(crate) fn innermost(mask: &[bool], shape: Shape) -> Option<PixelPoint> {
    deepest(mask, shape).map(|(index, _)| centre(index, shape))
}

/// A click that corrects `answer`: on the truth it missed, or, as background, on what it has too much. With `random` on any
/// wrong pixel, without in the middle of the thickest part that is wrong. `None` if nothing is.
pub(crate) fn correction(
    truth: &[bool],
    answer: &[bool],
    shape: Shape,
    random: Option<&mut Random>,
) -> Option<(PixelPoint, Label)> {
    let wrong = |missed: bool| -> Vec<bool> {
        truth.iter().zip(answer).map(|(&truth, &answer)| truth == missed && answer != missed).collect()
    };
    match random {
        Some(random) => {
            let either: Vec<bool> = truth.iter().zip(answer).map(|(truth, answer)| truth != answer).collect();
            let at = any_inside(&either, shape, random)?;
            let index = at.row as usize * shape.width + at.column as usize;
            Some((at, if truth[index] { Label::Foreground } else { Label::Background }))
        }
        None => {
            let [missed, surplus] = [true, false].map(|missed| deepest(&wrong(missed), shape));
            let depth = |found: &Option<(usize, u16)>| found.map_or(0, |(_, depth)| depth);
            let (found, label) = if depth(&missed) >= depth(&surplus) {
                (missed, Label::Foreground)
            } else {
                (surplus, Label::Background)
            };
            found.map(|(index, _)| (centre(index, shape), label))
        }
    }
}

/// The box of the mask, or `None` if it has no pixel.
pub(crate) fn bounds(mask: &[bool], shape: Shape) -> Option<PixelBox> {
    let rows = mask.chunks_exact(shape.width);
    let mut bounds: Option<[usize; 4]> = None;
    for (row, values) in rows.enumerate() {
        let Some(first) = values.iter().position(|&inside| inside) else { continue };
        let last = values.iter().rposition(|&inside| inside).unwrap_or(first);
        let [left, top, right, _] = bounds.unwrap_or([first, row, last, row]);
        bounds = Some([left.min(first), top, right.max(last), row]);
    }
    bounds.map(|[left, top, right, bottom]| PixelBox {
        left: left as f64,
        top: top as f64,
        right: (right + 1) as f64,
        bottom: (bottom + 1) as f64,
    })
}

/// A box as people draw it: each side off by a normal error of a tenth of the box, at most 20 pixels, within the chip.
pub(crate) fn jittered(exact: PixelBox, shape: Shape, random: &mut Random) -> PixelBox {
    let (width, height) = (exact.right - exact.left, exact.bottom - exact.top);
    let mut off = |length: f64| (random.normal() * 0.1 * length).clamp(-20.0, 20.0);
    let [left, right] = [exact.left + off(width), exact.right + off(width)];
    let [top, bottom] = [exact.top + off(height), exact.bottom + off(height)];
    let within = |a: f64, b: f64, length: usize| {
        let [a, b] = [a.min(b), a.max(b)].map(|at| at.clamp(0.0, length as f64));
        if b - a < 1.0 { None } else { Some([a, b]) }
    };
    match (within(left, right, shape.width), within(top, bottom, shape.height)) {
        (Some([left, right]), Some([top, bottom])) => PixelBox { left, top, right, bottom },
        _ => exact,
    }
}

fn centre(index: usize, shape: Shape) -> PixelPoint {
    PixelPoint::new((index % shape.width) as f64 + 0.5, (index / shape.width) as f64 + 0.5)
}

/// The pixel of the mask with the largest distance, and that distance, along rows, columns and diagonals with steps of 2 and
/// 3, to the nearest pixel outside; outside is also what lies beyond the edges.
fn deepest(mask: &[bool], shape: Shape) -> Option<(usize, u16)> {
    let Shape { height, width } = shape;
    // A frame of zeros around it.
    let stride = width + 2;
    let mut distance = vec![0u16; stride * (height + 2)];
    for row in 0..height {
        for column in 0..width {
            if mask[row * width + column] {
                let at = (row + 1) * stride + column + 1;
                let before = [distance[at - 1] + 2, distance[at - stride] + 2];
                let diagonal = [distance[at - stride - 1] + 3, distance[at - stride + 1] + 3];
                distance[at] = before.into_iter().chain(diagonal).min().unwrap_or(0);
            }
        }
    }
    let mut best = None;
    for row in (0..height).rev() {
        for column in (0..width).rev() {
            let at = (row + 1) * stride + column + 1;
            if mask[row * width + column] {
                let after = [distance[at + 1] + 2, distance[at + stride] + 2];
                let diagonal = [distance[at + stride + 1] + 3, distance[at + stride - 1] + 3];
                let nearest = after.into_iter().chain(diagonal).min().unwrap_or(0);
                distance[at] = distance[at].min(nearest);
                if best.is_none_or(|(_, depth)| distance[at] > depth) {
                    best = Some((row * width + column, distance[at]));
                }
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SHAPE: Shape = Shape { height: 20, width: 30 };

    fn rectangle(rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Vec<bool> {
        let pixels = (0..SHAPE.area()).map(|index| (index / SHAPE.width, index % SHAPE.width));
        pixels.map(|(row, column)| rows.contains(&row) && columns.contains(&column)).collect()
    }

    #[test]
    fn the_innermost_pixel_is_in_the_middle_of_the_thickest_part() {
        let mut mask = rectangle(4..9, 10..15);
        for (pixel, thin) in mask.iter_mut().zip(rectangle(6..7, 0..30)) {
            *pixel |= thin;
        }
        assert_eq!(innermost(&mask, SHAPE), Some(PixelPoint::new(12.5, 6.5)));
        assert_eq!(innermost(&vec![false; SHAPE.area()], SHAPE), None);
    }

    #[test]
    fn corrections_are_where_the_answer_is_wrong_and_say_how() {
        let truth = rectangle(2..16, 4..20);
        let missing = rectangle(2..16, 4..11);
        let (at, label) = correction(&truth, &missing, SHAPE, None).unwrap();
        assert_eq!(label, Label::Foreground);
        assert!(at.column > 14.0 && at.column < 17.0, "{at:?}");
        let (at, label) = correction(&missing, &truth, SHAPE, None).unwrap();
        assert_eq!(label, Label::Background);
        assert!(at.column > 14.0, "{at:?}");
        let mut random = Random::new(3);
        for _ in 0..50 {
            let (at, label) = correction(&truth, &missing, SHAPE, Some(&mut random)).unwrap();
            assert!(label == Label::Foreground && (11.0..20.0).contains(&at.column), "{at:?}");
        }
        assert_eq!(correction(&truth, &truth, SHAPE, None), None);
        assert_eq!(correction(&truth, &truth, SHAPE, Some(&mut random)), None);
    }

    #[test]
    fn boxes_hold_the_mask_and_stay_on_the_chip() {
        let mask = rectangle(2..16, 4..20);
        let exact = bounds(&mask, SHAPE).unwrap();
        assert_eq!(exact, PixelBox { left: 4.0, top: 2.0, right: 20.0, bottom: 16.0 });
        let mut random = Random::new(5);
        for _ in 0..200 {
            let PixelBox { left, top, right, bottom } = jittered(exact, SHAPE, &mut random);
            assert!(0.0 <= left && left < right && right <= 30.0 && 0.0 <= top && top < bottom && bottom <= 20.0);
        }
        assert_eq!(bounds(&vec![false; SHAPE.area()], SHAPE), None);
    }
}
