//! The tests of `tests/clients`: what others have written, against the built server.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ask;
use crate::command::{Result, root, run as run_command, succeeds, target_directory};
use crate::counts::{Counts, Outcome, Summary, count_all};
use crate::install::{self, copy, is_same};
use crate::node;

/// Builds `glyph`, installs the clients that are missing, and lets them talk to it.
pub fn run() -> Result<Outcome> {
    if !cfg!(unix) {
        return Ok(Outcome::Skipped(
            "these tests send signals and limits that only Unix has",
        ));
    }
    let glyph = ask::build_glyph()?;
    let installed = target_directory()?.join("clients");
    let tests = root().join("tests/clients");
    let python = python(&installed, &tests.join("python"))?;
    let javascript = tests.join("javascript");
    let path = node::search_path()?;
    node::modules(&javascript, &path)?;
    let path = with_prometheus(path, &installed)?;

    let mut pytest = Command::new(python);
    pytest
        .args(["-m", "pytest"])
        .current_dir(tests.join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PATH", &path);
    let mut node_tests = Command::new("node");
    node_tests
        .args(["--test", "--test-reporter=spec"])
        .current_dir(javascript)
        .env("PATH", path);
    for command in [&mut pytest, &mut node_tests] {
        command.env("GLYPH_BINARY", &glyph);
    }
    let mut commands = [
        (pytest, in_pytest as Summary),
        (node_tests, in_node_test as Summary),
    ];
    count_all(&mut commands).map(Outcome::Tests)
}

/// The Python of a virtual environment that holds what `requirements.txt` names.
fn python(installed: &Path, tests: &Path) -> Result<PathBuf> {
    let environment = installed.join("python");
    let python = environment.join("bin/python");
    let wanted = tests.join("requirements.txt");
    let stamp = environment.join("requirements.txt");
    if is_same(&wanted, &stamp) && succeeds(Command::new(&python).args(["-c", "import pytest"])) {
        return Ok(python);
    }
    install::python_venv()?;
    let mut venv = Command::new("python3");
    run_command(venv.args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"]);
    run_command(pip.arg(&wanted))?;
    copy(&wanted, &stamp)?;
    Ok(python)
}

/// The search path, with Prometheus on it where that can be had.
fn with_prometheus(path: OsString, installed: &Path) -> Result<OsString> {
    let Some(directory) = install::prometheus(&installed.join("prometheus")) else {
        return Ok(path);
    };
    let mut directories = vec![directory];
    directories.extend(env::split_paths(&path));
    env::join_paths(directories).map_err(|error| format!("the search path: {error}"))
}

/// From pytest's last line: `=== 1 failed, 2 passed, 1 skipped, 1 error in 3.21s ===`.
fn in_pytest(line: &str) -> Option<Counts> {
    let words = line.strip_prefix("==")?.trim_matches(['=', ' ']);
    let is_summary = words.contains(" in ") && words.starts_with(|c: char| c.is_ascii_digit());
    is_summary.then(|| Counts::in_line(words, &["passed"], &["failed", "error", "errors"]))
}

/// From the last lines of Node's test runner: `ℹ pass 3`, `ℹ fail 0`, `ℹ cancelled 0`.
fn in_node_test(line: &str) -> Option<Counts> {
    let (word, number) = line.strip_prefix("ℹ ")?.split_once(' ')?;
    let number = number.parse().ok()?;
    let mut counts = Counts::default();
    match word {
        "pass" => counts.passed = number,
        "fail" | "cancelled" => counts.failed = number,
        _ => return None,
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::{Counts, in_node_test, in_pytest};

    fn counts(passed: usize, failed: usize) -> Option<Counts> {
        Some(Counts { passed, failed })
    }

    #[test]
    fn pytest_is_read() {
        for (line, expected) in [
            (
                "================ 108 passed in 72.02s (0:01:12) ================",
                counts(108, 0),
            ),
            (
                "== 3 failed, 10 passed, 1 skipped, 2 errors in 3.21s ==",
                counts(10, 5),
            ),
            ("== 1 passed, 1 error in 0.01s ==", counts(1, 1)),
            ("============ test session starts ============", None),
            ("=== short test summary info ===", None),
            ("3 passed in 1s", None),
        ] {
            assert_eq!(in_pytest(line), expected, "{line}");
        }
    }

    #[test]
    fn node_is_read() {
        for (line, expected) in [
            ("ℹ pass 7", counts(7, 0)),
            ("ℹ fail 2", counts(0, 2)),
            ("ℹ cancelled 1", counts(0, 1)),
            ("ℹ tests 9", None),
            ("✔ pass 3 (1.2ms)", None),
            ("ℹ duration_ms 3", None),
        ] {
            assert_eq!(in_node_test(line), expected, "{line}");
        }
    }
}
