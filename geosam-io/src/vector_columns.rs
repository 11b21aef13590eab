//! The columns of a vector layer, from the properties of its features.

use std::collections::{BTreeMap, HashSet};

use geosam_core::MaskPolygon;
use serde_json::Value;

use crate::vector_out::VectorFormat;

/// One column: the property it holds, its name in the file and its type.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
}

/// What a column holds; numbers with as many digits before the point as the largest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// Whole numbers and booleans.
    Integer { digits: u32 },
    /// Numbers.
    Real { digits: u32 },
    /// Everything else.
    Text,
}

impl Column {
    /// Whether the column holds such a value without losing any of it.
    pub(crate) fn holds(&self, value: &Value) -> bool {
        match (type_of(value), self.column_type) {
            (None, _) | (_, ColumnType::Text) | (Some(ColumnType::Integer { .. }), _) => true,
            (Some(found), column) => std::mem::discriminant(&found) == std::mem::discriminant(&column),
        }
    }
}

/// The union of all features' properties, each with the narrowest type that holds all its values.
pub(crate) fn columns(features: &[MaskPolygon], format: VectorFormat) -> Vec<Column> {
    let mut types: BTreeMap<&str, Option<ColumnType>> = BTreeMap::new();
    for (key, value) in features.iter().flat_map(|feature| &feature.properties) {
        let merged = types.entry(key).or_default();
        *merged = match (*merged, type_of(value)) {
            (Some(a), Some(b)) => Some(wider(a, b)),
            (a, b) => a.or(b),
        };
    }
    let mut taken: HashSet<String> = match format {
        VectorFormat::GeoPackage => ["fid", "geom"].map(String::from).into(),
        _ => HashSet::new(),
    };
    let limit = if format == VectorFormat::Shapefile { 10 } else { usize::MAX };
    let named = |(key, column_type): (&str, Option<ColumnType>)| Column {
        key: key.to_string(),
        name: unique_name(key, limit, &mut taken),
        column_type: column_type.unwrap_or(ColumnType::Text),
    };
    types.into_iter().map(named).collect()
}

fn type_of(value: &Value) -> Option<ColumnType> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some(ColumnType::Integer { digits: 1 }),
        Value::Number(number) => {
            let digits = number.as_f64().unwrap_or_default().abs().max(1.0).log10().floor() as u32 + 1;
            Some(if number.is_i64() { ColumnType::Integer { digits } } else { ColumnType::Real { digits } })
        }
        Value::String(_) | Value::Array(_) | Value::Object(_) => Some(ColumnType::Text),
    }
}

fn wider(a: ColumnType, b: ColumnType) -> ColumnType {
    use ColumnType::{Integer, Real, Text};
    match (a, b) {
        (Text, _) | (_, Text) => Text,
        (Integer { digits: a }, Integer { digits: b }) => Integer { digits: a.max(b) },
        (Integer { digits: a } | Real { digits: a }, Integer { digits: b } | Real { digits: b }) => {
            Real { digits: a.max(b) }
        }
    }
}

/// `key` cut to `limit` bytes, with a number behind it where another column has that name, letters' case aside.
fn unique_name(key: &str, limit: usize, taken: &mut HashSet<String>) -> String {
    let cut = |limit: usize| {
        let mut end = limit.min(key.len());
        while !key.is_char_boundary(end) {
            end -= 1;
        }
        &key[..end]
    };
    let mut name = cut(limit).to_string();
    let mut number = 1;
    while !taken.insert(name.to_lowercase()) {
        let suffix = format!("_{number}");
        name = format!("{}{suffix}", cut(limit.saturating_sub(suffix.len())));
        number += 1;
    }
    name
}
