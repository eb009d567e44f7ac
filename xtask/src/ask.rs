//! Building and running `glyph`.

use std::env;
use std::path::PathBuf;

use crate::command::{Result, cargo, cargo_in_root, root, run, target_directory};
use crate::web;

/// Builds page and `glyph`, and serves both. A page of the caller's own is not built over.
pub fn serve(args: &[&str]) -> Result<()> {
    if args
        .iter()
        .any(|arg| arg.starts_with("--web") || *arg == "--help")
    {
        return glyph(&[&["serve"], args].concat());
    }
    match web::tools() {
        Ok(tools) => {
            let page = web::build(&tools)?.display().to_string();
            glyph(&[&["serve", "--web", page.as_str()], args].concat())
        }
        Err(reason) => {
            eprintln!(
                "note: the page's tools cannot be installed: {reason}. The API is served without the page"
            );
            glyph(&[&["serve"], args].concat())
        }
    }
}

/// Builds `glyph` and returns where it is.
pub fn build_glyph() -> Result<PathBuf> {
    let build = ["build", "--release", "--workspace", "--bin", "glyph"];
    run(&mut cargo_in_root(&build))?;
    let name = format!("glyph{}", env::consts::EXE_SUFFIX);
    Ok(target_directory()?.join("release").join(name))
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
