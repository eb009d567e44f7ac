//! Running programs from the workspace's root.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What went wrong, for a person.
pub type Result<T> = std::result::Result<T, String>;

/// The workspace's root.
pub fn root() -> PathBuf {
    // Cargo says where the package is now; the path at compile time serves a binary run alone.
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    package.parent().map(Path::to_owned).unwrap_or(package)
}

/// Where cargo builds: beside the directory with this program.
pub fn target_directory() -> Result<PathBuf> {
    let program = env::current_exe().map_err(|error| format!("where is this program: {error}"))?;
    let directory = program.parent().and_then(Path::parent).map(Path::to_owned);
    directory.ok_or_else(|| format!("{} has no directory", program.display()))
}

/// The cargo that runs this, as if it had been typed: what cargo says to this program about its own
/// package is not passed on. Build scripts look at it, and would run again, with all that is built
/// on them, whenever `cargo xtask` follows a plain cargo command or the other way round.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let names = env::vars_os().map(|(name, _)| name);
    let of_package = names.filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    of_package.for_each(|name| {
        cargo.env_remove(name);
    });
    cargo
}

/// Cargo in the workspace's root.
pub fn cargo_in_root(args: &[&str]) -> Command {
    let mut command = cargo();
    command.current_dir(root()).args(args);
    command
}

/// Runs a command to its end; an exit code other than 0 is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|error| cannot_start(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed: {status}", shown(command)))
    }
}

/// Whether a command exists and ends well; what it prints is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// What a command prints.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Why a command did not start.
pub fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("{} cannot be started: {error}", shown(command))
}

/// The command as it would be typed.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
