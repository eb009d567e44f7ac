//! The tests, and how many passed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;

use crate::command::{Result, cannot_start, cargo, cargo_in_root, shown, succeeds};

/// Passed and failed tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
}

/// Runs every test: with nextest where it is installed, which leaves out the documentation's, else
/// with cargo alone. Reports how many passed.
pub fn run() -> Result<Option<String>> {
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
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for args in commands {
        let mut command = cargo_in_root(args);
        let (command_counts, is_success) = count(&mut command)?;
        if !is_success && command_counts == Counts::default() {
            return Err(format!("{} failed before a test ran", shown(&command)));
        }
        counts.add(command_counts);
        if !is_success {
            failures.push(shown(&command));
        }
    }
    let report = format!("{} passed, {} failed", counts.passed, counts.failed);
    if failures.is_empty() {
        return Ok(Some(report));
    }
    Err(format!("{} failed\n{report}", failures.join(" and ")))
}

/// Runs a command, shows what it prints and counts what it reports.
fn count(command: &mut Command) -> Result<(Counts, bool)> {
    let piped = command
        .env("CARGO_TERM_COLOR", "never")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped
        .spawn()
        .map_err(|error| cannot_start(command, &error))?;
    let stderr = child
        .stderr
        .take()
        .map(|stderr| thread::spawn(move || show(stderr, |line| eprintln!("{line}"))));
    let mut counts = child
        .stdout
        .take()
        .map(|stdout| show(stdout, |line| println!("{line}")))
        .unwrap_or_default();
    if let Some(stderr) = stderr.and_then(|thread| thread.join().ok()) {
        counts.add(stderr);
    }
    let status = child
        .wait()
        .map_err(|error| format!("{}: {error}", shown(command)))?;
    Ok((counts, status.success()))
}

fn show(stream: impl Read, print: impl Fn(&str)) -> Counts {
    let mut counts = Counts::default();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    // By bytes: a test may print what is not UTF-8.
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        print(text);
        counts.add(Counts::in_summary(text).unwrap_or_default());
        line.clear();
    }
    counts
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// From the last line of a test binary (`test result: ok. 3 passed; 0 failed; …`) or of nextest
    /// (`Summary [ 1.2s] 3 tests run: 2 passed, 1 failed, 0 skipped`).
    fn in_summary(line: &str) -> Option<Self> {
        // Indented, the first is what a failed test printed, which nextest shows again.
        let is_cargo = line.starts_with("test result: ");
        let is_nextest = line.trim_start().starts_with("Summary [") && line.contains(" run: ");
        if !is_cargo && !is_nextest {
            return None;
        }
        let number_before = |word: &str| {
            let words: Vec<&str> = line
                .split([' ', ';', ','])
                .filter(|part| !part.is_empty())
                .collect();
            let numbers = words.windows(2).filter(|pair| pair[1] == word);
            numbers
                .filter_map(|pair| pair[0].parse::<usize>().ok())
                .sum()
        };
        let failed = number_before("failed") + number_before("timed-out");
        Some(Self {
            passed: number_before("passed"),
            failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

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
            assert_eq!(Counts::in_summary(line), expected, "{line}");
        }
    }
}
