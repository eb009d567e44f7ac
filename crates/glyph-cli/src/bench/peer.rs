//! transformers on the same device: the script is in the binary, its Python is the user's.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use burn::tensor::DType;
use glyph_device::{Backend, OpenDevice, dtype_name};
use glyph_model::preprocess::PatchGrid;

use super::report::Report;
use super::subject::Subject;
use crate::bench_args::BenchModelArgs;

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
    (device, dtype): (&OpenDevice, DType),
    grid: PatchGrid,
) -> Result<Report, String> {
    let device = torch_device(device)?;
    let mut command = Command::new(python);
    command.arg("-").args(["--config", &subject.config_json]);
    if let Some(model) = args.model.as_deref() {
        command.arg("--weights").arg(model);
    }
    let page = args.page;
    for (option, value) in [
        ("--name", subject.name.clone()),
        ("--device", device),
        ("--dtype", dtype_name(dtype).to_owned()),
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
fn torch_device(device: &OpenDevice) -> Result<String, String> {
    match device.backend {
        Backend::Cpu | Backend::Cuda => Ok(device.name.clone()),
        Backend::Wgpu => Err(format!(
            "it has no {}; choose --device cuda or cpu to have it beside",
            device.name
        )),
    }
}

/// Threads that this process computes with on a CPU.
pub fn n_threads() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok();
    let asked = asked.and_then(|n| n.parse().ok()).filter(|n| *n > 0);
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use glyph_device::{Backend, DeviceChoice, OpenDevice};

    use super::torch_device;

    #[test]
    fn torch_gets_the_same_device() {
        let cpu = glyph_device::open(DeviceChoice::Cpu).unwrap();
        let gpu = |name: &str, backend| OpenDevice {
            name: name.to_owned(),
            backend,
            ..cpu.clone()
        };
        assert_eq!(torch_device(&cpu).unwrap(), "cpu");
        assert_eq!(
            torch_device(&gpu("cuda:1", Backend::Cuda)).unwrap(),
            "cuda:1"
        );
        let error = torch_device(&gpu("wgpu:0", Backend::Wgpu)).unwrap_err();
        assert!(error.contains("wgpu:0"), "{error}");
    }
}
