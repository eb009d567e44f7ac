//! The tests of `tests/browser`: the built page in a real browser.

use std::process::Command;

use crate::command::{Result, root};
use crate::counts::{Counts, Outcome, Summary, count_all};
use crate::{ask, install, node, web, web_files};

/// Builds `glyph` and the page, installs what is missing, and runs the tests.
pub fn run() -> Result<Outcome> {
    if !cfg!(target_os = "linux") {
        return Ok(Outcome::Skipped("these tests use the Chromium of Debian"));
    }
    let glyph = ask::build_glyph()?;
    let dist = web::build(&web::tools()?)?;
    web_files::check_programs(&dist)?;
    let chromium = install::chromium()?;
    let tests = root().join("tests/browser");
    let path = node::search_path()?;
    node::modules(&tests, &path)?;
    let mut playwright = Command::new("node");
    playwright
        .args(["node_modules/@playwright/test/cli.js", "test"])
        .current_dir(&tests)
        .env("PATH", path)
        .env("CHROMIUM", chromium)
        .env("GLYPH_WEB", dist)
        .env("GLYPH_BINARY", glyph);
    count_all(&mut [(playwright, in_playwright as Summary)]).map(Outcome::Tests)
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
