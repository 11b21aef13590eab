//! Fewer vertices, same topology.

use super::trace::{Corner, PixelPolygon};
use crate::affine::Affine;

/// Simplify the rings of a polygon so that none moves further than `tolerance` (in world units), and the polygon stays
/// valid.
///
/// Douglas and Peucker's method (1973) with a condition: a chain of vertices is replaced by the segment between its ends
/// only if the region between chain and segment, boundary included, holds no other vertex that is still in use, be it
/// of the same ring or of another. Nothing can then cross the segment: an edge that did would have to end inside the
/// region, or to cross the chain. So every step leads from a valid polygon to a valid one, as in Saalfeld's "Topologically
/// consistent line simplification" (1999). Predicates are exact, because they work on integer pixel corners and the
/// transform to the world preserves them; only lengths are measured in the world.
pub(super) fn simplify(polygon: &mut PixelPolygon, transform: Affine, tolerance: f64) {
    let mut simplifier = Simplifier::new(polygon, transform, tolerance);
    let mut start = 0;
    for ring in std::iter::once(&mut polygon.exterior).chain(&mut polygon.holes) {
        simplifier.simplify_ring(Ring { start, len: ring.len() });
        let kept = &simplifier.in_use[start..start + ring.len()];
        start += ring.len();
        let mut kept = kept.iter();
        ring.retain(|_| kept.next().is_some_and(|kept| *kept));
    }
}

/// A ring's place among the vertices of its polygon.
#[derive(Clone, Copy)]
struct Ring {
    start: usize,
    len: usize,
}

impl Ring {
    /// Index of the vertex at `position`, which may run past the end once.
    const fn index(self, position: usize) -> usize {
        self.start + if position < self.len { position } else { position - self.len }
    }

    /// Whether vertex `index` is one of those at positions `from..=to`, both of which may run past the end once.
    fn chain_contains(self, from: usize, to: usize, index: usize) -> bool {
        if index < self.start || index >= self.start + self.len {
            return false;
        }
        let position = index - self.start;
        (from..=to).contains(&position) || (from..=to).contains(&(position + self.len))
    }
}

struct Simplifier {
    /// All rings, one after the other.
    vertices: Vec<Corner>,
    in_use: Vec<bool>,
    /// All vertices with their indices, sorted by row and column.
    by_place: Vec<(Corner, u32)>,
    transform: Affine,
    squared_tolerance: f64,
}

impl Simplifier {
    fn new(polygon: &PixelPolygon, transform: Affine, tolerance: f64) -> Self {
        let vertices: Vec<Corner> =
            std::iter::once(&polygon.exterior).chain(&polygon.holes).flatten().copied().collect();
        let mut by_place: Vec<_> = vertices.iter().copied().zip(0..).collect();
        by_place.sort_unstable();
        let in_use = vec![true; vertices.len()];
        Self { vertices, in_use, by_place, transform, squared_tolerance: tolerance * tolerance }
    }

    /// Three vertices that are not on a line stay, so that a ring never collapses; the chains between them are simplified.
    fn simplify_ring(&mut self, ring: Ring) {
        let at = |position: usize| self.vertices[ring.index(position)];
        let farthest_from = |p: Corner| (0..ring.len).max_by_key(|&i| squared_distance(p, at(i))).unwrap_or(0);
        let first = farthest_from(at(0));
        let second = farthest_from(at(first));
        let third = (0..ring.len).max_by_key(|&i| cross(at(first), at(second), at(i)).abs()).unwrap_or(0);
        let mut anchors = [first, second, third];
        anchors.sort_unstable();

        let mut chains = vec![(anchors[0], anchors[1]), (anchors[1], anchors[2]), (anchors[2], anchors[0] + ring.len)];
        while let Some((from, to)) = chains.pop() {
            if to - from < 2 {
                continue;
            }
            let (farthest, squared) = self.farthest_from_segment(ring, from, to);
            if squared <= self.squared_tolerance && self.is_free(ring, from, to) {
                for position in from + 1..to {
                    self.in_use[ring.index(position)] = false;
                }
            } else {
                chains.extend([(from, farthest), (farthest, to)]);
            }
        }
    }

    /// The vertex strictly between two that is farthest from the segment between them, and its squared distance in world
    /// units.
    fn farthest_from_segment(&self, ring: Ring, from: usize, to: usize) -> (usize, f64) {
        let start = self.vertices[ring.index(from)];
        let t = self.transform;
        let world = |p: Corner| {
            let (columns, rows) = (f64::from(p.column - start.column), f64::from(p.row - start.row));
            (columns * t.a + rows * t.b, columns * t.d + rows * t.e)
        };
        let (end_x, end_y) = world(self.vertices[ring.index(to)]);
        let squared_length = end_x * end_x + end_y * end_y;
        let mut farthest = (from + 1, -1.0);
        for position in from + 1..to {
            let (x, y) = world(self.vertices[ring.index(position)]);
            let along = ((x * end_x + y * end_y) / squared_length).clamp(0.0, 1.0);
            let (dx, dy) = (x - along * end_x, y - along * end_y);
            let squared = dx * dx + dy * dy;
            if squared > farthest.1 {
                farthest = (position, squared);
            }
        }
        farthest
    }

    /// Whether no other vertex in use lies in the region between a chain and the segment between its ends.
    fn is_free(&self, ring: Ring, from: usize, to: usize) -> bool {
        let chain: Vec<Corner> = (from..=to).map(|position| self.vertices[ring.index(position)]).collect();
        let (start, end) = (chain[0], chain[chain.len() - 1]);
        let low = chain.iter().fold(start, |m, p| Corner { row: m.row.min(p.row), column: m.column.min(p.column) });
        let high = chain.iter().fold(start, |m, p| Corner { row: m.row.max(p.row), column: m.column.max(p.column) });
        let is_obstacle = |p: Corner, index: usize| {
            self.in_use[index]
                // Another ring may touch this one in an end of the chain, and goes on to do so.
                && p != start
                && p != end
                && !ring.chain_contains(from, to, index)
                && region_contains(&chain, p)
        };
        let mut rest = &self.by_place[..];
        let mut row = low.row;
        loop {
            rest = &rest[rest.partition_point(|(p, _)| *p < Corner { row, column: low.column })..];
            match rest.first() {
                Some((p, _)) if p.row > high.row => return true,
                Some((p, _)) if p.row > row => row = p.row,
                Some((p, _)) if p.column > high.column => row += 1,
                Some((p, index)) => {
                    if is_obstacle(*p, *index as usize) {
                        return false;
                    }
                    rest = &rest[1..];
                }
                None => return true,
            }
        }
    }
}

/// Whether `p` lies in the region that the closed chain encloses (even–odd) or on its boundary.
fn region_contains(chain: &[Corner], p: Corner) -> bool {
    let mut inside = false;
    let mut a = chain[chain.len() - 1];
    for &b in chain {
        let side = cross(a, b, p);
        let (low, high) = (a.min(b), a.max(b));
        let columns = a.column.min(b.column)..=a.column.max(b.column);
        if side == 0 && (low.row..=high.row).contains(&p.row) && columns.contains(&p.column) {
            return true;
        }
        if (a.row > p.row) != (b.row > p.row) && (side > 0) == (b.row > a.row) {
            inside = !inside;
        }
        a = b;
    }
    inside
}

/// Twice the signed area of the triangle.
fn cross(a: Corner, b: Corner, c: Corner) -> i64 {
    i64::from(b.column - a.column) * i64::from(c.row - a.row)
        - i64::from(c.column - a.column) * i64::from(b.row - a.row)
}

fn squared_distance(a: Corner, b: Corner) -> i64 {
    let (rows, columns) = (i64::from(a.row - b.row), i64::from(a.column - b.column));
    rows * rows + columns * columns
}
