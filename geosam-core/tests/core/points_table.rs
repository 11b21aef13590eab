//! Points in tables and CSV files.

use geosam_core::{Crs, Error, Label, PointColumns, Points, WorldPoint};

fn csv(content: &str, columns: &PointColumns) -> Result<Points, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.csv");
    std::fs::write(&path, content).unwrap();
    // The folder's name differs from run to run.
    Points::from_csv(&path, columns, Crs::wgs84())
        .map_err(|e| e.to_string().replace(&folder.path().display().to_string(), ""))
}

#[test]
fn columns_are_recognised() {
    for (x, y) in [
        ("x", "y"),
        ("XS", "YS"),
        ("lon", "LAT"),
        ("Longitude", "Latitude"),
        ("long", "lats"),
        ("longitudes", "latitudes"),
    ] {
        for label in ["label", "Labels", "point_label", "point_labels", "PROMPT_LABEL"] {
            let points = csv(&format!("{label},id,{y},{x}\n0,a,2,1\n"), &PointColumns::default()).unwrap();
            assert_eq!(points.coordinates(), [WorldPoint::new(1.0, 2.0)]);
            assert_eq!(points.labels(), [Label::Background]);
        }
    }
    let points = csv("\u{feff}x,y\n 1 , 2.5\n-3e2,4\n", &PointColumns::default()).unwrap();
    assert_eq!(points.coordinates()[1], WorldPoint::new(-300.0, 4.0));
    assert_eq!(points.labels(), [Label::Foreground; 2]);
    assert_eq!(points.crs(), Some(&Crs::wgs84()));
}

#[test]
fn columns_can_be_named() {
    let columns = PointColumns {
        x: Some("easting".into()),
        y: Some("northing".into()),
        label: Some("inside".into()),
        ..PointColumns::default()
    };
    let points = csv("x,y,easting,northing,inside\n0,0,5,6,1.0\n0,0,7,8,0\n", &columns).unwrap();
    assert_eq!(points.coordinates(), [WorldPoint::new(5.0, 6.0), WorldPoint::new(7.0, 8.0)]);
    assert_eq!(points.labels(), [Label::Foreground, Label::Background]);
    let columns = PointColumns { default_label: Label::Background, ..PointColumns::default() };
    assert_eq!(csv("x,y\n1,2\n", &columns).unwrap().labels(), [Label::Background]);
}

#[test]
fn mistakes_are_named_with_line_and_column() {
    let read = |content: &str| csv(content, &PointColumns::default()).unwrap_err();
    let prefix = "/points.csv is not a valid CSV file of points: expected ";
    assert_eq!(
        read("id,lat\n1,2\n"),
        format!(
            "{prefix}a column named x, xs, lon, longitude, long, longitudes (or name the column to use), found the columns id, lat"
        )
    );
    assert_eq!(
        read("x,lat\n1,2\n1,north\n"),
        format!("{prefix}a finite number in column lat, line 3, found \"north\"")
    );
    assert_eq!(read("x,y\nNaN,2\n"), format!("{prefix}a finite number in column x, line 2, found \"NaN\""));
    assert_eq!(read("x,y,label\n1,2,2\n"), format!("{prefix}the label 0 or 1 in column label, line 2, found \"2\""));
    assert_eq!(read("x,y,label\n1,2,\n"), format!("{prefix}the label 0 or 1 in column label, line 2, found \"\""));
    assert_eq!(read("x,y\n1,2\n3\n"), format!("{prefix}2 cells in line 3, found 1"));
    assert_eq!(read("x,y\n"), format!("{prefix}at least one point, found none"));
    let columns = PointColumns { label: Some("kind".into()), ..PointColumns::default() };
    assert_eq!(csv("x,y\n1,2\n", &columns).unwrap_err(), format!("{prefix}a column kind, found the columns x, y"));
    let missing = Points::from_csv("/nowhere/points.csv", &PointColumns::default(), None).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read /nowhere/points.csv: "), "{missing}");
}

#[test]
fn tables_of_numbers() {
    let points =
        Points::from_table(&["x", "y"], &[[1.5, 0.1 + 0.2], [1e-300, 2.0]], &PointColumns::default(), None).unwrap();
    assert_eq!(points.coordinates(), [WorldPoint::new(1.5, 0.1 + 0.2), WorldPoint::new(1e-300, 2.0)]);
    let rows = [vec!["1", "2"], vec!["3"]];
    let short = Points::from_table(&["x", "y"], &rows, &PointColumns::default(), None).unwrap_err();
    assert_eq!(short.to_string(), "invalid point table: expected a finite number in column y, row 2, found no cell");
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.csv");
    let coordinates = vec![WorldPoint::new(0.1 + 0.2, -1e-9), WorldPoint::new(500_000.123_456_789, 4e6)];
    let points = Points::new(coordinates, vec![Label::Background, Label::Foreground], Crs::wgs84()).unwrap();
    points.write_csv(&path).unwrap();
    assert_eq!(Points::from_csv(&path, &PointColumns::default(), Crs::wgs84()).unwrap(), points);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");

    let nowhere = folder.path().join("missing/points.csv");
    assert!(matches!(points.write_csv(&nowhere), Err(Error::Io { .. })));
}
