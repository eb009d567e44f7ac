//! The build with CUDA, which neither the toolkit nor a GPU is needed for.

use crate::command::{Result, cargo_in_root, run, target_directory};
use crate::counts::count_all;
use crate::{install, wgpu};

/// Compiles and links `glyph` with CUDA, asks it for its devices, and runs the model's tests on Vulkan with the features
/// of that build: it fuses kernels, by wgpu as well, which no other step does. burn is compiled anew, with other features
/// than in all other steps: in a directory of its own, so that it does not happen again there.
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
    run(&mut in_target(&devices))?;

    install::software_vulkan()?;
    // These packages and no others: the features of burn are then those of the build, and it is not compiled again.
    let packages = ["--package", "glyph-cli", "--package", "glyph-model"];
    let features = ["--features", "glyph-cli/cuda"];
    let tests = [&["test", "--release"][..], &packages, &features];
    let mut tests = in_target(&tests.concat());
    tests.args(wgpu::MODEL_TESTS);
    let counts = count_all(&mut [wgpu::on_vulkan(tests)])?;
    println!("{counts}");
    Ok(())
}
