//! A folder with a raster and a checkpoint, and the command run on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use geosam::{Affine, Crs, GeoGrid, Pixels, SamConfig, Shape, write_random_checkpoint, write_raster};
use tempfile::TempDir;

/// EPSG:32633, two metres a pixel, 300 rows of 400 pixels, three bands of u16 with a bright block; 0 is nodata.
pub(crate) const SHAPE: Shape = Shape::new(300, 400);

pub(crate) struct Workspace {
    pub(crate) folder: TempDir,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let grid =
            GeoGrid::new(Affine::from_origin(500_000.0, 5_000_000.0, 2.0, 2.0), SHAPE, Crs::new("EPSG:32633")).unwrap();
        let band: Vec<u16> = (0..SHAPE.area())
            .map(|i| {
                let (row, column) = (i / SHAPE.width, i % SHAPE.width);
                let block = (60..140).contains(&row) && (80..200).contains(&column);
                (if block { 3000 } else { 400 }) + (i * 7 % 90) as u16
            })
            .collect();
        write_raster(&folder.path().join("scene.tif"), &grid, &Pixels::U16(band.repeat(3)), 3, Some(0.0)).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn raster(&self) -> PathBuf {
        self.path("scene.tif")
    }

    /// A checkpoint of the smallest SAM: chips of 128 pixels. Written once for all tests.
    pub(crate) fn checkpoint() -> &'static Path {
        static CHECKPOINT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
        let (_, path) = CHECKPOINT.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("small_sam.pt");
            write_random_checkpoint(&path, &SamConfig::small(), 3).unwrap();
            (folder, path)
        });
        path
    }

    /// `geosam ARGUMENTS` in the folder; arguments are separated by white space, `CKPT` stands for the checkpoint.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_geosam"));
        command.current_dir(self.folder.path());
        for argument in arguments.split_whitespace() {
            if argument == "CKPT" {
                command.arg(Self::checkpoint());
            } else {
                command.arg(argument);
            }
        }
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a run that succeeds.
    pub(crate) fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "geosam {arguments}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON object that a run that succeeds prints.
    pub(crate) fn json(&self, arguments: &str) -> serde_json::Value {
        let text = self.ok(&format!("{arguments} --json"));
        assert_eq!(text.trim_end().lines().count(), 1, "one line of JSON: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The message of a run that fails as it should: exit code 1, nothing on standard output, one line of error.
    pub(crate) fn error(&self, arguments: &str) -> String {
        message(&self.run(arguments), arguments)
    }

    /// Names of everything below the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        fn visit(folder: &Path, root: &Path, names: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    visit(&path, root, names);
                } else {
                    names.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        let mut names = Vec::new();
        visit(self.folder.path(), self.folder.path(), &mut names);
        names.sort();
        names
    }
}

/// The error of a command that was interrupted.
pub(crate) fn interruption(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.lines().last().unwrap().starts_with("error: cancelled after"), "{text}");
    text
}

pub(crate) fn message(output: &Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "geosam {what}: {text}");
    assert!(output.stdout.is_empty(), "geosam {what} printed {}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    text.strip_prefix("error: ").unwrap_or_else(|| panic!("{text}")).trim_end().to_string()
}
