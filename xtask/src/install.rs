//! What the checks need beside cargo, installed where it is missing.

use std::fs;
use std::path::{Path, PathBuf};
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

/// Python with virtual environments.
pub fn python_venv() -> Result<()> {
    let mut check = Command::new("python3");
    if succeeds(check.args(["-c", "import ensurepip, venv"])) {
        return Ok(());
    }
    apt_install(&["python3", "python3-venv"])
}

/// Mesa's Vulkan on the CPU.
pub fn software_vulkan() -> Result<()> {
    let is_there = |directory: &str| {
        let files = fs::read_dir(directory).into_iter().flatten().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.into_iter().any(|name| name.starts_with("lvp_icd"))
    };
    if ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .into_iter()
        .any(is_there)
    {
        return Ok(());
    }
    apt_install(&["mesa-vulkan-drivers"])
}

/// Debian's Chromium.
pub fn chromium() -> Result<PathBuf> {
    let found = || {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let programs = std::env::split_paths(&paths).map(|path| path.join("chromium"));
        programs.into_iter().find(|program| program.is_file())
    };
    if let Some(program) = found() {
        return Ok(program);
    }
    apt_install(&["chromium"])?;
    found().ok_or_else(|| "chromium is not on the search path after its installation".to_owned())
}

/// A directory with Debian's `prometheus` and `promtool`, where they are not on the search path
/// already. The package is unpacked, not installed: installing it would start a service. Says so
/// where it cannot be had.
pub fn prometheus(directory: &Path) -> Option<PathBuf> {
    if is_there(Path::new("prometheus")) && is_there(Path::new("promtool")) {
        return None;
    }
    let programs = directory.join("usr/bin");
    if !is_there(&programs.join("prometheus"))
        && let Err(error) = unpack("prometheus", directory)
    {
        println!("Prometheus is not here, its tests are skipped: {error}");
        return None;
    }
    Some(programs)
}

/// Whether a program says its version.
pub fn is_there(program: &Path) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

/// Downloads a Debian package and unpacks it in a directory.
fn unpack(package: &str, directory: &Path) -> Result<()> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    fs::create_dir_all(directory).map_err(failed)?;
    let download = || {
        let mut download = Command::new("apt-get");
        run(download
            .args(["download", "--quiet", package])
            .current_dir(directory))
    };
    // Without lists of packages nothing is found; to fetch those takes rights.
    if download().is_err() {
        run(as_root("apt-get").args(["update", "--quiet"]))?;
        download()?;
    }
    for entry in fs::read_dir(directory).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            let mut extract = Command::new("dpkg-deb");
            run(extract.arg("--extract").arg(&file).arg(directory))?;
            fs::remove_file(&file).map_err(failed)?;
        }
    }
    Ok(())
}

/// Debian's packages.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    let install = || {
        run(as_root("apt-get").args(["update", "--quiet"]))?;
        let options = ["install", "--yes", "--quiet", "--no-install-recommends"];
        run(as_root("apt-get").args(options).args(packages))
    };
    install().map_err(|error| format!("{error}. Install {}", packages.join(" and ")))
}

/// A program with the rights to install.
fn as_root(program: &str) -> Command {
    let id = output(Command::new("id").arg("-u")).unwrap_or_default();
    if id.trim() == "0" {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    // It must not wait for a password.
    sudo.args(["--non-interactive", program]);
    sudo
}

/// Whether two files hold the same.
pub fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::read(a), fs::read(b)), (Ok(a), Ok(b)) if a == b)
}

/// Copies a file that says what was installed.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    copied.map_err(|error| format!("cannot write {}: {error}", to.display()))?;
    Ok(())
}
