//! The build with CUDA, which neither the toolkit nor a GPU is needed for.

use crate::command::{Result, cargo_in_root, run, target_directory};

/// Compiles and links `glyph` with CUDA, and asks it for its devices. burn is compiled anew, with other features than
/// in all other steps: in a directory of its own, so that it does not happen again there.
pub fn check() -> Result<()> {
    let target = target_directory()?.join("cuda");
    let in_target = |args: &[&str]| {
        let mut cargo = cargo_in_root(args);
        cargo.env("CARGO_TARGET_DIR", &target);
        cargo
    };
    let package = ["--release", "--package", "glyph-cli", "--features", "cuda"];
    run(&mut in_target(&[&["build"][..], &package].concat()))?;
    let devices = [&["run"][..], &package, &["--", "devices"]].concat();
    run(&mut in_target(&devices))
}
