//! From pixels to the edges between them.

use super::components::Components;
use crate::coordinates::Shape;

/// A corner of a pixel: `column` to the right and `row` down from the top-left corner of the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Corner {
    pub(super) row: i32,
    pub(super) column: i32,
}

/// The outline of one 4-connected component in pixel corners.
///
/// Rings are not closed (the first corner is not repeated), have a corner only where they turn, and have the component
/// on their left as the image is looked at: exteriors run anticlockwise, holes clockwise. Rings are simple and touch each other in
/// single corners at most, so the polygon is valid in the sense of OGC Simple Features.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PixelPolygon {
    pub(super) exterior: Vec<Corner>,
    pub(super) holes: Vec<Vec<Corner>>,
}

impl PixelPolygon {
    /// Number of pixels inside.
    pub(super) fn area(&self) -> f64 {
        let rings = std::iter::once(&self.exterior).chain(&self.holes);
        // Holes count negative, as they run the other way round.
        rings.map(|ring| signed_area(ring)).sum()
    }
}

/// Area of a ring in pixels, positive if it runs anticlockwise on the image.
fn signed_area(ring: &[Corner]) -> f64 {
    let next = ring.iter().cycle().skip(1);
    let doubled: i64 = ring
        .iter()
        .zip(next)
        .map(|(p, q)| i64::from(p.row) * i64::from(q.column) - i64::from(q.row) * i64::from(p.column))
        .sum();
    doubled as f64 / 2.0
}

/// Directions on the image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heading {
    West,
    South,
    East,
    North,
}

impl Heading {
    const fn left(self) -> Self {
        match self {
            Self::West => Self::South,
            Self::South => Self::East,
            Self::East => Self::North,
            Self::North => Self::West,
        }
    }

    const fn right(self) -> Self {
        match self {
            Self::West => Self::North,
            Self::North => Self::East,
            Self::East => Self::South,
            Self::South => Self::West,
        }
    }
}

/// The outlines of all components, in the row-major order of their first pixels.
pub(super) fn trace(mask: &[bool], shape: Shape) -> Vec<PixelPolygon> {
    let components = Components::of(mask, shape);
    let Components { stride, labels, .. } = &components;
    let mut polygons = vec![PixelPolygon::default(); components.count];
    // Every ring runs west along the top edge of a pixel somewhere, so these edges are enough to find and mark it.
    let mut traced = vec![false; labels.len()];
    for row in 0..shape.height {
        for column in 0..shape.width {
            let at = (row + 1) * stride + column + 1;
            let label = labels[at];
            if label == 0 || labels[at - stride] == label || traced[at] {
                continue;
            }
            let start = Corner { row: row as i32, column: column as i32 };
            let ring = follow(&components, &mut traced, start, at);
            let polygon = &mut polygons[label as usize - 1];
            // The topmost pixels of a component lie on its exterior, so that is found first.
            if polygon.exterior.is_empty() {
                polygon.exterior = ring;
            } else {
                polygon.holes.push(ring);
            }
        }
    }
    polygons
}

/// The ring through the west end `start` of the top edge of pixel `pixel`, with that pixel's component on the left.
fn follow(components: &Components, traced: &mut [bool], start: Corner, pixel: usize) -> Vec<Corner> {
    let Components { stride, labels, .. } = components;
    let label = labels[pixel];
    let mut ring = Vec::new();
    let mut corner = start;
    // The pixel south-east of the corner.
    let mut at = pixel;
    let mut heading = Heading::West;
    loop {
        let (ahead_left, ahead_right) = match heading {
            Heading::West => (at - 1, at - stride - 1),
            Heading::South => (at, at - 1),
            Heading::East => (at - stride, at),
            Heading::North => (at - stride - 1, at - stride),
        };
        // Where the component meets itself in a corner, turning right parts the two sides of the ring, which would
        // otherwise touch itself. Two components that meet in a corner have different labels and stay apart.
        let turned = if labels[ahead_right] == label {
            heading.right()
        } else if labels[ahead_left] == label {
            heading
        } else {
            heading.left()
        };
        if turned != heading {
            ring.push(corner);
            heading = turned;
        }
        match heading {
            Heading::West => {
                corner.column -= 1;
                at -= 1;
                traced[at] = true;
                if corner == start {
                    return ring;
                }
            }
            Heading::South => {
                corner.row += 1;
                at += stride;
            }
            Heading::East => {
                corner.column += 1;
                at += 1;
            }
            Heading::North => {
                corner.row -= 1;
                at -= stride;
            }
        }
    }
}
