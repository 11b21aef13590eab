//! What is painted on: reflectance, who is seen, and shadow of every pixel. Every shape is a bounding box and a function
//! that says how far inside it a point lies.

use geosam::Shape;

use super::object::ObjectKind;

/// Reflectance × 10 000 in red, green, blue and near infrared.
pub(crate) type Reflectance = [f32; 4];

/// Who is seen in a pixel; [`NOBODY`] where no object is.
pub(crate) type Owner = u32;

/// The owner of what is no object: verges, hedges, shores.
pub(crate) const NOBODY: Owner = 0;

/// A rectangle in continuous pixel coordinates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) right: f32,
    pub(crate) bottom: f32,
}

impl Bounds {
    /// The box around `points`.
    pub(crate) fn around(points: &[[f32; 2]]) -> Self {
        let empty = Self { left: f32::MAX, top: f32::MAX, right: f32::MIN, bottom: f32::MIN };
        points.iter().fold(empty, |b, p| Self {
            left: b.left.min(p[0]),
            top: b.top.min(p[1]),
            right: b.right.max(p[0]),
            bottom: b.bottom.max(p[1]),
        })
    }

    /// `margin` pixels more on each side.
    pub(crate) fn grown(self, margin: f32) -> Self {
        Self {
            left: self.left - margin,
            top: self.top - margin,
            right: self.right + margin,
            bottom: self.bottom + margin,
        }
    }

    /// The box moved by `by`.
    pub(crate) fn shifted(self, by: [f32; 2]) -> Self {
        Self { left: self.left + by[0], top: self.top + by[1], right: self.right + by[0], bottom: self.bottom + by[1] }
    }

    /// Whether any of it lies on a scene of `shape`.
    pub(crate) fn touches(&self, shape: Shape) -> bool {
        self.right > 0.0 && self.bottom > 0.0 && self.left < shape.width as f32 && self.top < shape.height as f32
    }
}

/// The scene while it is painted.
#[derive(Debug)]
pub(crate) struct Canvas {
    pub(crate) shape: Shape,
    pub(crate) pixels: Vec<Reflectance>,
    pub(crate) owners: Vec<Owner>,
    /// 255: no sun.
    shade: Vec<u8>,
    /// Kind and parent of every owner but [`NOBODY`].
    pub(crate) registry: Vec<(ObjectKind, Owner)>,
}

impl Canvas {
    pub(crate) fn new(shape: Shape) -> Self {
        let area = shape.area();
        Self {
            shape,
            pixels: vec![[0.0; 4]; area],
            owners: vec![NOBODY; area],
            shade: vec![0; area],
            registry: Vec::new(),
        }
    }

    /// A new owner; what it covers belongs to its `parent`, too.
    pub(crate) fn register(&mut self, kind: ObjectKind, parent: Owner) -> Owner {
        self.registry.push((kind, parent));
        self.registry.len() as Owner
    }

    /// What an owner is.
    pub(crate) fn kind(&self, owner: Owner) -> Option<ObjectKind> {
        owner.checked_sub(1).map(|index| self.registry[index as usize].0)
    }

    /// Who is seen at a point; `None` off the scene.
    pub(crate) fn owner_at(&self, point: [f32; 2]) -> Option<Owner> {
        let inside = point[0] >= 0.0
            && point[1] >= 0.0
            && point[0] < self.shape.width as f32
            && point[1] < self.shape.height as f32;
        inside.then(|| self.owners[point[1] as usize * self.shape.width + point[0] as usize])
    }

    /// Paint where `inside` (a distance in pixels, positive inside) says; half covered pixels are blended, and belong to
    /// `owner` from half on.
    pub(crate) fn fill(
        &mut self,
        bounds: Bounds,
        owner: Owner,
        inside: impl Fn(f32, f32) -> f32,
        colour: impl Fn(f32, f32, f32) -> Reflectance,
    ) {
        self.fill_where(|_| true, bounds, owner, inside, colour);
    }

    /// As [`fill`](Self::fill), only where `ground` is seen (or the owner itself).
    pub(crate) fn fill_within(
        &mut self,
        ground: Owner,
        bounds: Bounds,
        owner: Owner,
        inside: impl Fn(f32, f32) -> f32,
        colour: impl Fn(f32, f32, f32) -> Reflectance,
    ) {
        self.fill_where(|seen| seen == ground || seen == owner, bounds, owner, inside, colour);
    }

    fn fill_where(
        &mut self,
        allowed: impl Fn(Owner) -> bool,
        bounds: Bounds,
        owner: Owner,
        inside: impl Fn(f32, f32) -> f32,
        colour: impl Fn(f32, f32, f32) -> Reflectance,
    ) {
        self.each(bounds, |canvas, index, x, y| {
            if !allowed(canvas.owners[index]) {
                return;
            }
            let distance = inside(x, y);
            if distance <= -0.5 {
                return;
            }
            let colour = colour(x, y, distance);
            let pixel = &mut canvas.pixels[index];
            if distance >= 0.5 {
                *pixel = colour;
            } else {
                blend(pixel, colour, distance + 0.5);
            }
            if distance >= 0.0 {
                canvas.owners[index] = owner;
            }
        });
    }

    /// Take the sun away where `inside` says, over an edge `blur` pixels wide.
    pub(crate) fn darken(&mut self, bounds: Bounds, blur: f32, depth: f32, inside: impl Fn(f32, f32) -> f32) {
        self.each(bounds, |canvas, index, x, y| {
            let cover = (inside(x, y) / blur + 0.5).clamp(0.0, 1.0) * depth;
            canvas.shade[index] = canvas.shade[index].max((cover * 255.0) as u8);
        });
    }

    /// Turn the shade collected so far into darker pixels: skylight is left, and it is blue.
    pub(crate) fn cast_shadows(&mut self) {
        const SKYLIGHT: Reflectance = [0.3, 0.34, 0.42, 0.26];
        for (pixel, shade) in self.pixels.iter_mut().zip(&mut self.shade) {
            if *shade > 0 {
                let depth = f32::from(*shade) / 255.0;
                for (value, left) in pixel.iter_mut().zip(SKYLIGHT) {
                    *value *= 1.0 - depth * (1.0 - left);
                }
                *shade = 0;
            }
        }
    }

    /// Call `paint` with the index and the centre of every pixel of the box.
    pub(crate) fn each(&mut self, bounds: Bounds, mut paint: impl FnMut(&mut Self, usize, f32, f32)) {
        let clip = |value: f32, end: usize| (value.max(0.0) as usize).min(end);
        let columns = clip(bounds.left, self.shape.width)..clip(bounds.right + 1.0, self.shape.width);
        for row in clip(bounds.top, self.shape.height)..clip(bounds.bottom + 1.0, self.shape.height) {
            for column in columns.clone() {
                let index = row * self.shape.width + column;
                paint(self, index, column as f32 + 0.5, row as f32 + 0.5);
            }
        }
    }
}

/// Move `pixel` towards `colour` by `share`.
pub(crate) fn blend(pixel: &mut Reflectance, colour: Reflectance, share: f32) {
    for (value, target) in pixel.iter_mut().zip(colour) {
        *value += (target - *value) * share;
    }
}
