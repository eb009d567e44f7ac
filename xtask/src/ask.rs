//! Building and running `glyph`.

use crate::command::{Result, cargo, root, run};

/// A short document to read.
const SAMPLE: &str = "crates/glyph-cli/samples/order.txt";

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

/// The first answer. The server will stand behind this name.
pub fn serve() -> Result<()> {
    println!("The server comes next. Until then the same model answers on the command line.\n");
    println!("$ cat {SAMPLE}");
    let sample = root().join(SAMPLE);
    let text = std::fs::read_to_string(&sample)
        .map_err(|error| format!("cannot read {}: {error}", sample.display()))?;
    println!("{text}\n$ cargo xtask glyph read --text {SAMPLE}");
    let mut command = cargo();
    let glyph = [
        "run",
        "--release",
        "--bin",
        "glyph",
        "--",
        "read",
        "--text",
        SAMPLE,
    ];
    run(command.current_dir(root()).args(glyph))
}
