//! Building and running `glyph`.

use crate::command::{Result, cargo, root};
use crate::web;

/// Builds page and `glyph`, and serves both. A page of the caller's own is not built over.
pub fn serve(args: &[&str]) -> Result<()> {
    if args
        .iter()
        .any(|arg| arg.starts_with("--web") || *arg == "--help")
    {
        return glyph(&[&["serve"], args].concat());
    }
    match web::build() {
        Ok(page) => {
            let page = page.display().to_string();
            glyph(&[&["serve", "--web", page.as_str()], args].concat())
        }
        Err(reason) => {
            eprintln!("note: the page cannot be built: {reason}. The API is served without it");
            glyph(&[&["serve"], args].concat())
        }
    }
}

/// Builds `glyph` and runs it in the caller's directory, so that relative paths mean what they say.
///
/// No package is named: the features are then those of the whole workspace, and burn is compiled
/// once for this and for the tests.
pub fn glyph(args: &[&str]) -> Result<()> {
    let manifest = root().join("Cargo.toml");
    let mut command = cargo();
    command
        .args(["run", "--release", "--bin", "glyph", "--manifest-path"])
        .arg(manifest);
    let status = command.arg("--").args(args).status();
    let status = status.map_err(|error| format!("cargo cannot be started: {error}"))?;
    if status.success() {
        return Ok(());
    }
    // glyph has said what is wrong; its exit code says of which kind it is.
    std::process::exit(status.code().unwrap_or(1));
}
