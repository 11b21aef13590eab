use crate::affine::Affine;
use crate::bbox::BoundingBox;
use crate::coordinates::{Shape, WorldPoint};
use crate::crs::{Crs, CrsTransform};
use crate::error::Error;
use crate::grid::GeoGrid;

/// Largest difference after a round trip, relative to the largest coordinate of the points.
const ROUND_TRIP: f64 = 1e-9;

/// Assert the contract of [`CrsTransform`] on `points` in `from`, which all have an image in `to`. For an implementation
/// that knows no projection both are the same.
///
/// # Panics
/// Where the implementation breaks the contract.
pub fn crs_transform(transform: &dyn CrsTransform, from: &Crs, to: &Crs, points: &[WorldPoint]) {
    assert!(points.len() >= 2, "two points or more make a test");
    for crs in [from, to] {
        definitions(transform, crs);
        identity(transform, crs, points);
    }
    round_trip(transform, from, to, points);
    bounds(transform, from, to, points);
    if from != to {
        all_or_nothing(transform, from, to, points);
    }
}

fn definitions(transform: &dyn CrsTransform, crs: &Crs) {
    let description = transform.describe(crs).unwrap_or_else(|e| panic!("{crs}: {e}"));
    assert!(
        transform.equivalent(crs, &description.canonical).expect("two good definitions"),
        "{crs} is its canonical form"
    );
    let again = transform.describe(&description.canonical).expect("a canonical form is a good definition");
    assert_eq!(again.canonical, description.canonical, "the canonical form of {crs} is its own");
    assert_eq!(
        description.is_geographic,
        description.metres_per_unit.is_none(),
        "only projected systems have a unit of length"
    );
    assert!(!description.name.is_empty(), "{crs} has a name");
}

fn identity(transform: &dyn CrsTransform, crs: &Crs, points: &[WorldPoint]) {
    let mut unchanged = points.to_vec();
    transform.transform_points(crs, crs, &mut unchanged).expect("the identity");
    assert_eq!(unchanged, points, "the identity leaves coordinates as they are");

    let bounds = around(points, crs);
    assert_eq!(transform.transform_bounds(&bounds, crs).expect("the identity"), bounds);
    let nowhere = BoundingBox { crs: None, ..bounds };
    assert!(matches!(transform.transform_bounds(&nowhere, crs), Err(Error::MissingCrs { .. })), "bounds need a CRS");

    let grid = GeoGrid::new(Affine::from_origin(points[0].x, points[0].y, 0.5, 0.25), Shape::new(40, 30), crs.clone())
        .expect("a good grid");
    assert_eq!(
        transform.suggest_grid(&grid, crs, None, None).expect("the identity"),
        grid,
        "a grid in its own CRS stays"
    );
    let coarser = transform.suggest_grid(&grid, crs, Some((1.0, 1.0)), None).expect("the identity");
    assert_eq!((coarser.shape, coarser.resolution()), (Shape::new(10, 15), (1.0, 1.0)), "a grid of another resolution");
    let shaped = transform.suggest_grid(&grid, crs, None, Some(Shape::new(20, 10))).expect("the identity");
    assert_eq!((shaped.shape, shaped.resolution()), (Shape::new(20, 10), (1.5, 0.5)), "a grid of another shape");
    assert!(
        transform.suggest_grid(&grid, crs, Some((1.0, 1.0)), Some(Shape::square(2))).is_err(),
        "resolution or shape"
    );
}

fn round_trip(transform: &dyn CrsTransform, from: &Crs, to: &Crs, points: &[WorldPoint]) {
    let mut moved = points.to_vec();
    transform.transform_points(from, to, &mut moved).unwrap_or_else(|e| panic!("{from} to {to}: {e}"));
    assert!(moved.iter().all(|p| p.x.is_finite() && p.y.is_finite()), "images are finite: {moved:?}");
    transform.transform_points(to, from, &mut moved).unwrap_or_else(|e| panic!("{to} to {from}: {e}"));
    let size = points.iter().map(|p| p.x.abs().max(p.y.abs())).fold(0.0, f64::max);
    for (there_and_back, p) in moved.iter().zip(points) {
        let error = (there_and_back.x - p.x).abs().max((there_and_back.y - p.y).abs());
        assert!(error <= ROUND_TRIP * size, "{p:?} comes back as {there_and_back:?} from {to}");
    }
}

fn bounds(transform: &dyn CrsTransform, from: &Crs, to: &Crs, points: &[WorldPoint]) {
    let image = transform.transform_bounds(&around(points, from), to).expect("bounds of points that have an image");
    assert_eq!(image.crs.as_ref(), Some(to), "bounds carry their new CRS");
    let mut moved = points.to_vec();
    transform.transform_points(from, to, &mut moved).expect("points that have an image");
    // Edges bend between the points at which they are sampled.
    let slack = 0.01 * image.width().max(image.height());
    let roomy = image.buffer(slack).expect("a larger box");
    for p in moved {
        assert!(roomy.contains_point(p), "{image} holds the image {p:?}");
    }
}

fn all_or_nothing(transform: &dyn CrsTransform, from: &Crs, to: &Crs, points: &[WorldPoint]) {
    let mut bad = points.to_vec();
    bad.push(WorldPoint::new(f64::NAN, 0.0));
    let before: Vec<_> = bad.iter().map(|p| (p.x.to_bits(), p.y.to_bits())).collect();
    assert!(
        matches!(transform.transform_points(from, to, &mut bad), Err(Error::Crs { .. })),
        "a point without an image is an error"
    );
    let after: Vec<_> = bad.iter().map(|p| (p.x.to_bits(), p.y.to_bits())).collect();
    assert_eq!(after, before, "after an error the points are as they were");

    let unknown = Crs::new("no such system");
    assert!(matches!(transform.describe(&unknown), Err(Error::Crs { .. })), "an unknown definition is an error");
    let mut points = points.to_vec();
    assert!(transform.transform_points(from, &unknown, &mut points).is_err(), "an unknown definition is an error");
    assert!(!transform.equivalent(from, to).expect("two good definitions"), "{from} and {to} differ");
}

fn around(points: &[WorldPoint], crs: &Crs) -> BoundingBox {
    let low = |pick: fn(&WorldPoint) -> f64| points.iter().map(pick).fold(f64::INFINITY, f64::min);
    let high = |pick: fn(&WorldPoint) -> f64| points.iter().map(pick).fold(f64::NEG_INFINITY, f64::max);
    BoundingBox::new(low(|p| p.x), low(|p| p.y), high(|p| p.x), high(|p| p.y), crs.clone()).expect("finite points")
}
