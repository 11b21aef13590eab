//! The settings file of the legacy GeoSAM-Image-Encoder and of the QGIS Encoder Copilot.

use std::path::{Path, PathBuf};

use geosam_core::{BoundingBox, Crs, Error, Result, ValueRangeChoice};
use serde_json::{Map, Value};

/// What a settings JSON asks for; everything is optional, and a caller's own options come first.
///
/// The file is `{"inputs": {"INPUT", "OUTPUT_DIR", "BANDS", "RANGE", "CRS", "EXTENT", "RESOLUTION", "STRIDE", "CKPT", …}}`.
/// `MODEL_TYPE` is read from the checkpoint's content instead; `BATCH_SIZE`, `CUDA`, `CUDA_ID` and `GPU_ID` have no
/// meaning here and are accepted without effect. Any other key is an error, so that a misspelled one is noticed.
///
/// ```
/// use geosam::LegacySettings;
///
/// let json = r#"{"inputs": {"INPUT": "scene.tif", "BANDS": [4, 3, 2], "RANGE": "0,3000", "STRIDE": 512}}"#;
/// let settings = LegacySettings::parse(json, "settings.json".as_ref())?;
/// assert_eq!(settings.bands, Some(vec![4, 3, 2]));
/// assert_eq!(settings.stride, Some(512));
/// # Ok::<(), geosam::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegacySettings {
    /// `INPUT`: the raster.
    pub input: Option<String>,
    /// `OUTPUT_DIR`: where the feature folder goes.
    pub output: Option<PathBuf>,
    /// `BANDS`: 1-based.
    pub bands: Option<Vec<usize>>,
    /// `RANGE`: the values that become 0 and 255.
    pub value_range: Option<ValueRangeChoice>,
    /// `CRS`: target CRS.
    pub crs: Option<Crs>,
    /// `EXTENT`: what to encode.
    pub extent: Option<LegacyExtent>,
    /// `RESOLUTION`: metres a pixel.
    pub resolution: Option<f64>,
    /// `STRIDE`: pixels between chips.
    pub stride: Option<usize>,
    /// `CKPT`: the checkpoint.
    pub checkpoint: Option<PathBuf>,
}

const FORMAT: &str = "GeoSAM settings file";

impl LegacySettings {
    /// Read a settings file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::InvalidFile`] as [`LegacySettings::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::io("read", path, source))?;
        Self::parse(&text, path)
    }

    /// Interpret the text of a settings file; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the text is not JSON, has no `inputs` object, or a key is unknown or of another type.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let invalid = |expected: &str, found: String| Error::invalid_file(path, FORMAT, expected, found);
        let document: Value = serde_json::from_str(text).map_err(|error| invalid("JSON", error.to_string()))?;
        let inputs: &Map<String, Value> = document
            .get("inputs")
            .and_then(Value::as_object)
            .ok_or_else(|| invalid("an object \"inputs\"", "none".to_string()))?;

        let mut settings = Self::default();
        for (key, value) in inputs {
            if value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()) {
                continue;
            }
            let wrong = |expected: &str| invalid(&format!("{key} to be {expected}"), value.to_string());
            match key.as_str() {
                "INPUT" => settings.input = Some(value.as_str().ok_or_else(|| wrong("a path"))?.to_string()),
                "OUTPUT_DIR" => settings.output = Some(value.as_str().ok_or_else(|| wrong("a path"))?.into()),
                "CKPT" => settings.checkpoint = Some(value.as_str().ok_or_else(|| wrong("a path"))?.into()),
                "CRS" => settings.crs = Some(Crs::new(value.as_str().ok_or_else(|| wrong("a CRS"))?)),
                "BANDS" => {
                    let bands = numbers(value).ok_or_else(|| wrong("a list of band numbers"))?;
                    let whole = bands.iter().all(|b| b.fract() == 0.0 && *b >= 1.0);
                    if bands.is_empty() || !whole {
                        return Err(wrong("a list of band numbers, the first band being 1"));
                    }
                    settings.bands = Some(bands.into_iter().map(|b| b as usize).collect());
                }
                "RANGE" => {
                    let Some([min, max]) = numbers(value).and_then(|n| <[f64; 2]>::try_from(n).ok()) else {
                        return Err(wrong("two numbers, min and max"));
                    };
                    let choice = ValueRangeChoice::Fixed { min, max };
                    choice.validate().map_err(|_| wrong("two numbers, the first smaller"))?;
                    settings.value_range = Some(choice);
                }
                "EXTENT" => {
                    let text = value.as_str().ok_or_else(|| wrong("four numbers and a CRS in one text"))?;
                    settings.extent =
                        Some(LegacyExtent::parse(text).ok_or_else(|| wrong("four numbers and an optional CRS"))?);
                }
                "RESOLUTION" => settings.resolution = Some(positive(value).ok_or_else(|| wrong("a positive number"))?),
                "STRIDE" => {
                    let stride = positive(value).filter(|s| s.fract() == 0.0);
                    settings.stride = Some(stride.ok_or_else(|| wrong("a number of pixels"))? as usize);
                }
                "MODEL_TYPE" | "BATCH_SIZE" | "CUDA" | "CUDA_ID" | "GPU_ID" => {}
                _ => {
                    let known = "INPUT, OUTPUT_DIR, BANDS, RANGE, CRS, EXTENT, RESOLUTION, STRIDE, CKPT, MODEL_TYPE, \
                                 BATCH_SIZE, CUDA, CUDA_ID or GPU_ID";
                    return Err(invalid(&format!("the keys {known}"), key.clone()));
                }
            }
        }
        Ok(settings)
    }
}

/// Four numbers whose order depends on the program that wrote them: the encoder's command line wrote
/// `minx, miny, maxx, maxy`, the QGIS copilot `minx, maxx, miny, maxy`.
#[derive(Clone, Debug, PartialEq)]
pub struct LegacyExtent {
    numbers: [f64; 4],
    crs: Option<Crs>,
}

impl LegacyExtent {
    fn parse(text: &str) -> Option<Self> {
        let (numbers_text, crs) = match text.split_once('[') {
            Some((head, tail)) => (head, Some(Crs::new(tail.trim().strip_suffix(']')?))),
            None => (text, None),
        };
        let parsed: Vec<f64> = numbers_text.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
        Some(Self { numbers: parsed.try_into().ok()?, crs })
    }

    /// The extent in the order that makes sense for a raster covering `raster`, which `to_raster_crs` brings each
    /// reading to.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if neither order, or both, give a box that meets the raster.
    pub fn resolve(
        &self,
        raster: &BoundingBox,
        to_raster_crs: impl Fn(&BoundingBox) -> Result<BoundingBox>,
    ) -> Result<BoundingBox> {
        let [a, b, c, d] = self.numbers;
        let crs = self.crs.clone().or_else(|| raster.crs.clone());
        // How much of a reading lies on the raster, as a share of its own area.
        let share = |bounds: &BoundingBox| -> Option<f64> {
            let there = to_raster_crs(bounds).ok()?;
            let shared = there.intersection(raster).ok()??;
            Some(shared.area() / there.area().max(f64::MIN_POSITIVE))
        };
        let mut readings: Vec<(BoundingBox, f64)> = [[a, b, c, d], [a, c, b, d]]
            .into_iter()
            .filter_map(|[left, bottom, right, top]| BoundingBox::new(left, bottom, right, top, crs.clone()).ok())
            .filter_map(|bounds| share(&bounds).map(|share| (bounds, share)))
            .collect();
        // In metres the wrong order is a box of half a continent, of which the raster is next to nothing.
        let largest = readings.iter().map(|(_, share)| *share).fold(0.0, f64::max);
        readings.retain(|(_, share)| *share >= largest / 100.0);
        let readings: Vec<BoundingBox> = readings.into_iter().map(|(bounds, _)| bounds).collect();
        match &readings[..] {
            [only] => Ok(only.clone()),
            [first, second] if first == second => Ok(first.clone()),
            [] => Err(Error::invalid_argument(
                "EXTENT",
                format!("a box that meets the raster at {raster}"),
                format_args!("{a}, {b}, {c}, {d}"),
            )),
            _ => Err(Error::invalid_argument(
                "EXTENT",
                "numbers whose order is plain; here both minx,miny,maxx,maxy and minx,maxx,miny,maxy fit the raster, \
                 so give the extent as an option instead",
                format_args!("{a}, {b}, {c}, {d}"),
            )),
        }
    }
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::Array(items) => items.iter().map(number).collect(),
        Value::String(text) => text
            .trim_matches(|c| matches!(c, '[' | ']' | '(' | ')'))
            .split(',')
            .map(|n| n.trim().parse().ok())
            .collect(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn positive(value: &Value) -> Option<f64> {
    number(value).filter(|n| *n > 0.0 && n.is_finite())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(inputs: &str) -> Result<LegacySettings> {
        LegacySettings::parse(&format!("{{\"inputs\": {{{inputs}}}}}"), Path::new("s.json"))
    }

    #[test]
    fn every_key_of_the_encoder_is_understood() {
        let settings = parse(
            r#""INPUT": "a.tif", "OUTPUT_DIR": "out", "BANDS": "[1, 2, 3]", "RANGE": [0, 255], "CRS": "EPSG:3857",
               "EXTENT": "1, 2, 3, 4 [EPSG:4326]", "RESOLUTION": 0.5, "STRIDE": "256", "CKPT": "sam_b.pt",
               "MODEL_TYPE": 2, "BATCH_SIZE": 1, "CUDA": false, "GPU_ID": 0, "CUDA_ID": 0"#,
        )
        .unwrap();
        assert_eq!(settings.bands, Some(vec![1, 2, 3]));
        assert_eq!(settings.value_range, Some(ValueRangeChoice::Fixed { min: 0.0, max: 255.0 }));
        assert_eq!(settings.stride, Some(256));
        assert_eq!(settings.resolution, Some(0.5));
        assert_eq!(settings.crs, Some(Crs::new("EPSG:3857")));
        assert_eq!(settings.checkpoint, Some("sam_b.pt".into()));
    }

    #[test]
    fn empty_values_are_absent() {
        assert_eq!(parse(r#""CRS": "", "EXTENT": null"#).unwrap(), LegacySettings::default());
    }

    #[test]
    fn a_misspelled_key_is_named() {
        let message = parse(r#""STRID": 3"#).unwrap_err().to_string();
        assert!(message.contains("found STRID"), "{message}");
    }

    #[test]
    fn both_orders_of_the_extent_are_told_apart_by_the_raster() {
        let raster = BoundingBox::new(300_000.0, 4_000_000.0, 310_000.0, 4_010_000.0, Crs::new("EPSG:32618")).unwrap();
        let inside = BoundingBox::new(301_000.0, 4_001_000.0, 302_000.0, 4_002_000.0, raster.crs.clone()).unwrap();
        let edge = BoundingBox::new(300_000.0, 4_000_000.0, 301_000.0, 4_010_000.0, raster.crs.clone()).unwrap();
        let touching = LegacyExtent::parse("300000, 301000, 4000000, 4010000").unwrap();
        assert_eq!(touching.resolve(&raster, |b| Ok(b.clone())).unwrap(), edge);
        for text in ["301000, 4001000, 302000, 4002000 [EPSG:32618]", "301000,302000,4001000,4002000"] {
            let extent = LegacyExtent::parse(text).unwrap();
            assert_eq!(extent.resolve(&raster, |b| Ok(b.clone())).unwrap(), inside, "{text}");
        }
    }

    #[test]
    fn an_extent_that_fits_in_both_orders_is_refused() {
        let raster = BoundingBox::new(0.0, 0.0, 10.0, 10.0, Crs::wgs84()).unwrap();
        let extent = LegacyExtent::parse("1, 2, 3, 4").unwrap();
        assert!(matches!(extent.resolve(&raster, |b| Ok(b.clone())), Err(Error::InvalidArgument { .. })));
    }
}
