//! The training log: one JSON object a line, for scripts and for the plot.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::checkpoint::replace;

/// State of training at one step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LogLine {
    /// Optimisation step.
    pub step: usize,
    /// Seconds of training so far, over all restarts.
    pub seconds: f64,
    /// Curriculum stage.
    pub stage: String,
    /// Learning rate.
    pub learning_rate: f64,
    /// Mean answer loss since the last line.
    pub answer_loss: f64,
    /// Mean cell loss since the last line.
    pub cell_loss: f64,
    /// Share of next tokens right in training since the last line.
    pub answer_accuracy: f64,
    /// Share of visible cells right in training since the last line.
    pub cell_accuracy: f64,
    /// Mean pointer loss since the last line.
    #[serde(default)]
    pub pointer_loss: f64,
    /// Share of pointers right in training since the last line.
    #[serde(default)]
    pub pointer_accuracy: f64,
    /// Mean place loss since the last line.
    #[serde(default)]
    pub place_loss: f64,
    /// Share of lines told right in training since the last line.
    #[serde(default)]
    pub place_accuracy: f64,
    /// Positions through the decoder (or the tower alone) per second.
    pub positions_per_second: f64,
    /// Next characters right on held-out random strings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_random: Option<f64>,
    /// Next characters right on held-out prose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_prose: Option<f64>,
    /// Visible cells right on held-out random strings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_cells: Option<f64>,
    /// Next characters right in held-out excerpts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_excerpts: Option<f64>,
    /// Held-out needles answered exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_needles: Option<f64>,
    /// Held-out look-ups answered exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_lookups: Option<f64>,
    /// Held-out questions without an answer for which the model said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_not_there: Option<f64>,
}

/// Appends to `log.jsonl`.
pub struct Log {
    file: File,
}

impl Log {
    /// Opens for appending.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file })
    }

    /// Writes one line.
    pub fn write(&mut self, line: &LogLine) -> Result<()> {
        writeln!(self.file, "{}", serde_json::to_string(line)?)?;
        Ok(())
    }
}

/// Cuts a log to the lines up to a step, for a run that goes on from there and will write what follows again. What
/// is no whole line, as a run that was killed may leave, goes too.
pub fn cut_log(path: &Path, last_step: usize) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_kept =
        |line: &&str| serde_json::from_str(line).is_ok_and(|line: LogLine| line.step <= last_step);
    let kept: String = text
        .lines()
        .filter(is_kept)
        .flat_map(|line| [line, "\n"])
        .collect();
    replace(path, kept.as_bytes())
}

/// Reads a log back.
pub fn read_log(path: &Path) -> Result<Vec<LogLine>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    BufReader::new(file)
        .lines()
        .map(|line| {
            let line = line?;
            serde_json::from_str(&line).with_context(|| format!("{}: {line}", path.display()))
        })
        .collect()
}
