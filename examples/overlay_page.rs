//! A page of pictures to judge a model by: prompts on real rasters, each with the mask and the score that came back.
//!
//! ```sh
//! make overlays RASTERS=FOLDER-OF-RASTERS
//! cargo run --example overlay_page -- PROMPTS.json FOLDER-OF-RASTERS OUT    # the same for other prompts
//! ```
//!
//! The first file says which rasters, where to click and what somebody who looked at the pictures thinks of them; places
//! are columns and rows of the raster. `README.md` and the pictures appear in the last folder.

#[path = "shared/program.rs"]
mod program;

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use geosam::{
    ChipSource, Error, GeoGrid, Label, Masks, ModelOptions, OnlineQueryCache, OnlineQueryOptions, Osr, OverlayStyle,
    PixelPoint, Points, PredictOptions, PromptSet, QueryResult, RasterDataset, RasterOptions, Result, Sam, Segmenter,
    Shape, ValueRange, Window, load_nano, query_raster, write_overlay,
};
use serde_json::Value;

/// Least side of a picture, in pixels of the raster.
const LEAST_SIDE: f64 = 160.0;
/// What a picture shows around prompt and mask, in pixels of the raster.
const MARGIN: f64 = 24.0;
/// Larger pictures are reduced by a whole factor, in pixels.
const MOST_SIDE: usize = 360;
/// Pictures side by side.
const COLUMNS: usize = 3;

fn main() -> ExitCode {
    program::exit(run_with_arguments())
}

fn run_with_arguments() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [prompts, rasters, out] = &arguments[..] else {
        return Err(Error::invalid_argument("arguments", "PROMPTS.json FOLDER-OF-RASTERS OUT", arguments.join(" ")));
    };
    run(Path::new(prompts), Path::new(rasters), Path::new(out))
}

/// Ask what `prompts` says of the files in `rasters`, and write the page into the folder `out`.
pub(crate) fn run(prompts: &Path, rasters: &Path, out: &Path) -> Result<()> {
    let text = std::fs::read_to_string(prompts).map_err(|source| Error::io("read", prompts, source))?;
    let page: Value = serde_json::from_str(&text)
        .map_err(|error| Error::invalid_file(prompts, "JSON", "title, judgement and rasters", error.to_string()))?;
    std::fs::create_dir_all(out).map_err(|source| Error::io("create", out, source))?;
    let model = Arc::new(load_nano(&ModelOptions::default())?);
    let mut markdown = format!("# {}\n", words(&page["title"]));
    for paragraph in list(&page["judgement"]) {
        let _ = write!(markdown, "\n{}\n", words(paragraph));
    }
    let _ = write!(
        markdown,
        "\nGreen: clicked on; red: clicked off; yellow: box; blue: the mask. Under each picture stands the IoU that the \
         model itself predicts. Made from `{}` by `examples/overlay_page.rs` with `{}`.\n",
        prompts.file_name().unwrap_or_default().display(),
        model.spec().model_id
    );
    for raster in list(&page["rasters"]) {
        show_raster(raster, rasters, out, &model, &mut markdown)?;
    }
    let readme = out.join("README.md");
    std::fs::write(&readme, markdown).map_err(|source| Error::io("write", &readme, source))?;
    println!("wrote {}", readme.display());
    Ok(())
}

/// One raster: its pictures into `out`, its section into `markdown`.
fn show_raster(about: &Value, rasters: &Path, out: &Path, model: &Arc<Sam>, markdown: &mut String) -> Result<()> {
    let file = words(&about["file"]);
    let bands = list(&about["bands"]).iter().filter_map(|band| Some(band.as_u64()? as usize)).collect();
    let options = RasterOptions { bands: Some(bands), ..RasterOptions::default() };
    let raster = Arc::new(RasterDataset::open(&rasters.join(file).to_string_lossy(), &options)?);
    let engine = query_raster(raster.clone(), model.clone(), OnlineQueryOptions::default())?;
    let mut cache = OnlineQueryCache::new();
    let _ = write!(markdown, "\n## {file}\n\n{}\n\n<table>\n", words(&about["about"]));
    for (number, asked) in list(&about["prompts"]).iter().enumerate() {
        let prompt = prompt(asked, raster.grid())?;
        let result = engine.query(&prompt, PredictOptions::default(), &mut cache)?;
        let stem = Path::new(file).file_stem().unwrap_or_default().display();
        let picture = format!("{stem}-{}.png", number + 1);
        draw(&raster, engine.value_range(), &prompt, &result, &out.join(&picture))?;
        let (name, score) = (words(&asked["name"]), result.scores[0]);
        println!("{picture}: {name}, score {score:.2}");
        if number % COLUMNS == 0 {
            markdown.push_str("<tr>\n");
        }
        let _ =
            writeln!(markdown, "<td><img src=\"{picture}\" alt=\"{name}\" width=\"260\"><br>{name}: {score:.2}</td>");
        if number % COLUMNS == COLUMNS - 1 {
            markdown.push_str("</tr>\n");
        }
    }
    markdown.push_str("</table>\n");
    Ok(())
}

/// `{"on": [[column, row], …], "off": […], "box": [left, top, right, bottom]}`, on the map.
fn prompt(asked: &Value, grid: &GeoGrid) -> Result<PromptSet> {
    let numbers = |value: &Value| list(value).iter().filter_map(Value::as_f64).collect::<Vec<_>>();
    let (mut clicks, mut labels) = (Vec::new(), Vec::new());
    for (key, label) in [("on", Label::Foreground), ("off", Label::Background)] {
        for place in list(&asked[key]) {
            let [column, row] = numbers(place)[..] else {
                return Err(Error::invalid_argument("click", "[column, row]", place));
            };
            clicks.push(grid.to_world(PixelPoint::new(column, row)));
            labels.push(label);
        }
    }
    let bbox = match numbers(&asked["box"])[..] {
        [] => None,
        [left, top, right, bottom] => {
            let shape = Shape::new((bottom - top) as usize, (right - left) as usize);
            Some(grid.window(Window::new(left as i64, top as i64, shape))?.bounds())
        }
        _ => return Err(Error::invalid_argument("box", "[left, top, right, bottom]", &asked["box"])),
    };
    let points = if clicks.is_empty() { None } else { Some(Points::new(clicks, labels, grid.crs.clone())?) };
    PromptSet::new(points, bbox, &Osr)
}

/// The picture of one answer: prompt and mask with some ground around them.
fn draw(
    raster: &RasterDataset,
    range: &ValueRange,
    prompt: &PromptSet,
    result: &QueryResult,
    path: &Path,
) -> Result<()> {
    let (width, mask) = (result.grid.shape.width, result.masks.mask(0));
    let asked = result.grid.pixel_box(&prompt.bounds());
    let inside = || (0..mask.len()).filter(|pixel| mask[*pixel]);
    let columns = inside().map(|pixel| (pixel % width) as f64).chain([asked.left, asked.right]);
    let rows = inside().map(|pixel| (pixel / width) as f64).chain([asked.top, asked.bottom]);
    let (column, columns) = shown(columns, result.grid.shape.width);
    let (row, rows) = shown(rows, result.grid.shape.height);

    let window = Window::new(column as i64, row as i64, Shape::new(rows, columns));
    let grid = result.grid.window(window)?;
    let shown = (row..row + rows).flat_map(|row| &mask[row * width + column..row * width + column + columns]);
    let shown = Masks::new(grid.shape, shown.copied().collect())?;
    let image = raster.read(raster.grid().window_of(&grid.bounds())?)?.to_model_image(range)?;
    let style = OverlayStyle { max_side: Some(MOST_SIDE), ..OverlayStyle::default() };
    write_overlay(path, &image, &shown, &[grid.to_pixel_prompt(prompt, &Osr)?], &style)
}

/// First pixel and number of pixels of a picture that shows all `places` of a side of `side` pixels.
fn shown(places: impl Iterator<Item = f64>, side: usize) -> (usize, usize) {
    let (first, last) = places.fold((f64::MAX, f64::MIN), |(first, last), at| (first.min(at), last.max(at)));
    let margin = MARGIN.max((LEAST_SIDE - (last - first)) / 2.0);
    let start = (first - margin).max(0.0) as usize;
    (start, ((last + margin).ceil().max(0.0) as usize).min(side) - start)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
