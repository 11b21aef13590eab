//! Where automatic masks go, one by one.

use std::path::PathBuf;

use clap::Args;
use geosam::{AutomaticMask, Error, GeoGrid, LabelWriter, Result, VectorFormat, VectorWriter, VectorizeOptions};
use serde_json::json;

use crate::query::outputs::{Kind, kind};

/// How masks become polygons.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Polygons")]
pub(crate) struct Polygons {
    /// How far an outline may move to become simpler, in units of the CRS
    #[arg(long, value_name = "TOL", default_value_t = 0.0)]
    simplify: f64,
    /// Only the largest part of each mask
    #[arg(long)]
    largest_part: bool,
}

impl Polygons {
    /// Check the files to write, before any work is done.
    pub(crate) fn check(&self, files: &[PathBuf]) -> Result<()> {
        for path in files {
            match kind(path) {
                Kind::Vector if VectorFormat::for_path(path)? != VectorFormat::Shapefile => {}
                Kind::Mask => {}
                Kind::Vector | Kind::Picture => {
                    let expected = "a name ending in .geojson, .json, .gpkg, .fgb or .tif";
                    return Err(Error::invalid_argument("--out", expected, path.display()));
                }
            }
        }
        if !(self.simplify >= 0.0 && self.simplify.is_finite()) {
            return Err(Error::invalid_argument("--simplify", "a number that is not negative", self.simplify));
        }
        Ok(())
    }

    fn options(self) -> VectorizeOptions {
        VectorizeOptions {
            largest_only: self.largest_part,
            simplify_tolerance: self.simplify,
            ..VectorizeOptions::default()
        }
    }
}

/// Files that appear when all masks are in them.
#[derive(Debug)]
pub(crate) struct Outputs {
    vectors: Vec<VectorWriter>,
    labels: Vec<LabelWriter>,
    grid: GeoGrid,
    options: VectorizeOptions,
    polygons: usize,
}

impl Outputs {
    pub(crate) fn create(files: &[PathBuf], grid: &GeoGrid, polygons: Polygons) -> Result<Self> {
        let (labels, vectors): (Vec<_>, Vec<_>) = files.iter().partition(|path| kind(path) == Kind::Mask);
        Ok(Self {
            vectors: vectors.iter().map(|path| VectorWriter::create(path, &grid.crs)).collect::<Result<_>>()?,
            labels: labels.iter().map(|path| LabelWriter::create(path, grid)).collect::<Result<_>>()?,
            grid: grid.clone(),
            options: polygons.options(),
            polygons: 0,
        })
    }

    pub(crate) fn write(&mut self, mask: &AutomaticMask) -> Result<()> {
        for labels in &mut self.labels {
            labels.write(mask.id, mask.window, mask.mask.mask(0))?;
        }
        if self.vectors.is_empty() {
            return Ok(());
        }
        let mut features = mask.features(&self.grid, &self.options)?;
        // One number for each polygon of the file; `mask` says which of them are one mask.
        for feature in &mut features.features {
            self.polygons += 1;
            feature.properties.insert("id".to_string(), json!(self.polygons));
        }
        self.vectors.iter_mut().try_for_each(|vectors| vectors.write(features.clone()))
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.vectors.into_iter().try_for_each(VectorWriter::finish)?;
        self.labels.into_iter().try_for_each(LabelWriter::finish)
    }
}
