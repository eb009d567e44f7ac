//! The model's tests that take a device, and those of the engine and of `glyph` that do, on Vulkan by wgpu: on a machine
//! without a GPU on Mesa's, which computes on the CPU.

use std::process::Command;

use crate::command::{Result, cargo_in_root};
use crate::counts::{Outcome, Summary, count_all};
use crate::install;
use crate::tests_run::in_summary;

/// The model's tests that run on the device that `GLYPH_TEST_DEVICE` names: parity, quantised weights, and what a step
/// takes of the device's memory.
pub const MODEL_TESTS: [&str; 8] = [
    "--test",
    "parity",
    "--test",
    "quantized",
    "--test",
    "kv_cache_memory",
    "--test",
    "loading_memory",
];

/// Runs the tests; reports how many passed.
pub fn run() -> Result<Outcome> {
    install::software_vulkan()?;
    let test = |args: &[&str]| {
        let mut tests = cargo_in_root(&["test", "--workspace", "--release"]);
        tests.args(args);
        on_vulkan(tests)
    };
    let mut tests = [
        test(&MODEL_TESTS),
        test(&["--test", "engine", "--test", "cli", "on_device"]),
    ];
    count_all(&mut tests).map(Outcome::Tests)
}

/// A command that runs tests, to run them on Vulkan, which is installed.
pub fn on_vulkan(mut tests: Command) -> (Command, Summary) {
    tests.env("GLYPH_TEST_DEVICE", "wgpu");
    with_runtime_directory(&mut tests);
    (tests, in_summary as Summary)
}

/// Vulkan's drivers want a directory for what they share with a session, which a bare machine does not have.
fn with_runtime_directory(command: &mut Command) {
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    if std::env::var_os(VARIABLE).is_none() {
        command.env(VARIABLE, std::env::temp_dir());
    }
}
