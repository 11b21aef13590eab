//! Convex polygons: how far inside a point lies, splitting, hulls.

use super::canvas::Bounds;

/// A convex polygon, corners in order.
#[derive(Clone, Debug)]
pub(crate) struct Convex {
    pub(crate) corners: Vec<[f32; 2]>,
    /// Inward normal and offset of each side.
    sides: Vec<[f32; 3]>,
}

impl Convex {
    /// `corners` in either sense of rotation.
    pub(crate) fn new(mut corners: Vec<[f32; 2]>) -> Self {
        if signed_area(&corners) < 0.0 {
            corners.reverse();
        }
        let sides = (0..corners.len())
            .filter_map(|i| {
                let (a, b) = (corners[i], corners[(i + 1) % corners.len()]);
                let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
                let length = (dx * dx + dy * dy).sqrt();
                (length > 1e-3).then(|| {
                    let normal = [-dy / length, dx / length];
                    [normal[0], normal[1], -(normal[0] * a[0] + normal[1] * a[1])]
                })
            })
            .collect();
        Self { corners, sides }
    }

    /// A rectangle: centre, half sides along and across `direction`.
    pub(crate) fn rectangle(center: [f32; 2], half: [f32; 2], direction: [f32; 2]) -> Self {
        let corner = |u: f32, v: f32| {
            let (u, v) = (u * half[0], v * half[1]);
            [center[0] + u * direction[0] - v * direction[1], center[1] + u * direction[1] + v * direction[0]]
        };
        Self::new(vec![corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)])
    }

    /// What the polygon covers while it moves by `by`: the shadow of a box.
    pub(crate) fn swept(&self, by: [f32; 2]) -> Self {
        let mut points = self.corners.clone();
        points.extend(self.corners.iter().map(|p| [p[0] + by[0], p[1] + by[1]]));
        points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
        let half = |points: &mut dyn Iterator<Item = [f32; 2]>| {
            let mut hull: Vec<[f32; 2]> = Vec::new();
            for p in points {
                while let [.., a, b] = hull[..]
                    && (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) <= 0.0
                {
                    hull.pop();
                }
                hull.push(p);
            }
            hull.pop();
            hull
        };
        let mut hull = half(&mut points.iter().copied());
        hull.extend(half(&mut points.iter().rev().copied()));
        Self::new(hull)
    }

    /// Distance in pixels to the nearest side, negative outside.
    pub(crate) fn inside(&self, x: f32, y: f32) -> f32 {
        self.sides.iter().fold(f32::MAX, |least, s| least.min(s[0] * x + s[1] * y + s[2]))
    }

    /// As [`inside`](Self::inside) near the polygon; farther than a pixel outside any value below -1, found sooner.
    pub(crate) fn near(&self, x: f32, y: f32) -> f32 {
        let mut least = f32::MAX;
        for s in &self.sides {
            least = least.min(s[0] * x + s[1] * y + s[2]);
            if least < -1.0 {
                break;
            }
        }
        least
    }

    /// The two parts on either side of the line through `point` along `direction`.
    pub(crate) fn split(&self, point: [f32; 2], direction: [f32; 2]) -> [Vec<[f32; 2]>; 2] {
        let side = |p: [f32; 2]| direction[0] * (p[1] - point[1]) - direction[1] * (p[0] - point[0]);
        let mut parts = [Vec::new(), Vec::new()];
        for (i, &a) in self.corners.iter().enumerate() {
            let b = self.corners[(i + 1) % self.corners.len()];
            let (da, db) = (side(a), side(b));
            parts[usize::from(da < 0.0)].push(a);
            if (da < 0.0) != (db < 0.0) {
                let t = da / (da - db);
                let cut = [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])];
                parts[0].push(cut);
                parts[1].push(cut);
            }
        }
        parts
    }

    /// Least and greatest position along `direction`.
    pub(crate) fn extent(&self, direction: [f32; 2]) -> [f32; 2] {
        self.corners.iter().fold([f32::MAX, f32::MIN], |e, p| {
            let along = p[0] * direction[0] + p[1] * direction[1];
            [e[0].min(along), e[1].max(along)]
        })
    }

    pub(crate) fn center(&self) -> [f32; 2] {
        let n = self.corners.len().max(1) as f32;
        let sum = self.corners.iter().fold([0.0, 0.0], |s, p| [s[0] + p[0], s[1] + p[1]]);
        [sum[0] / n, sum[1] / n]
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds::around(&self.corners)
    }

    /// In square pixels.
    pub(crate) fn area(&self) -> f32 {
        signed_area(&self.corners)
    }
}

fn signed_area(corners: &[[f32; 2]]) -> f32 {
    let twice = |i: usize| {
        let (a, b) = (corners[i], corners[(i + 1) % corners.len()]);
        a[0] * b[1] - a[1] * b[0]
    };
    (0..corners.len()).map(twice).sum::<f32>() / 2.0
}
