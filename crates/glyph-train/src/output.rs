//! What the command line shows and writes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use glyph_train::evaluate::Score;
use glyph_train::quantization::QuantizedScore;

/// Where figures are written as JSON, if asked.
pub struct JsonFile(Option<PathBuf>);

impl JsonFile {
    /// Refuses a path that nothing can be written to, before there is anything to lose.
    pub fn new(path: Option<PathBuf>) -> Result<Self> {
        if let Some(path) = &path {
            let cannot_write = || format!("cannot write {}", path.display());
            // A link to a file that is yet to be is not removed in its place.
            let is_new = path.symlink_metadata().is_err();
            let file = OpenOptions::new().append(true).create(true).open(path);
            drop(file.with_context(cannot_write)?);
            // A measurement that fails leaves no empty file.
            if is_new {
                std::fs::remove_file(path).with_context(cannot_write)?;
            }
        }
        Ok(Self(path))
    }

    /// Writes it, if asked.
    pub fn write<T: serde::Serialize>(self, value: &T) -> Result<()> {
        let Some(path) = self.0 else { return Ok(()) };
        write(&path, &(serde_json::to_string_pretty(value)? + "\n"))
    }
}

/// Writes a text file.
pub fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes to standard output. Who has closed it wants to see no more; the measurement goes on for its `--json`.
pub fn show(text: &str) {
    if let Err(error) = writeln!(io::stdout(), "{text}")
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        drop(writeln!(
            io::stderr(),
            "cannot write to standard output: {error}"
        ));
    }
}

/// Figures of quantised copies.
pub fn quantized_table(scores: &[QuantizedScore]) -> String {
    let head = format!(
        "{:<8}{:>14}{:>8}{:>10}{:>10}{:>11}{:>9}{:>9}",
        "weights", "bytes", "tokens", "cosine", "least", "agreement", "loss", "right"
    );
    let rows = scores.iter().map(|score| {
        let loss = score
            .loss
            .map_or(String::new(), |loss| format!("{loss:.4}"));
        let share = |share: f64| format!("{:.2} %", 100.0 * share);
        format!(
            "{:<8}{:>14}{:>8}{:>10.5}{:>10.5}{:>11}{:>9}{:>9}",
            score.weights,
            score.weight_bytes,
            score.n_tokens,
            score.mean_cosine,
            score.least_cosine,
            share(score.agreement),
            loss,
            score.right.map_or(String::new(), share),
        )
    });
    std::iter::once(head)
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Names of the columns of [`score_row`].
pub fn score_head() -> String {
    format!(
        "{:<24}{:>6}{:>7}{:>9}{:>10}{:>9}{:>8}  held",
        "task", "pages", "shown", "samples", "CER", "exact", "bar"
    )
}

/// One row of an evaluation.
pub fn score_row(score: &Score) -> String {
    let error_rate = score
        .character_error_rate
        .map_or(String::new(), |rate| format!("{:.2} %", 100.0 * rate));
    format!(
        "{:<24}{:>6}{:>7.1}{:>9}{:>10}{:>8.1}%{:>8}  {}",
        score.task,
        score.n_pages,
        score.shown_pages,
        score.n_samples,
        error_rate,
        100.0 * score.exact,
        score
            .bar
            .map_or(String::new(), |bar| format!("{:.0}%", 100.0 * bar)),
        match score.held {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        },
    )
}

/// Some of the wrong answers, to standard error.
pub fn show_misses(score: &Score) {
    for (question, expected, given) in &score.misses {
        drop(writeln!(
            io::stderr(),
            "    {question:?}\n      expected {expected:?}\n      given    {given:?}"
        ));
    }
}
