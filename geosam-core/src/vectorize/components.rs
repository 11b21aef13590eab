//! Which pixels belong together.

use crate::coordinates::Shape;

/// The 4-connected components of a mask, with a border of one pixel of background around them.
pub(super) struct Components {
    /// Distance between vertical neighbours: width + 2.
    pub(super) stride: usize,
    /// Component of each pixel, 0 for background; `(height + 2) * (width + 2)` row-major.
    pub(super) labels: Vec<u32>,
    /// Number of components; they are numbered from 1 in the row-major order of their first pixels.
    pub(super) count: usize,
}

impl Components {
    /// Label `mask`, `shape` row-major.
    pub(super) fn of(mask: &[bool], shape: Shape) -> Self {
        let stride = shape.width + 2;
        let mut labels = vec![0; stride * (shape.height + 2)];
        let mut parents = vec![0];
        for (row, pixels) in mask.chunks_exact(shape.width).enumerate() {
            let start = (row + 1) * stride + 1;
            for (at, _) in (start..).zip(pixels).filter(|(_, inside)| **inside) {
                labels[at] = match (labels[at - 1], labels[at - stride]) {
                    (0, 0) => {
                        parents.push(parents.len() as u32);
                        parents.len() as u32 - 1
                    }
                    (0, neighbour) | (neighbour, 0) => neighbour,
                    (left, above) => union(&mut parents, left, above),
                };
            }
        }
        // A parent is never larger than its child, so one pass in order both flattens and renumbers.
        let mut count = 0;
        let mut numbers = vec![0; parents.len()];
        for label in 1..parents.len() {
            if parents[label] as usize == label {
                count += 1;
                numbers[label] = count;
            } else {
                numbers[label] = numbers[parents[label] as usize];
            }
        }
        for label in &mut labels {
            *label = numbers[*label as usize];
        }
        Self { stride, labels, count: count as usize }
    }
}

/// Join two sets under the smaller root, which is returned.
fn union(parents: &mut [u32], a: u32, b: u32) -> u32 {
    let (a, b) = (root(parents, a), root(parents, b));
    let (low, high) = (a.min(b), a.max(b));
    parents[high as usize] = low;
    low
}

fn root(parents: &mut [u32], mut label: u32) -> u32 {
    while parents[label as usize] != label {
        // Halve the path on the way up, so that long chains stay cheap.
        parents[label as usize] = parents[parents[label as usize] as usize];
        label = parents[label as usize];
    }
    label
}
