use gdal::DriverManager;
use geosam_core::{
    Affine, Crs, CrsTransform, Error, GeoGrid, MaskChoice, MaskVectorizer, Masks, PixelAnchor, Result, Shape,
    VectorizeOptions, Window, WorldPoint,
};
use geosam_io::{Osr, PolygonFileOptions, Polygons, read_polygons, write_vector};
use tempfile::TempDir;

use super::{add_layer, write_layer};

const UTM: &str = "EPSG:32632";

/// 40 × 60 pixels of half a metre; the top-left corner at (500000, 4000020).
fn grid() -> GeoGrid {
    GeoGrid::new(Affine::from_origin(500_000.0, 4_000_020.0, 0.5, 0.5), Shape::new(40, 60), Crs::new(UTM)).unwrap()
}

fn read(folder: &TempDir, name: &str) -> Result<Polygons> {
    read_polygons(folder.path().join(name), &PolygonFileOptions::default(), &grid().crs)
}

/// A GeoPackage of polygons in UTM.
fn polygons(wkts: &[&str]) -> Result<Polygons> {
    let folder = tempfile::tempdir().unwrap();
    let features: Vec<_> = wkts.iter().map(|wkt| (*wkt, &[][..])).collect();
    write_layer(&folder.path().join("a.gpkg"), "GPKG", Some(UTM), &features);
    read(&folder, "a.gpkg")
}

/// The mask of every pixel whose centre `inside` holds.
fn expected(grid: &GeoGrid, inside: impl Fn(WorldPoint) -> bool) -> Vec<bool> {
    let pixel = |index: usize| ((index % grid.shape.width) as i64, (index / grid.shape.width) as i64);
    (0..grid.shape.area()).map(pixel).map(|(column, row)| inside(grid.xy(column, row, PixelAnchor::Center))).collect()
}

fn within(p: WorldPoint, [left, right]: [f64; 2], [bottom, top]: [f64; 2]) -> bool {
    (left..right).contains(&(p.x - 500_000.0)) && (bottom..top).contains(&(p.y - 4_000_000.0))
}

#[test]
fn a_hole_and_several_parts_are_one_mask() {
    let ring = "POLYGON ((500002 4000002, 500012 4000002, 500012 4000012, 500002 4000012, 500002 4000002), \
                (500004 4000004, 500008 4000004, 500008 4000010, 500004 4000010, 500004 4000004))";
    let parts = "MULTIPOLYGON (((500020 4000001, 500021 4000001, 500021 4000003, 500020 4000003, 500020 4000001)), \
                 ((500025 4000015, 500045 4000015, 500045 4000030, 500025 4000030, 500025 4000015)))";
    let polygons = polygons(&[ring, parts]).unwrap();
    assert_eq!((polygons.len(), polygons.crs()), (2, &Crs::new(UTM)));
    let masks = polygons.masks(&grid()).unwrap();
    assert_eq!((masks.len(), masks.shape()), (2, grid().shape));
    let ring = |p| within(p, [2.0, 12.0], [2.0, 12.0]) && !within(p, [4.0, 8.0], [4.0, 10.0]);
    assert_eq!(masks.mask(0), expected(&grid(), ring));
    let parts = |p| within(p, [20.0, 21.0], [1.0, 3.0]) || within(p, [25.0, 45.0], [15.0, 30.0]);
    assert_eq!(masks.mask(1), expected(&grid(), parts));
}

#[test]
fn what_covers_no_pixel_has_no_mask() {
    let elsewhere = "POLYGON ((600000 4000000, 600010 4000000, 600010 4000010, 600000 4000000))";
    let touching = "POLYGON ((499990 4000000, 500000 4000000, 500000 4000020, 499990 4000020, 499990 4000000))";
    let between_centres = "POLYGON ((500001.8 4000001, 500002.2 4000001, 500002.2 4000009, 500001.8 4000001))";
    let around = "POLYGON ((400000 3900000, 600000 3900000, 600000 4100000, 400000 4100000, 400000 3900000))";
    let polygons = polygons(&[elsewhere, touching, between_centres, around]).unwrap();
    assert_eq!(polygons.len(), 4);
    let masks = polygons.masks(&grid()).unwrap();
    assert_eq!(masks.len(), 1);
    assert!(masks.values().iter().all(|inside| *inside));
    let chip = GeoGrid { transform: grid().transform.shifted(1000.0, 1000.0), ..grid() };
    assert_eq!(polygons.masks(&chip).unwrap().len(), 1);
    let far = GeoGrid { transform: grid().transform.shifted(1e6, 0.0), ..grid() };
    assert!(polygons.masks(&far).unwrap().is_empty());
}

#[test]
fn chips_and_rotated_grids_have_their_own_pixels() {
    let polygons =
        polygons(&["POLYGON ((500003.1 4000002, 500020 4000004.2, 500010.3 4000017.4, 500003.1 4000002))"]).unwrap();
    let whole = polygons.masks(&grid()).unwrap();
    let window = Window::new(13, 8, Shape::new(20, 25));
    let chip = polygons.masks(&grid().window(window).unwrap()).unwrap();
    for row in 0..20 {
        let line = &whole.mask(0)[(8 + row) * 60 + 13..][..25];
        assert_eq!(&chip.mask(0)[row * 25..][..25], line, "row {row}");
    }
    // Columns run north, rows east.
    let transform = Affine::new([0.0, 0.5, 500_000.0, 0.5, 0.0, 4_000_000.0]);
    let turned = GeoGrid::new(transform, Shape::new(60, 40), Crs::new(UTM)).unwrap();
    let masks = polygons.masks(&turned).unwrap();
    for (row, column) in (0..40).flat_map(|row| (0..60).map(move |column| (row, column))) {
        assert_eq!(masks.mask(0)[column * 40 + 39 - row], whole.mask(0)[row * 60 + column], "{row}, {column}");
    }
}

/// The polygons that a mask becomes are that mask again, in every format.
#[test]
fn written_masks_are_read_back_to_the_pixel() {
    let grid = grid();
    let disc = |p: WorldPoint| (p.x - 500_011.0).hypot(p.y - 4_000_009.0);
    let truth = [
        expected(&grid, |p| (3.0..7.0).contains(&disc(p))),
        // Checks meet in corners: each becomes a polygon of its own.
        expected(&grid, |p| within(p, [22.0, 23.0], [3.0, 4.0]) || within(p, [23.0, 24.0], [4.0, 5.0])),
    ];
    let masks = Masks::new(grid.shape, truth.concat()).unwrap();
    let options = VectorizeOptions { mask: MaskChoice::All, ..VectorizeOptions::default() };
    let features = MaskVectorizer::new(&masks, &grid).unwrap().features(&options).unwrap();
    assert_eq!(features.features.len(), 3);
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.gpkg", "a.shp", "a.fgb", "a.geojson"] {
        write_vector(folder.path().join(name), &features).unwrap();
        let found = read(&folder, name).unwrap().masks(&grid).unwrap();
        assert_eq!(found.len(), 3, "{name}");
        // FlatGeobuf sorts by place.
        assert!(found.iter().any(|mask| mask == truth[0]), "{name}");
        let checks: Vec<_> = found.iter().filter(|mask| *mask != truth[0]).collect();
        let both: Vec<_> = checks[0].iter().zip(checks[1]).map(|(a, b)| *a || *b).collect();
        assert_eq!(both, truth[1], "{name}");
    }
}

#[test]
fn longitude_and_latitude_are_brought_to_the_grid() {
    // No edge meets the centre of a pixel.
    let corners = [(3.1, 2.0), (25.0, 5.2), (12.3, 18.4), (3.1, 2.0)];
    let mut points = corners.map(|(x, y)| WorldPoint::new(500_000.0 + x, 4_000_000.0 + y));
    let wkt = |points: &[WorldPoint]| {
        let points: Vec<_> = points.iter().map(|p| format!("{} {} 71.5", p.x, p.y)).collect();
        format!("POLYGON Z (({}))", points.join(", "))
    };
    let here = polygons(&[&wkt(&points)]).unwrap();
    Osr.transform_points(&Crs::new(UTM), &Crs::wgs84(), &mut points).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_layer(&folder.path().join("a.geojson"), "GeoJSON", Some("EPSG:4326"), &[(&wkt(&points), &[])]);
    write_layer(&folder.path().join("a.shp"), "ESRI Shapefile", None, &[(&wkt(&points), &[])]);
    let expected = here.masks(&grid()).unwrap();
    assert!(expected.values().contains(&true));
    assert_eq!(read(&folder, "a.geojson").unwrap().masks(&grid()).unwrap(), expected);
    assert!(matches!(read(&folder, "a.shp"), Err(Error::MissingCrs { .. })));
    let options = PolygonFileOptions { crs: Some(Crs::wgs84()), ..PolygonFileOptions::default() };
    let named = read_polygons(folder.path().join("a.shp"), &options, &grid().crs).unwrap();
    assert_eq!(named.masks(&grid()).unwrap(), expected);
}

#[test]
fn an_arc_is_an_edge() {
    let disc = "CURVEPOLYGON (CIRCULARSTRING (500005 4000010, 500015 4000010, 500005 4000010))";
    let masks = polygons(&[disc]).unwrap().masks(&grid()).unwrap();
    assert_eq!(masks.mask(0), expected(&grid(), |p| (p.x - 500_010.0).hypot(p.y - 4_000_010.0) < 5.0));
}

#[test]
fn anything_but_valid_polygons_is_refused_with_the_feature() {
    let square = "POLYGON ((500002 4000002, 500012 4000002, 500012 4000012, 500002 4000002))";
    let bow_tie = "POLYGON ((500002 4000002, 500012 4000012, 500012 4000002, 500002 4000012, 500002 4000002))";
    for (wkt, found) in [
        (bow_tie, "Self-intersection"),
        ("LINESTRING (500002 4000002, 500012 4000012)", "a linestring"),
        ("POLYGON EMPTY", "no geometry"),
    ] {
        let error = polygons(&[square, wkt]).unwrap_err();
        assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("not a valid polygon file") && error.contains(found), "{error}");
        assert!(error.contains("in feature 2"), "{error}");
    }
    let error = polygons(&[]).unwrap_err().to_string();
    assert!(error.contains("at least one polygon"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let north = "POLYGON ((9 91, 9.5 91, 9.5 95, 9 91))";
    write_layer(&folder.path().join("a.gpkg"), "GPKG", Some("EPSG:4326"), &[(north, &[])]);
    let error = read(&folder, "a.gpkg").unwrap_err().to_string();
    assert!(error.contains("have an image in EPSG:32632") && error.contains("in feature 1"), "{error}");
}

#[test]
fn layers_and_systems_are_chosen_as_for_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gpkg");
    let mut dataset = DriverManager::get_driver_by_name("GPKG").unwrap().create_vector_only(&path).unwrap();
    let triangle = "POLYGON ((500002 4000002, 500012 4000002, 500012 4000012, 500002 4000002))";
    add_layer(&mut dataset, "trees", Some(UTM), &[(triangle, &[])]);
    add_layer(&mut dataset, "roofs", Some(UTM), &[(triangle, &[]), (triangle, &[])]);
    dataset.close().unwrap();
    let error = read(&folder, "a.gpkg").unwrap_err().to_string();
    assert!(error.contains("trees, roofs"), "{error}");
    let options = PolygonFileOptions { layer: Some("roofs".to_string()), ..PolygonFileOptions::default() };
    let roofs = read_polygons(&path, &options, &grid().crs).unwrap();
    assert_eq!(roofs.masks(&grid()).unwrap().len(), 2);

    let error = roofs.masks(&GeoGrid { crs: Crs::wgs84(), ..grid() }).unwrap_err();
    assert!(matches!(error, Error::Crs { .. }) && error.to_string().contains("EPSG:32632"), "{error}");
    let unknown = read_polygons(&path, &options, &Crs::new("EPSG:0")).unwrap_err();
    assert!(matches!(unknown, Error::Crs { .. }), "{unknown}");
}

#[test]
fn one_set_of_polygons_serves_several_threads() {
    let polygons =
        polygons(&["POLYGON ((500003.1 4000002, 500020 4000004.2, 500010.3 4000017.4, 500003.1 4000002))"]).unwrap();
    let expected = polygons.masks(&grid()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(polygons.masks(&grid()).unwrap(), expected)));
        }
    });
}
