//! What the checks need beside cargo, installed where it is missing.

use std::process::Command;

use crate::command::{Result, cargo, output, run, succeeds};

/// The target of the browser build.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A component of the toolchain that is a cargo command.
pub fn component(name: &str, cargo_command: &str) -> Result<()> {
    if succeeds(cargo().args([cargo_command, "--version"])) {
        return Ok(());
    }
    rustup(&["component", "add", name])
}

/// The standard library of the browser's target.
pub fn wasm_target() -> Result<()> {
    let mut print = Command::new("rustc");
    print.args(["--print", "target-libdir", "--target", WASM_TARGET]);
    let directory = output(&mut print)?;
    if std::path::Path::new(directory.trim()).is_dir() {
        return Ok(());
    }
    rustup(&["target", "add", WASM_TARGET])
}

fn rustup(args: &[&str]) -> Result<()> {
    let mut rustup = Command::new("rustup");
    run(rustup.args(args))
        .map_err(|error| format!("{error}. Install rustup from https://rustup.rs"))
}
