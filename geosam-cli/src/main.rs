//! The `geosam` command.
fn main() {}
