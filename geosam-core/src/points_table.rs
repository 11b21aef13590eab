//! Points in tables and CSV files.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use crate::coordinates::WorldPoint;
use crate::crs::Crs;
use crate::error::{Error, Result};
use crate::points::{Label, Points};
use crate::replace_file::replace_file;

const X_NAMES: [&str; 6] = ["x", "xs", "lon", "longitude", "long", "longitudes"];
const Y_NAMES: [&str; 6] = ["y", "ys", "lat", "latitude", "lats", "latitudes"];
const LABEL_NAMES: [&str; 5] = ["label", "labels", "point_label", "point_labels", "prompt_label"];

/// Which columns of a table hold points. By default they are recognised by name, whatever the case: `x`, `xs`, `lon`,
/// `long`, `longitude` or `longitudes`; `y`, `ys`, `lat`, `lats`, `latitude` or `latitudes`; and for labels `label`, `labels`,
/// `point_label`, `point_labels` or `prompt_label`. Of several, the leftmost is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointColumns {
    /// Name of the column of x coordinates or longitudes, spelt as in the table.
    pub x: Option<String>,
    /// Name of the column of y coordinates or latitudes.
    pub y: Option<String>,
    /// Name of the column of labels, 0 or 1.
    pub label: Option<String>,
    /// Label of every point where no such column is given or found.
    pub default_label: Label,
}

impl Default for PointColumns {
    /// All columns recognised by name; points without labels lie on the object.
    fn default() -> Self {
        Self { x: None, y: None, label: None, default_label: Label::Foreground }
    }
}

impl Points {
    /// Points from the rows of a table; cells are text or numbers.
    ///
    /// ```
    /// use geosam_core::{Crs, Label, PointColumns, Points};
    ///
    /// let rows = [["a", "116.3", "40.2", "1"], ["b", "116.4", "40.1", "0"]];
    /// let points = Points::from_table(&["name", "Lon", "Lat", "label"], &rows, &PointColumns::default(), Crs::wgs84())?;
    /// assert_eq!(points.labels(), [Label::Foreground, Label::Background]);
    /// assert_eq!(points.coordinates()[1].y, 40.1);
    /// # Ok::<(), geosam_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a column is not found, a cell is missing or no finite number, a label is neither 0
    /// nor 1 (rows are numbered from 1), or there is no row.
    pub fn from_table<H: AsRef<str>, R: AsRef<[C]>, C: Display>(
        headers: &[H],
        rows: &[R],
        columns: &PointColumns,
        crs: impl Into<Option<Crs>>,
    ) -> Result<Self> {
        let headers: Vec<&str> = headers.iter().map(AsRef::as_ref).collect();
        let parse = || {
            let table = Table::find(&headers, columns)?;
            let rows = rows.iter().zip(1..).map(|(row, number)| {
                table.point(|column| row.as_ref().get(column).map(ToString::to_string), &format!("row {number}"))
            });
            rows.collect::<Result<Vec<_>, Problem>>()
        };
        let points = parse().map_err(|p| Error::invalid_argument("point table", p.expected, p.found))?;
        let (coordinates, labels) = points.into_iter().unzip();
        Self::new(coordinates, labels, crs)
    }

    /// Points from a CSV file: UTF-8, commas, the names of the columns in the first line.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::InvalidFile`] with line and column if it does not hold points.
    pub fn from_csv(path: impl AsRef<Path>, columns: &PointColumns, crs: impl Into<Option<Crs>>) -> Result<Self> {
        let path = path.as_ref();
        let invalid = |p: Problem| Error::invalid_file(path, "CSV file of points", p.expected, p.found);
        let malformed = |e: csv::Error| match e.into_kind() {
            csv::ErrorKind::Io(e) => Error::io("read", path, e),
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let line = pos.map_or(0, |pos| pos.line());
                invalid(Problem::new(format!("{expected_len} cells in line {line}"), format!("{len}")))
            }
            csv::ErrorKind::Utf8 { pos, .. } => {
                let line = pos.map_or(0, |pos| pos.line());
                invalid(Problem::new("UTF-8 text".to_string(), format!("other bytes in line {line}")))
            }
            other => invalid(Problem::new("lines of cells".to_string(), format!("{other:?}"))),
        };
        let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let headers = reader.headers().map_err(malformed)?.clone();
        let table = Table::find(&headers.iter().collect::<Vec<_>>(), columns).map_err(invalid)?;

        let (mut coordinates, mut labels) = (Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(malformed)?;
            let line = record.position().map_or(0, csv::Position::line);
            let (point, label) = table
                .point(|column| record.get(column).map(ToString::to_string), &format!("line {line}"))
                .map_err(invalid)?;
            coordinates.push(point);
            labels.push(label);
        }
        if coordinates.is_empty() {
            return Err(invalid(Problem::new("at least one point".to_string(), "none".to_string())));
        }
        Self::new(coordinates, labels, crs)
    }

    /// Write the points as a CSV file with the columns `x`, `y` and `label`, which [`Points::from_csv`] reads back. The CRS
    /// is not written. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut text = "x,y,label\n".to_string();
        for (p, label) in self.iter() {
            text.push_str(&format!("{},{},{}\n", p.x, p.y, label.as_int()));
        }
        replace_file(path, |file| file.write_all(text.as_bytes()))
    }
}

/// What is wrong with a table, before it is known whether the table is a file.
struct Problem {
    expected: String,
    found: String,
}

impl Problem {
    fn new(expected: String, found: String) -> Self {
        Self { expected, found }
    }
}

/// A column with its name, for messages.
struct Column {
    index: usize,
    name: String,
}

/// The columns of a table that hold points.
struct Table {
    x: Column,
    y: Column,
    label: Option<Column>,
    default_label: Label,
}

impl Table {
    fn find(headers: &[&str], columns: &PointColumns) -> Result<Self, Problem> {
        let column = |index: usize| Column { index, name: headers[index].to_string() };
        let missing = |expected: String| Problem::new(expected, format!("the columns {}", headers.join(", ")));
        let named = |name: &str| {
            let index = headers.iter().position(|header| *header == name);
            index.map(column).ok_or_else(|| missing(format!("a column {name}")))
        };
        let detected = |names: &[&str]| {
            let index = headers.iter().position(|header| names.contains(&header.to_lowercase().as_str()));
            index.map(column)
        };
        let coordinate = |name: &Option<String>, names: &[&str]| match name {
            Some(name) => named(name),
            None => detected(names)
                .ok_or_else(|| missing(format!("a column named {} (or name the column to use)", names.join(", ")))),
        };
        Ok(Self {
            x: coordinate(&columns.x, &X_NAMES)?,
            y: coordinate(&columns.y, &Y_NAMES)?,
            label: match &columns.label {
                Some(name) => Some(named(name)?),
                None => detected(&LABEL_NAMES),
            },
            default_label: columns.default_label,
        })
    }

    /// The point of a row, whose place is `place` in messages.
    fn point(&self, cell: impl Fn(usize) -> Option<String>, place: &str) -> Result<(WorldPoint, Label), Problem> {
        let parse = |column: &Column, what: &str, accept: fn(f64) -> bool| {
            let expected = || format!("{what} in column {}, {place}", column.name);
            let text = cell(column.index).ok_or_else(|| Problem::new(expected(), "no cell".to_string()))?;
            let number = text.trim().parse().ok().filter(|number| accept(*number));
            number.ok_or_else(|| Problem::new(expected(), format!("{text:?}")))
        };
        let point = WorldPoint::new(
            parse(&self.x, "a finite number", f64::is_finite)?,
            parse(&self.y, "a finite number", f64::is_finite)?,
        );
        let label = match &self.label {
            None => self.default_label,
            Some(column) if parse(column, "the label 0 or 1", |v| v == 0.0 || v == 1.0)? == 0.0 => Label::Background,
            Some(_) => Label::Foreground,
        };
        Ok((point, label))
    }
}
