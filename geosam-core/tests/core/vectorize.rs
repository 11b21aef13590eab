//! Polygons of masks: always valid, within the tolerance, the right way round.

use geo::{Area, BooleanOps, Validation, Winding};
use geo_types::{Coord, LineString, Polygon};
use geosam_core::{
    Affine, Crs, Error, GeoGrid, MaskChoice, MaskVectorizer, Masks, SameCrsOnly, Shape, VectorizeOptions,
};
use proptest::prelude::*;

fn grid(shape: Shape, transform: [f64; 6]) -> GeoGrid {
    GeoGrid::new(Affine::new(transform), shape, Crs::new("EPSG:32618")).unwrap()
}

const NORTH_UP: [f64; 6] = [2.0, 0.0, 500_000.0, 0.0, -2.0, 4_000_000.0];

/// North-up, south-up, mirrored, both, rotated with unequal pixel sizes, transposed.
const TRANSFORMS: [[f64; 6]; 6] = [
    NORTH_UP,
    [2.0, 0.0, 500_000.0, 0.0, 2.0, 4_000_000.0],
    [-0.5, 0.0, 10.0, 0.0, -0.5, 20.0],
    [-2.0, 0.0, 0.0, 0.0, 2.0, 0.0],
    [1.7, 0.6, 500_000.0, 0.4, -1.1, 4_000_000.0],
    [0.0, 3.0, 0.0, 3.0, 0.0, 0.0],
];

fn drawn(rows: &[&str]) -> (Masks, Shape) {
    let shape = Shape::new(rows.len(), rows[0].len());
    let values = rows.iter().flat_map(|row| row.chars()).map(|c| c == '#').collect();
    (Masks::new(shape, values).unwrap(), shape)
}

fn polygons(rows: &[&str], options: &VectorizeOptions) -> Vec<Polygon<f64>> {
    let (masks, shape) = drawn(rows);
    MaskVectorizer::new(&masks, &grid(shape, NORTH_UP)).unwrap().polygons(options).unwrap()
}

/// Noise smoothed by majority, as masks are: parts with holes, islands in holes, and corners that touch.
fn blotchy(shape: Shape, seed: u64, rounds: usize) -> Vec<bool> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut mask: Vec<bool> = (0..shape.area())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) % 100 < 52
        })
        .collect();
    for _ in 0..rounds {
        let old = mask.clone();
        let at = |row: isize, column: isize| {
            row >= 0
                && column >= 0
                && row < shape.height as isize
                && column < shape.width as isize
                && old[row as usize * shape.width + column as usize]
        };
        for (i, value) in mask.iter_mut().enumerate() {
            let (row, column) = ((i / shape.width) as isize, (i % shape.width) as isize);
            let around = (-1..=1).flat_map(|r| (-1..=1).map(move |c| (r, c)));
            *value = around.filter(|(r, c)| at(row + r, column + c)).count() >= 5;
        }
    }
    mask
}

/// Distance from a point to the nearest of a polygon's rings.
fn distance_to_boundary(p: Coord<f64>, polygon: &Polygon<f64>) -> f64 {
    let rings = std::iter::once(polygon.exterior()).chain(polygon.interiors());
    rings
        .flat_map(LineString::lines)
        .map(|line| {
            let (d, to_p) = (line.delta(), p - line.start);
            let along = ((to_p.x * d.x + to_p.y * d.y) / (d.x * d.x + d.y * d.y)).clamp(0.0, 1.0);
            (to_p.x - along * d.x).hypot(to_p.y - along * d.y)
        })
        .fold(f64::INFINITY, f64::min)
}

/// The larger of the two directed Hausdorff distances between boundaries, sampled at vertices and between them.
fn hausdorff(a: &Polygon<f64>, b: &Polygon<f64>) -> f64 {
    let directed = |from: &Polygon<f64>, to: &Polygon<f64>| {
        let rings = std::iter::once(from.exterior()).chain(from.interiors());
        rings
            .flat_map(LineString::lines)
            .flat_map(|line| (0..4).map(move |i| line.start + line.delta() * (f64::from(i) / 4.0)))
            .map(|p| distance_to_boundary(p, to))
            .fold(0.0, f64::max)
    };
    directed(a, b).max(directed(b, a))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_polygon_is_valid_and_close(
        height in 1usize..40, width in 1usize..40, seed: u64, rounds in 0usize..3,
        which in 0..TRANSFORMS.len(), pixels in 0.0..8.0f64,
    ) {
        let shape = Shape::new(height, width);
        let mask = blotchy(shape, seed, rounds);
        let set = mask.iter().filter(|inside| **inside).count();
        let masks = Masks::new(shape, mask).unwrap();
        let grid = grid(shape, TRANSFORMS[which]);
        let tolerance = pixels * grid.resolution().0;
        let vectorizer = MaskVectorizer::new(&masks, &grid).unwrap();

        let exact = vectorizer.polygons(&VectorizeOptions::default()).unwrap();
        let area: f64 = exact.iter().map(Area::unsigned_area).sum();
        prop_assert!((area - set as f64 * grid.transform.pixel_area()).abs() <= 1e-6 * (area + 1.0));

        let options = VectorizeOptions { simplify_tolerance: tolerance, ..Default::default() };
        let simple = vectorizer.polygons(&options).unwrap();
        prop_assert_eq!(simple.len(), exact.len());
        for (exact, simple) in exact.iter().zip(&simple) {
            for polygon in [exact, simple] {
                prop_assert!(polygon.is_valid(), "{:?}", polygon.validation_errors());
                prop_assert!(polygon.exterior().is_ccw());
                prop_assert!(polygon.interiors().iter().all(Winding::is_cw));
            }
            prop_assert_eq!(simple.interiors().len(), exact.interiors().len());
            let distance = hausdorff(exact, simple);
            prop_assert!(distance <= tolerance * (1.0 + 1e-9) + 1e-9, "{} > {}", distance, tolerance);
        }
    }
}

#[test]
fn a_part_that_meets_itself_in_a_corner_is_valid() {
    // The hole opens to the outside in a corner only: a hole that touches the exterior, not an exterior that touches itself.
    let found = polygons(&["####", "#..#", "#.#.", "###."], &VectorizeOptions::default());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].interiors().len(), 1);
    assert!(found[0].is_valid());
    // Two parts that share a corner stay two.
    assert_eq!(polygons(&["#.", ".#"], &VectorizeOptions::default()).len(), 2);
    // Two holes that share a corner stay two.
    let found = polygons(&["####", "#.##", "##.#", "####"], &VectorizeOptions::default());
    assert_eq!((found.len(), found[0].interiors().len()), (1, 2));
}

#[test]
fn islands_in_holes_are_parts_of_their_own() {
    let found = polygons(&["#####", "#...#", "#.#.#", "#...#", "#####"], &VectorizeOptions::default());
    let areas: Vec<_> = found.iter().map(Area::unsigned_area).collect();
    assert_eq!(areas, [16.0 * 4.0, 4.0]);
}

#[test]
fn parts_are_selected() {
    let rows = ["###..#", "#.#...", "###.##"];
    let areas = |options: VectorizeOptions| -> Vec<f64> {
        polygons(&rows, &options).iter().map(|polygon| polygon.unsigned_area() / 4.0).collect()
    };
    assert_eq!(areas(VectorizeOptions::default()), [8.0, 1.0, 2.0]);
    assert_eq!(areas(VectorizeOptions { fill_holes: true, ..Default::default() }), [9.0, 1.0, 2.0]);
    assert_eq!(areas(VectorizeOptions { min_area: 8.0, ..Default::default() }), [8.0, 2.0]);
    assert_eq!(areas(VectorizeOptions { min_area: 8.1, ..Default::default() }), [8.0]);
    assert_eq!(areas(VectorizeOptions { largest_only: true, ..Default::default() }), [8.0]);
    // Filling comes before measuring.
    assert_eq!(areas(VectorizeOptions { min_area: 34.0, fill_holes: true, ..Default::default() }), [9.0]);
    assert!(areas(VectorizeOptions { min_area: 1e9, largest_only: true, ..Default::default() }).is_empty());
}

#[test]
fn simplification_straightens_stairs() {
    let rows: Vec<String> = (1..=40).map(|n| format!("{}{}", "#".repeat(n), ".".repeat(40 - n))).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let options = VectorizeOptions { simplify_tolerance: 2.0, ..Default::default() };
    let found = polygons(&rows, &options);
    assert!(
        found[0].exterior().0.len() <= 6,
        "a triangle of steps becomes about a triangle: {:?}",
        found[0].exterior()
    );
    let exact = polygons(&rows, &VectorizeOptions::default());
    assert!(exact[0].intersection(&found[0]).unsigned_area() > 0.95 * exact[0].unsigned_area());
}

#[test]
fn features_carry_attributes() {
    let shape = Shape::new(2, 2);
    let masks = Masks::new(shape, vec![true, false, false, true, true, true, false, false]).unwrap();
    let grid = grid(shape, NORTH_UP);
    let own = serde_json::json!({"chip_id": "chip_000003", "model_type": "sam"}).as_object().unwrap().clone();
    let vectorizer =
        MaskVectorizer::new(&masks, &grid).unwrap().with_scores(&[0.5, 0.25]).unwrap().with_properties(own);
    let features = vectorizer.features(&VectorizeOptions { mask: MaskChoice::All, ..Default::default() }).unwrap();
    let rows: Vec<_> = features
        .features
        .iter()
        .map(|f| ["id", "mask", "area", "score"].map(|key| f.properties[key].as_f64().unwrap()))
        .collect();
    assert_eq!(rows, [[1.0, 0.0, 4.0, 0.5], [2.0, 0.0, 4.0, 0.5], [3.0, 1.0, 8.0, 0.25]]);
    assert!(features.features.iter().all(|f| f.properties["chip_id"] == "chip_000003"));

    let document: serde_json::Value = serde_json::from_str(&features.to_geojson().to_string()).unwrap();
    assert_eq!(document["type"], "FeatureCollection");
    assert_eq!(document["crs"]["properties"]["name"], "urn:ogc:def:crs:EPSG::32618");
    let ring = &document["features"][2]["geometry"]["coordinates"][0];
    assert_eq!(
        *ring,
        serde_json::json!([
            [500_000.0, 4_000_000.0],
            [500_000.0, 3_999_998.0],
            [500_004.0, 3_999_998.0],
            [500_004.0, 4_000_000.0],
            [500_000.0, 4_000_000.0]
        ])
    );
    let same = features.to_crs(&features.crs, &SameCrsOnly).unwrap();
    assert_eq!(same, features);
    assert!(matches!(features.to_crs(&Crs::wgs84(), &SameCrsOnly), Err(Error::Crs { .. })));

    let wgs84 = geosam_core::MaskFeatures { crs: Crs::wgs84(), ..features };
    assert!(wgs84.to_geojson().foreign_members.is_none(), "RFC 7946 needs no crs member");
}

#[test]
fn nothing_set_is_no_polygon_and_mistakes_are_named() {
    assert!(polygons(&["..", ".."], &VectorizeOptions::default()).is_empty());
    let (masks, shape) = drawn(&["##"]);
    let message = |result: Result<_, Error>| result.map(|_: Vec<Polygon<f64>>| ()).unwrap_err().to_string();
    let grid_of_masks = grid(shape, NORTH_UP);
    let vectorizer = MaskVectorizer::new(&masks, &grid_of_masks).unwrap();
    let options = |mask, simplify_tolerance| VectorizeOptions { mask, simplify_tolerance, ..Default::default() };
    assert_eq!(
        message(vectorizer.polygons(&options(MaskChoice::Index(1), 0.0))),
        "invalid mask index: expected less than 1, the number of masks, found 1"
    );
    assert_eq!(
        message(vectorizer.polygons(&options(MaskChoice::All, f64::NAN))),
        "invalid simplification tolerance: expected a number that is not negative, found NaN"
    );
    assert!(MaskVectorizer::new(&masks, &grid(Shape::new(2, 1), NORTH_UP)).is_err());
    assert!(vectorizer.with_scores(&[]).is_err());
}

/// Not a test of correctness: prints what `cargo test -p geosam-core -- --ignored --nocapture time` measures.
#[test]
#[ignore = "a measurement, to be read by a person"]
#[allow(clippy::print_stdout)]
fn time_a_large_noisy_mask() {
    let shape = Shape::square(1024);
    for rounds in [0, 1, 2, 3] {
        let masks = Masks::new(shape, blotchy(shape, 7, rounds)).unwrap();
        let grid = grid(shape, NORTH_UP);
        let vectorizer = MaskVectorizer::new(&masks, &grid).unwrap();
        for tolerance in [0.0, 2.0] {
            let options = VectorizeOptions { simplify_tolerance: tolerance, ..Default::default() };
            let mut times: Vec<_> = (0..7)
                .map(|_| {
                    let start = std::time::Instant::now();
                    std::hint::black_box(vectorizer.polygons(&options).unwrap());
                    start.elapsed()
                })
                .collect();
            times.sort();
            let found = vectorizer.polygons(&options).unwrap();
            let rings = found.iter().flat_map(|p| std::iter::once(p.exterior()).chain(p.interiors()));
            let vertices: usize = rings.map(|ring| ring.0.len()).sum();
            println!(
                "{rounds} rounds, tolerance {tolerance}: {} polygons, {vertices} vertices, {:?}",
                found.len(),
                times[3]
            );
        }
    }
}

/// A chain that lies wholly past the end of the ring's vertices took those before it for its own, and did not see them.
#[test]
fn a_chain_past_the_end_of_the_ring_sees_the_rest_of_it() {
    let grid = grid(Shape::new(19, 33), TRANSFORMS[0]);
    let masks = Masks::new(grid.shape, blotchy(grid.shape, 10_013_976_403_607_490_065, 2)).unwrap();
    let simplify_tolerance = 3.623_505_870_538_090_3 * grid.resolution().0;
    let options = VectorizeOptions { simplify_tolerance, ..Default::default() };
    for polygon in MaskVectorizer::new(&masks, &grid).unwrap().polygons(&options).unwrap() {
        assert!(polygon.is_valid(), "{:?}", polygon.validation_errors());
    }
}
