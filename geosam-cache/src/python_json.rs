//! JSON texts exactly as Python's `json.dumps` writes them, so that a manifest compares equal to Python geosam's.

use geosam_core::Shape;

/// `json.dumps` of a list of floats: `[1.0, -0.0, 1e-05]`. The values are finite.
pub(crate) fn float_list(values: &[f64]) -> String {
    format!("[{}]", values.iter().map(|v| float(*v)).collect::<Vec<_>>().join(", "))
}

/// `json.dumps([height, width])`: `[1024, 1024]`.
pub(crate) fn shape(shape: Shape) -> String {
    format!("[{}, {}]", shape.height, shape.width)
}

/// Python's `repr` of a float: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16.
fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let fixed = value.to_string();
    if fixed.contains('.') { fixed } else { fixed + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right-hand sides printed by CPython 3.11's `json.dumps`.
    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (9007199254740993.0, "9007199254740992.0"),
            (1e16, "1e+16"),
            (1.2345678901234568e17, "1.2345678901234568e+17"),
            (-1e-300, "-1e-300"),
            (500000.25, "500000.25"),
            (4.999999999999999, "4.999999999999999"),
        ];
        for (value, expected) in cases {
            assert_eq!(float(value), expected);
        }
        assert_eq!(float_list(&[0.5, 0.0, 500000.0]), "[0.5, 0.0, 500000.0]");
        assert_eq!(shape(Shape::new(512, 1024)), "[512, 1024]");
    }
}
