//! The objects of a scene and the pixels in which each is seen.

use geosam::{Shape, Window};

use super::canvas::{Canvas, NOBODY, Owner};

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ObjectKind {
    Field,
    Meadow,
    Orchard,
    Crown,
    Wood,
    Clearing,
    Yard,
    Lake,
    River,
    Sea,
    Road,
    Roof,
    Pool,
    Vehicle,
    GreenhouseBlock,
    Greenhouse,
    SolarFarm,
    SolarRow,
    Cloud,
}

impl ObjectKind {
    /// Narrow by nature.
    fn is_linear(self) -> bool {
        matches!(self, Self::Road | Self::River | Self::SolarRow)
    }

    /// Water that one can click on.
    pub(crate) fn is_water(self) -> bool {
        matches!(self, Self::Lake | Self::River | Self::Sea)
    }
}

/// One connected region in which one thing is seen.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) kind: ObjectKind,
    /// Smallest window of the scene around it.
    pub(crate) window: Window,
    /// Whether the object is what one sees, for every pixel of the window, by rows.
    pub(crate) mask: Vec<bool>,
    /// Number of pixels.
    pub(crate) area: usize,
}

impl Object {
    /// Smaller pieces are no objects.
    pub(crate) const MIN_AREA: usize = 64;

    /// Share of the pixels whose four neighbours belong to the object, too, that anything but roads and rivers must have:
    /// slivers cut off at the edge of the scene are no use.
    const MIN_CORE: f32 = 0.45;

    /// The pixel farthest from the object's edge, as column and row of the scene.
    pub(crate) fn innermost(&self) -> (usize, usize) {
        let Shape { height, width } = self.window.shape;
        // City block distance, in two passes.
        let mut distance = vec![0u32; height * width];
        for row in 0..height {
            for column in 0..width {
                let i = row * width + column;
                if self.mask[i] && row > 0 && column > 0 {
                    distance[i] = 1 + distance[i - 1].min(distance[i - width]);
                }
            }
        }
        let mut best = (0, 0);
        for row in (0..height).rev() {
            for column in (0..width).rev() {
                let i = row * width + column;
                let after =
                    if row + 1 < height && column + 1 < width { distance[i + 1].min(distance[i + width]) } else { 0 };
                distance[i] = distance[i].min(u32::from(self.mask[i]) + after);
                if distance[i] > best.0 {
                    best = (distance[i], i);
                }
            }
        }
        (self.window.column as usize + best.1 % width, self.window.row as usize + best.1 / width)
    }

    /// Whether the object is what one sees in a pixel of the scene.
    pub(crate) fn holds(&self, column: i64, row: i64) -> bool {
        let (left, top, width) = (self.window.column, self.window.row, self.window.shape.width);
        (left..self.window.column_end()).contains(&column)
            && (top..self.window.row_end()).contains(&row)
            && self.mask[(row - top) as usize * width + (column - left) as usize]
    }

    /// Intersection over union with a mask whose pixels are those of `window`.
    pub(crate) fn iou(&self, mask: &[bool], window: Window) -> f64 {
        let (mut common, mut found) = (0, 0);
        for (row, line) in (window.row..).zip(mask.chunks_exact(window.shape.width)) {
            for (column, _) in (window.column..).zip(line).filter(|(_, inside)| **inside) {
                found += 1;
                common += usize::from(self.holds(column, row));
            }
        }
        common as f64 / (self.area + found - common) as f64
    }
}

/// The rectangle of an owner's pixels, ends excluded.
#[derive(Clone, Copy)]
struct Extent {
    columns: [usize; 2],
    rows: [usize; 2],
}

/// Every object that is seen on the canvas; what is cut apart by others becomes several.
pub(crate) fn objects(canvas: &Canvas) -> Vec<Object> {
    let Shape { height, width } = canvas.shape;
    let parent = |owner: Owner| canvas.registry[owner as usize - 1].1;
    let nothing = Extent { columns: [width, 0], rows: [height, 0] };
    let mut extents = vec![nothing; canvas.registry.len() + 1];
    for row in 0..height {
        let line = &canvas.owners[row * width..(row + 1) * width];
        let mut start = 0;
        while start < width {
            let mut owner = line[start];
            let end = start + line[start..].iter().take_while(|o| **o == owner).count();
            while owner != NOBODY {
                let extent = &mut extents[owner as usize];
                extent.columns = [extent.columns[0].min(start), extent.columns[1].max(end)];
                extent.rows = [extent.rows[0].min(row), row + 1];
                owner = parent(owner);
            }
            start = end;
        }
    }
    let mut found = Vec::new();
    for (owner, extent) in extents.into_iter().enumerate().skip(1) {
        if extent.columns[0] < extent.columns[1] {
            pieces(canvas, owner as Owner, extent, &mut found);
        }
    }
    found
}

/// The connected regions of one owner and its children.
fn pieces(canvas: &Canvas, owner: Owner, extent: Extent, found: &mut Vec<Object>) {
    let kind = canvas.registry[owner as usize - 1].0;
    let (width, height) = (extent.columns[1] - extent.columns[0], extent.rows[1] - extent.rows[0]);
    let belongs = |mut other: Owner| {
        while other > owner {
            other = canvas.registry[other as usize - 1].1;
        }
        other == owner
    };
    let mut open = Vec::with_capacity(width * height);
    for row in extent.rows[0]..extent.rows[1] {
        let line = row * canvas.shape.width;
        open.extend(canvas.owners[line + extent.columns[0]..line + extent.columns[1]].iter().map(|o| belongs(*o)));
    }
    let mut stack = Vec::new();
    let mut piece = Vec::new();
    for first in 0..open.len() {
        if !open[first] {
            continue;
        }
        open[first] = false;
        stack.push(first);
        piece.clear();
        while let Some(i) = stack.pop() {
            piece.push(i);
            let column = i % width;
            let mut visit = |next: usize| {
                if open[next] {
                    open[next] = false;
                    stack.push(next);
                }
            };
            if column > 0 {
                visit(i - 1);
            }
            if column + 1 < width {
                visit(i + 1);
            }
            if i >= width {
                visit(i - width);
            }
            if i + width < width * height {
                visit(i + width);
            }
        }
        if piece.len() >= Object::MIN_AREA {
            found.extend(object(kind, extent, width, &piece));
        }
    }
}

/// The object of the pixels `piece` of a rectangle `width` wide, unless it is a sliver.
fn object(kind: ObjectKind, extent: Extent, width: usize, piece: &[usize]) -> Option<Object> {
    let mut own = Extent { columns: [usize::MAX, 0], rows: [usize::MAX, 0] };
    for i in piece {
        let (column, row) = (i % width, i / width);
        own.columns = [own.columns[0].min(column), own.columns[1].max(column + 1)];
        own.rows = [own.rows[0].min(row), own.rows[1].max(row + 1)];
    }
    let shape = Shape::new(own.rows[1] - own.rows[0], own.columns[1] - own.columns[0]);
    let place = |i: usize| (i / width - own.rows[0]) * shape.width + i % width - own.columns[0];
    let mut mask = vec![false; shape.area()];
    piece.iter().for_each(|i| mask[place(*i)] = true);
    let core = |i: usize| {
        let (column, row) = (i % shape.width, i / shape.width);
        column > 0
            && row > 0
            && column + 1 < shape.width
            && row + 1 < shape.height
            && mask[i - 1]
            && mask[i + 1]
            && mask[i - shape.width]
            && mask[i + shape.width]
    };
    let solid = piece.iter().filter(|i| core(place(**i))).count() as f32;
    let column = (extent.columns[0] + own.columns[0]) as i64;
    let row = (extent.rows[0] + own.rows[0]) as i64;
    (kind.is_linear() || solid >= Object::MIN_CORE * piece.len() as f32).then(|| Object {
        kind,
        window: Window::new(column, row, shape),
        mask,
        area: piece.len(),
    })
}
