//! Prompts from vector files.

use std::collections::HashMap;
use std::path::Path;

use gdal::errors::GdalError;
use gdal::vector::{Defn, Feature, Geometry, LayerAccess, OGRFieldType};
use geosam_core::{BoundingBox, Crs, Error, Label, Points, PromptSet, Result, SameCrsOnly, WorldPoint};
use serde_json::{Map, Value};

use crate::gdal_ffi::has_value;
use crate::vector_reader::VectorReader;

/// Names under which labels are found, in any case: those of Python geosam.
const LABEL_FIELDS: [&str; 5] = ["label", "labels", "point_label", "point_labels", "prompt_label"];

/// Names under which the number of an object is found, in any case.
const GROUP_FIELDS: [&str; 3] = ["prompt_id", "object", "group"];

/// What a prompt file does not say itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptFileOptions {
    /// Layer to read. Default: the only one that has geometries.
    pub layer: Option<String>,
    /// Field that holds 1 (foreground) or 0 (background) for each point. Default: the first called `label`, `labels`,
    /// `point_label`, `point_labels` or `prompt_label`, in any case, unless it holds texts that are something else. Without
    /// one, every point is foreground.
    pub label_field: Option<String>,
    /// Field whose value features of one object share. Default: the first called `prompt_id`, `object` or `group`, in any
    /// case, **if it holds whole numbers**; without one, every feature is an object of its own.
    pub group_field: Option<String>,
    /// The CRS of the coordinates where the file names none, as a CSV file or a Shapefile without `.prj`. A file that
    /// names its CRS is believed, and GeoJSON is in WGS 84 unless it says otherwise.
    pub crs: Option<Crs>,
}

/// Prompts for one object, as a vector file has them.
#[derive(Clone, Debug, PartialEq)]
pub struct FilePrompt {
    /// Feature id, that of the first feature where several make up the object. Formats without ids count from 0.
    pub id: i64,
    /// Points, a box, or both, in the file's CRS.
    pub prompt: PromptSet,
    /// Fields of the (first) feature: numbers and texts as they are, everything else as text.
    pub properties: Map<String, Value>,
}

/// Read prompts from anything GDAL opens as a vector: GeoPackage, GeoJSON, FlatGeobuf, Shapefile, CSV, …
///
/// A point is a click on an object, a multi-point several clicks on one; both take their label from the feature. A
/// polygon, or a multi-polygon, is a box prompt: the bounds of the area. Features that share the value of
/// [`PromptFileOptions::group_field`] make up one object, with all their clicks and the box around all their polygons.
/// Objects come in the order in which the file first names them.
///
/// A CSV file has columns `x` and `y` (or `lon` and `lat`, `longitude` and `latitude`), or geometries as WKT in a column
/// called `wkt`, and its CRS is given in [`PromptFileOptions::crs`].
///
/// # Errors
/// [`Error::Dataset`] if the file cannot be read, [`Error::InvalidFile`] if it has no features, a geometry that is
/// neither point nor polygon, or a label other than 0 and 1 (the message names the feature), [`Error::MissingCrs`] if
/// neither file nor options give a CRS, [`Error::InvalidArgument`] for a layer or field that is not there.
///
/// # Examples
/// ```
/// use geosam_core::{Crs, Label};
/// use geosam_io::{PromptFileOptions, read_prompts};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("clicks.geojson");
/// std::fs::write(&path, r#"{"type": "FeatureCollection", "features": [
///     {"type": "Feature", "properties": {"object": 1, "label": 1},
///      "geometry": {"type": "Point", "coordinates": [9.001, 36.142]}},
///     {"type": "Feature", "properties": {"object": 1, "label": 0},
///      "geometry": {"type": "Point", "coordinates": [9.002, 36.142]}}
/// ]}"#)?;
/// let prompts = read_prompts(&path, &PromptFileOptions::default())?;
/// assert_eq!(prompts.len(), 1);
/// let clicks = prompts[0].prompt.points().expect("the file has points");
/// assert_eq!(clicks.labels(), [Label::Foreground, Label::Background]);
/// assert_eq!(clicks.crs(), Some(&Crs::wgs84()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_prompts(path: impl AsRef<Path>, options: &PromptFileOptions) -> Result<Vec<FilePrompt>> {
    let (crs, features) = read_features(path.as_ref(), options)?;
    let mut objects: Vec<Object> = Vec::new();
    let mut by_group: HashMap<String, usize> = HashMap::new();
    for feature in features {
        let known = feature.group.as_ref().and_then(|group| by_group.get(group));
        match known {
            Some(&object) => objects[object].add(feature.mark, feature.label)?,
            None => {
                by_group.extend(feature.group.map(|group| (group, objects.len())));
                let mut object = Object { id: feature.id, properties: feature.properties, ..Object::default() };
                object.add(feature.mark, feature.label)?;
                objects.push(object);
            }
        }
    }
    objects.into_iter().map(|object| object.into_prompt(&crs)).collect()
}

/// Read all points of a vector file as the clicks on **one** object: Python's `Points.from_file`.
///
/// `options.group_field` is not looked at; see [`read_prompts`] for files with several objects.
///
/// # Errors
/// As [`read_prompts`]; [`Error::InvalidFile`] also for a polygon.
pub fn read_points(path: impl AsRef<Path>, options: &PromptFileOptions) -> Result<Points> {
    let path = path.as_ref();
    let (crs, features) = read_features(path, options)?;
    let (mut coordinates, mut labels) = (Vec::new(), Vec::new());
    for feature in features {
        let Mark::Clicks(clicks) = feature.mark else {
            return Err(Error::invalid_file(
                path,
                FORMAT,
                "points only",
                format!("a polygon in feature {}", feature.id),
            ));
        };
        labels.extend(vec![feature.label; clicks.len()]);
        coordinates.extend(clicks);
    }
    Points::new(coordinates, labels, crs)
}

const FORMAT: &str = "prompt file";

/// What a feature draws on the map.
enum Mark {
    Clicks(Vec<WorldPoint>),
    Area(BoundingBox),
}

struct FileFeature {
    id: i64,
    mark: Mark,
    label: Label,
    group: Option<String>,
    properties: Map<String, Value>,
}

/// The features of one object, added up.
#[derive(Default)]
struct Object {
    id: i64,
    coordinates: Vec<WorldPoint>,
    labels: Vec<Label>,
    area: Option<BoundingBox>,
    properties: Map<String, Value>,
}

impl Object {
    fn add(&mut self, mark: Mark, label: Label) -> Result<()> {
        match (mark, &self.area) {
            (Mark::Clicks(clicks), _) => {
                self.labels.extend(vec![label; clicks.len()]);
                self.coordinates.extend(clicks);
            }
            (Mark::Area(area), Some(other)) => self.area = Some(area.union(other)?),
            (Mark::Area(area), None) => self.area = Some(area),
        }
        Ok(())
    }

    fn into_prompt(self, crs: &Crs) -> Result<FilePrompt> {
        let points = match self.coordinates.is_empty() {
            true => None,
            false => Some(Points::new(self.coordinates, self.labels, crs.clone())?),
        };
        let bbox = self.area.map(|area| BoundingBox { crs: Some(crs.clone()), ..area });
        let prompt = PromptSet::new(points, bbox, &SameCrsOnly)?;
        Ok(FilePrompt { id: self.id, prompt, properties: self.properties })
    }
}

fn read_features(path: &Path, options: &PromptFileOptions) -> Result<(Crs, Vec<FileFeature>)> {
    let file = VectorReader::open(path, FORMAT)?;
    let mut layer = file.layer(options.layer.as_deref())?;
    let crs = file.crs(&layer, options.crs.as_ref())?;
    let fields = Fields::of(layer.defn(), path, options)?;
    // The first value of the field of labels that is none.
    let mut unlike: Option<(i64, Value)> = None;
    let mut labelled = false;
    let features = file.features(&mut layer, |id, feature| {
        let wrong = |expected: &str, found: String| file.invalid(expected, format!("{found} in feature {id}"));
        let properties = fields.properties(feature).map_err(|error| file.failed(error))?;
        let value = |field: Option<&String>| field.map(|field| properties.get(field).unwrap_or(&Value::Null));
        let mark = mark(feature.geometry()).map_err(|found| wrong("points and polygons", found))?;
        let label = match (&mark, value(fields.label.as_ref())) {
            (Mark::Clicks(_), Some(value)) => {
                let label = label(value);
                match label {
                    Some(_) => labelled = true,
                    None => _ = unlike.get_or_insert((id, value.clone())),
                }
                label
            }
            _ => None,
        };
        let group = value(fields.group.as_ref()).filter(|group| !group.is_null()).map(ToString::to_string);
        Ok(FileFeature { id, mark, label: label.unwrap_or(Label::Foreground), group, properties })
    })?;
    if let (Some((id, value)), Some(field)) = (unlike, &fields.label) {
        // A text called "label" that nobody has asked for is a name (oak, beech).
        if labelled || options.label_field.is_some() || !fields.label_is_text() {
            let expected = format!("0 (background) or 1 (foreground) in the field {field}");
            return Err(file.invalid(expected, format!("{value} in feature {id}")));
        }
    }
    match features.is_empty() {
        true => Err(file.invalid("at least one point or polygon", "none")),
        false => Ok((crs, features)),
    }
}

/// The fields of a layer, with those that mean something to us.
struct Fields {
    all: Vec<(String, OGRFieldType::Type)>,
    label: Option<String>,
    group: Option<String>,
}

impl Fields {
    fn of(defn: &Defn, path: &Path, options: &PromptFileOptions) -> Result<Self> {
        let all: Vec<_> = defn.fields().map(|field| (field.name(), field.field_type())).collect();
        let named = |parameter: &'static str, name: &String| {
            let known = || all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            all.iter().find(|(field, _)| field == name).map(|(name, _)| name.clone()).ok_or_else(|| {
                Error::invalid_argument(parameter, format!("a field of {} ({})", path.display(), known()), name)
            })
        };
        let detected = |names: &[&str], usable: &dyn Fn(OGRFieldType::Type) -> bool| {
            let found = all
                .iter()
                .find(|(field, kind)| names.iter().any(|name| field.eq_ignore_ascii_case(name)) && usable(*kind));
            found.map(|(name, _)| name.clone())
        };
        let is_whole = |kind| matches!(kind, OGRFieldType::OFTInteger | OGRFieldType::OFTInteger64);
        let label = match &options.label_field {
            Some(name) => Some(named("label field", name)?),
            None => detected(&LABEL_FIELDS, &|_| true),
        };
        let group = match &options.group_field {
            Some(name) => Some(named("group field", name)?),
            // A text called "group" is a class (oak, beech), and its features are not one object.
            None => detected(&GROUP_FIELDS, &is_whole),
        };
        Ok(Self { all, label, group })
    }

    /// Whether the field of labels may hold something else.
    fn label_is_text(&self) -> bool {
        let is_text = |(name, kind): &(String, OGRFieldType::Type)| {
            Some(name) == self.label.as_ref() && *kind == OGRFieldType::OFTString
        };
        self.all.iter().any(is_text)
    }

    fn properties(&self, feature: &Feature<'_>) -> Result<Map<String, Value>, GdalError> {
        let value = |(index, (name, kind)): (usize, &(String, OGRFieldType::Type))| {
            let value = match *kind {
                _ if !has_value(feature, index) => None,
                OGRFieldType::OFTInteger | OGRFieldType::OFTInteger64 => {
                    feature.field_as_integer64(index)?.map(Value::from)
                }
                OGRFieldType::OFTReal => feature.field_as_double(index)?.map(Value::from),
                _ => feature.field_as_string(index)?.map(Value::from),
            };
            Ok((name.clone(), value.unwrap_or(Value::Null)))
        };
        self.all.iter().enumerate().map(value).collect()
    }
}

/// What a geometry draws, or what it is instead.
fn mark(geometry: Option<&Geometry>) -> Result<Mark, String> {
    let Some(geometry) = geometry.filter(|geometry| !geometry.is_empty()) else {
        return Err("no geometry".to_string());
    };
    let point = |geometry: &Geometry| {
        let (x, y, _) = geometry.get_point(0);
        WorldPoint::new(x, y)
    };
    match &*geometry.geometry_name() {
        "POINT" => Ok(Mark::Clicks(vec![point(geometry)])),
        "MULTIPOINT" => {
            Ok(Mark::Clicks((0..geometry.geometry_count()).map(|index| point(&geometry.get_geometry(index))).collect()))
        }
        "POLYGON" | "MULTIPOLYGON" | "CURVEPOLYGON" | "MULTISURFACE" => {
            let bounds = geometry.envelope();
            let area = BoundingBox::new(bounds.MinX, bounds.MinY, bounds.MaxX, bounds.MaxY, None);
            area.map(Mark::Area).map_err(|_| "a coordinate that is not finite".to_string())
        }
        other => Err(format!("a {}", other.to_ascii_lowercase())),
    }
}

fn label(value: &Value) -> Option<Label> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    (number.fract() == 0.0).then(|| Label::try_from(number as i64).ok())?
}
