//! The tests of `tests/browser`: the built page in a real browser.

use std::env;
use std::process::Command;

use crate::clients;
use crate::command::{Result, cargo_in_root, root, run as run_command};
use crate::counts::{Counts, Summary, count_all};
use crate::{install, web};

/// Builds `glyph` and the page, installs what is missing, and runs the tests.
pub fn run() -> Result<Option<Counts>> {
    if !cfg!(target_os = "linux") {
        println!("Skipped: these tests use the Chromium of Debian");
        return Ok(None);
    }
    let build = ["build", "--release", "--workspace", "--bin", "glyph"];
    run_command(&mut cargo_in_root(&build))?;
    let dist = web::build()?;
    web::check_shell(&dist)?;
    let chromium = install::chromium()?;
    let tests = root().join("tests/browser");
    clients::node_modules(&tests)?;
    let release = clients::release_directory()?;
    let mut playwright = Command::new("npx");
    playwright
        .args(["playwright", "test"])
        .current_dir(&tests)
        .env("CHROMIUM", chromium)
        .env("GLYPH_WEB", dist)
        .env(
            "GLYPH_BINARY",
            release.join(format!("glyph{}", env::consts::EXE_SUFFIX)),
        );
    count_all(&mut [(playwright, in_playwright as Summary)]).map(Some)
}

/// From the last lines of Playwright's list reporter: `  12 passed (1.2m)`, `  1 failed`.
fn in_playwright(line: &str) -> Option<Counts> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (number, word) = match words.as_slice() {
        [number, word] | [number, word, _] => (number.parse().ok()?, *word),
        _ => return None,
    };
    let mut counts = Counts::default();
    match word {
        // A flaky one has passed when it was tried again.
        "passed" | "flaky" => counts.passed = number,
        "failed" | "interrupted" => counts.failed = number,
        _ => return None,
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::in_playwright;
    use crate::counts::Counts;

    #[test]
    fn playwright_is_read() {
        let counts = |passed, failed| Some(Counts { passed, failed });
        for (line, expected) in [
            ("  12 passed (1.2m)", counts(12, 0)),
            ("  1 failed", counts(0, 1)),
            ("  1 flaky", counts(1, 0)),
            ("  2 skipped", None),
            ("  ✓  3 render.spec.js:12:1 › pages appear (2.1s)", None),
            ("Running 12 tests using 1 worker", None),
        ] {
            assert_eq!(in_playwright(line), expected, "{line}");
        }
    }
}
