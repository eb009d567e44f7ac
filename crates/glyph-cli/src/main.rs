//! The `glyph` command.
fn main() {}
