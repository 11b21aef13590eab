use std::path::{Path, PathBuf};

use geosam_core::{
    Affine, Crs, Error, GeoGrid, MaskFeatures, MaskVectorizer, Masks, ModelImage, Shape, VectorizeOptions,
};
use geosam_io::{MaskFormat, OverlayStyle, write_mask, write_overlay, write_vector};

const OUTPUTS: [&str; 7] = ["a.geojson", "a.gpkg", "a.fgb", "a.shp", "a.tif", "cog.tif", "a.png"];

/// A mask full of corners, its polygons, and a picture that compresses badly.
struct Outputs {
    image: ModelImage,
    masks: Masks,
    grid: GeoGrid,
    polygons: MaskFeatures,
}

impl Outputs {
    fn new(side: usize) -> Self {
        let shape = Shape::square(side);
        // SplitMix64.
        let noise = |i: usize| {
            let mut z = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)) as u8
        };
        let cell = |p: usize| noise((p / side / 5) * 1000 + p % side / 5) > 128;
        let masks = Masks::new(shape, (0..shape.area()).map(cell).collect()).unwrap();
        let transform = Affine::from_origin(500_000.25, 4_000_000.5, 0.5, 0.5);
        let grid = GeoGrid::new(transform, shape, Crs::new("EPSG:32632")).unwrap();
        let polygons = MaskVectorizer::new(&masks, &grid).unwrap().features(&VectorizeOptions::default()).unwrap();
        let image = ModelImage::new(shape, (0..3 * shape.area()).map(noise).collect()).unwrap();
        Self { image, masks, grid, polygons }
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        match path.extension().unwrap().to_str().unwrap() {
            "png" => write_overlay(path, &self.image, &self.masks, &[], &OverlayStyle::default()),
            "tif" if path.ends_with("cog.tif") => write_mask(path, &self.masks, &self.grid, MaskFormat::Cog),
            "tif" => write_mask(path, &self.masks, &self.grid, MaskFormat::GeoTiff),
            _ => write_vector(path, &self.polygons),
        }
    }
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_that_is_not_there_is_an_error_with_the_path() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"not a folder").unwrap();
    let outputs = Outputs::new(40);
    for (place, name) in ["absent", "file"].iter().flat_map(|place| OUTPUTS.map(|name| (place, name))) {
        let path = folder.path().join(place).join(name);
        let error = outputs.write(&path).unwrap_err();
        assert!(matches!(&error, Error::Io { path: named, .. } if *named == path), "{error}");
    }
    assert_eq!(names(folder.path()), [folder.path().join("file")]);
}

#[test]
fn a_folder_in_the_way_stays_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(40);
    for name in OUTPUTS.into_iter().filter(|name| *name != "a.shp") {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"").unwrap();
        assert!(matches!(outputs.write(&path), Err(Error::Io { .. })), "{name}");
        assert_eq!(names(folder.path()), [path.as_path()]);
        std::fs::remove_dir_all(path).unwrap();
    }
}

#[test]
#[ignore = "needs a small file system: GEOSAM_SMALL_DISK names an empty folder on one of 8 KiB"]
fn a_full_disk_leaves_what_was_there() {
    let folder = PathBuf::from(std::env::var_os("GEOSAM_SMALL_DISK").expect("GEOSAM_SMALL_DISK is set"));
    let outputs = Outputs::new(1024);
    for name in OUTPUTS {
        let path = folder.join(name);
        let error = outputs.write(&path).unwrap_err();
        assert!(
            matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull),
            "{error}"
        );
        assert!(names(&folder).is_empty(), "{name}: {:?}", names(&folder));
        std::fs::write(&path, b"old").unwrap();
        assert!(outputs.write(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old", "{name}");
        assert_eq!(names(&folder), [path.as_path()]);
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
#[ignore = "writes the files that tests/parity/check_outputs.py reads into the folder GEOSAM_OUTPUTS"]
fn write_outputs_for_other_readers() {
    let folder = PathBuf::from(std::env::var_os("GEOSAM_OUTPUTS").expect("GEOSAM_OUTPUTS is set"));
    std::fs::create_dir_all(&folder).unwrap();
    let outputs = Outputs::new(300);
    for name in OUTPUTS {
        outputs.write(&folder.join(name)).unwrap();
    }
}
