//! The tests of the workspace.

use std::process::Command;

use crate::command::{Result, cargo, cargo_in_root, succeeds};
use crate::counts::{Counts, Outcome, Summary, count_all};

/// Runs every test: with nextest where it is installed, which leaves out the documentation's, else
/// with cargo alone. Reports how many passed.
pub fn run() -> Result<Outcome> {
    let with_nextest = succeeds(cargo().args(["nextest", "--version"]));
    let commands: &[&[&str]] = if with_nextest {
        &[
            &[
                "nextest",
                "run",
                "--workspace",
                "--release",
                "--no-fail-fast",
            ],
            &[
                "test",
                "--workspace",
                "--release",
                "--no-fail-fast",
                "--doc",
            ],
        ]
    } else {
        &[&["test", "--workspace", "--release", "--no-fail-fast"]]
    };
    let mut commands: Vec<(Command, Summary)> = commands
        .iter()
        .map(|args| (cargo_in_root(args), in_summary as Summary))
        .collect();
    count_all(&mut commands).map(Outcome::Tests)
}

/// From the last line of a test binary (`test result: ok. 3 passed; 0 failed; …`) or of nextest
/// (`Summary [ 1.2s] 3 tests run: 2 passed, 1 failed, 0 skipped`).
pub fn in_summary(line: &str) -> Option<Counts> {
    // Indented, the first is what a failed test printed, which nextest shows again.
    let is_cargo = line.starts_with("test result: ");
    let is_nextest = line.trim_start().starts_with("Summary [") && line.contains(" run: ");
    (is_cargo || is_nextest).then(|| Counts::in_line(line, &["passed"], &["failed", "timed-out"]))
}

#[cfg(test)]
mod tests {
    use super::in_summary;
    use crate::counts::Counts;

    #[test]
    fn both_summaries_are_read() {
        for (line, counts) in [
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.1s",
                Some((3, 0)),
            ),
            (
                "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured",
                Some((3, 2)),
            ),
            (
                "     Summary [   1.234s] 12 tests run: 12 passed, 1 skipped",
                Some((12, 0)),
            ),
            (
                "     Summary [   1.234s] 12 tests run: 10 passed (1 slow), 2 failed, 0 skipped",
                Some((10, 2)),
            ),
            (
                "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured",
                None,
            ),
            ("test render::works ... ok", None),
        ] {
            let expected = counts.map(|(passed, failed)| Counts { passed, failed });
            assert_eq!(in_summary(line), expected, "{line}");
        }
    }
}
