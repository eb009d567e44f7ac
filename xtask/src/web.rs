//! The page: its tools and its build.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Result, cargo, output, root, run, target_directory};
use crate::{install, node};

/// The version that is known to build the page.
const TRUNK: &str = "0.21.14";
/// The version of the npm package that holds `wasm-opt`.
const BINARYEN: &str = "132";

/// The tools that build the page.
#[derive(Debug)]
pub struct Tools {
    trunk: PathBuf,
    /// The search path with wasm-bindgen and wasm-opt in front.
    path: OsString,
}

/// Installs those that are missing.
pub fn tools() -> Result<Tools> {
    install::wasm_target()?;
    let tools = target_directory()?.join("web-tools");
    Ok(Tools {
        path: tools_on_path(&tools)?,
        trunk: tools.join("bin/trunk"),
    })
}

/// Builds the page into `dist`.
pub fn build(tools: &Tools) -> Result<PathBuf> {
    let mut trunk = Command::new(&tools.trunk);
    trunk
        .arg("build")
        .current_dir(root())
        .env("PATH", &tools.path)
        .env("NO_COLOR", "true")
        // The version is chosen here; nobody is asked for a newer one.
        .env("TRUNK_SKIP_VERSION_CHECK", "true")
        // Apart from the native build, whose lock it would wait for.
        .env("CARGO_TARGET_DIR", target_directory()?.join("web"));
    run(&mut trunk)?;
    Ok(root().join("dist"))
}

/// The search path with trunk, wasm-bindgen and wasm-opt in front.
fn tools_on_path(tools: &Path) -> Result<OsString> {
    let bin = tools.join("bin");
    if !prints(&bin.join("trunk"), TRUNK) {
        cargo_install(tools, &["--locked", &format!("trunk@{TRUNK}")])?;
    }
    let version = locked_version("wasm-bindgen")?;
    if !prints(&bin.join("wasm-bindgen"), &version) {
        // Not --locked: a dependency that its lock file names has been withdrawn.
        cargo_install(tools, &[&format!("wasm-bindgen-cli@{version}")])?;
    }
    let npm = tools.join("npm");
    let npm_bin = npm.join("node_modules/.bin");
    let path = node::search_path()?;
    // It names no more than the first number of its version.
    if !prints(&npm_bin.join("wasm-opt"), BINARYEN) {
        let package = format!("binaryen@{BINARYEN}.0.0");
        node::install_package(&npm, &package, &path)?;
    }
    let mut directories = vec![bin, npm_bin];
    directories.extend(env::split_paths(&path));
    env::join_paths(directories).map_err(|error| format!("the search path: {error}"))
}

fn prints(program: &Path, version: &str) -> bool {
    let mut command = Command::new(program);
    let printed = output(command.arg("--version")).unwrap_or_default();
    printed.split_whitespace().any(|word| word == version)
}

fn cargo_install(tools: &Path, what: &[&str]) -> Result<()> {
    let mut install = cargo();
    install.args(["install", "--root"]).arg(tools).args(what);
    // What it compiles is of no use to anything else. These tools are quick enough without the
    // optimisations that take most of the time of building them.
    for (name, value) in [
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ] {
        install.env(name, value);
    }
    install.env("CARGO_TARGET_DIR", tools.join("target"));
    run(&mut install)
}

/// The version of a package in the page's lock file.
fn locked_version(package: &str) -> Result<String> {
    let path = root().join("web/Cargo.lock");
    let lock = fs::read_to_string(&path);
    let lock = lock.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    version_in(&lock, package).ok_or_else(|| format!("{} lacks {package}", path.display()))
}

fn version_in(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next()?.strip_prefix("version = \"")?;
    version.strip_suffix('"').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_found_in_a_lock_file() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.0.0\"\n\n\
                    [[package]]\nname = \"a\"\nversion = \"0.2.130\"\nsource = \"x\"\n";
        assert_eq!(version_in(lock, "a").as_deref(), Some("0.2.130"));
        assert_eq!(version_in(lock, "b"), None);
    }
}
