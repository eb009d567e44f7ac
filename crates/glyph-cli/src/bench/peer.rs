//! transformers on the same device: the script is in the binary, its Python is the user's.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use glyph_model::preprocess::PatchGrid;

use super::report::Report;
use super::subject::Subject;
use crate::bench_args::BenchModelArgs;
use crate::plan_values::ValueType;

const SCRIPT: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/reference/bench_model.py"
));

/// Runs the script and reads what it measured. What it says on standard error is shown as it comes.
///
/// # Errors
/// Why there is nothing to compare with.
pub fn measure(
    python: &Path,
    args: &BenchModelArgs,
    subject: &Subject,
    is_cpu: bool,
    value_type: ValueType,
    grid: PatchGrid,
) -> Result<Report, String> {
    let mut command = Command::new(python);
    command.arg("-").args(["--config", &subject.config_json]);
    if let Some(model) = args.model.as_deref() {
        command.arg("--weights").arg(model);
    }
    let page = args.page;
    for (option, value) in [
        ("--name", subject.name.clone()),
        ("--device", torch_device(&args.device, is_cpu)),
        ("--dtype", value_type.name().to_owned()),
        ("--prompt-tokens", args.prompt_tokens.to_string()),
        ("--new-tokens", args.new_tokens.to_string()),
        ("--page", page.to_string()),
        ("--grid", format!("{}x{}", grid.rows, grid.columns)),
        ("--repeat", args.repeat.to_string()),
        ("--threads", n_threads().to_string()),
    ] {
        command.args([option, &value]);
    }
    let failed = |error: std::io::Error| format!("{}: {error}", python.display());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(SCRIPT.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(format!(
            "{} ended with {}; what it said is above",
            python.display(),
            output.status
        ));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{} printed something else: {error}", python.display()))
}

/// What torch calls the device.
fn torch_device(asked: &str, is_cpu: bool) -> String {
    match asked {
        _ if is_cpu => "cpu".to_owned(),
        cuda if cuda.starts_with("cuda:") => cuda.to_owned(),
        _ => "cuda".to_owned(),
    }
}

/// Threads that this process computes with on a CPU.
fn n_threads() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok();
    let asked = asked.and_then(|n| n.parse().ok()).filter(|n| *n > 0);
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::torch_device;

    #[test]
    fn torch_gets_the_same_device() {
        assert_eq!(torch_device("auto", true), "cpu");
        assert_eq!(torch_device("auto", false), "cuda");
        assert_eq!(torch_device("cuda:1", false), "cuda:1");
    }
}
