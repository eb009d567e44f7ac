//! Running a command that runs tests, and how many passed.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;

use crate::command::{Result, cannot_start, shown};

/// Passed and failed tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// These passed.
    pub passed: usize,
    /// These failed.
    pub failed: usize,
}

impl Counts {
    /// Adds those of another command.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// From a line that has each number in front of its word; both forms of a word may be named.
    pub fn in_line(line: &str, passed: &[&str], failed: &[&str]) -> Self {
        let separators = [' ', ';', ',', '='];
        let words: Vec<&str> = line
            .split(separators)
            .filter(|word| !word.is_empty())
            .collect();
        let of = |names: &[&str]| {
            let numbers = words.windows(2).filter(|pair| names.contains(&pair[1]));
            numbers
                .filter_map(|pair| pair[0].parse::<usize>().ok())
                .sum()
        };
        Self {
            passed: of(passed),
            failed: of(failed),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// What a check that did not fail comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was found.
    Passed,
    /// So many tests passed.
    Tests(Counts),
    /// It cannot be made on this system, and why.
    Skipped(&'static str),
}

/// Finds the counts in a line, where it is one that reports them.
pub type Summary = fn(&str) -> Option<Counts>;

/// Runs a command, shows what it prints and counts what it reports; also whether it ended well.
pub fn count(command: &mut Command, summary: Summary) -> Result<(Counts, bool)> {
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
        .map(|stderr| thread::spawn(move || show(stderr, summary, |line| eprintln!("{line}"))));
    let mut counts = child
        .stdout
        .take()
        .map(|stdout| show(stdout, summary, |line| println!("{line}")))
        .unwrap_or_default();
    if let Some(stderr) = stderr.and_then(|thread| thread.join().ok()) {
        counts.add(stderr);
    }
    let status = child
        .wait()
        .map_err(|error| format!("{}: {error}", shown(command)))?;
    Ok((counts, status.success()))
}

fn show(stream: impl Read, summary: Summary, print: impl Fn(&str)) -> Counts {
    let mut counts = Counts::default();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    // By bytes: a test may print what is not UTF-8.
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        print(text);
        counts.add(summary(text).unwrap_or_default());
        line.clear();
    }
    counts
}

/// Runs every command, also behind one that fails, and adds up what they report.
///
/// # Errors
/// When one fails, with the counts of all; when one reports no test at all.
pub fn count_all(commands: &mut [(Command, Summary)]) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for (command, summary) in commands {
        let (command_counts, is_success) = count(command, *summary)?;
        if !is_success && command_counts == Counts::default() {
            return Err(format!("{} failed before a test ran", shown(command)));
        }
        counts.add(command_counts);
        if !is_success {
            failures.push(shown(command));
        }
    }
    if failures.is_empty() {
        return Ok(counts);
    }
    Err(format!("{} failed\n{counts}", failures.join(" and ")))
}
