//! What a run was asked for each time that it was started, kept beside its weights: who goes on with it does not mix two
//! runs, and who publishes it can say how it came about.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Progress, RunDir};
use crate::run::{RunLength, RunOptions};
use crate::style::page_shape;

/// One start of a run, by the names of the command's options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Steps that were done before.
    pub step: usize,
    /// Weights that the run began from.
    pub init: Option<PathBuf>,
    /// Stage that it began in.
    pub first_stage: usize,
    /// Seed of weights and data.
    pub seed: u64,
    /// Height of a line on the pages.
    pub line_px: usize,
    /// Steps in all, where they are what ends it.
    pub steps: Option<usize>,
    /// Minutes in all, where they are what ends it.
    pub minutes_in_all: Option<f64>,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the run after which the rate descends.
    pub decay_from: f64,
    /// Positions of a batch.
    pub positions: usize,
    /// Batches of a step.
    pub batches: usize,
    /// Replicas that share a step.
    pub workers: usize,
    /// How much the place that a question is about counts.
    pub place_share: f64,
    /// Share of the answers that are misled about the place.
    pub misled_share: f64,
}

impl Start {
    /// From what a run is asked to do, behind so many steps.
    pub fn new(options: &RunOptions, step: usize) -> Self {
        let (steps, minutes_in_all) = match options.length {
            RunLength::Steps(steps) => (Some(steps), None),
            RunLength::Time(time) => (None, Some(time.as_secs_f64() / 60.0)),
        };
        Self {
            step,
            init: options.init.clone(),
            first_stage: options.first_stage,
            seed: options.seed,
            line_px: options.line_px,
            steps,
            minutes_in_all,
            learning_rate: options.learning_rate,
            decay_from: options.decay_from,
            positions: options.positions_per_batch,
            batches: options.n_batches,
            workers: options.n_workers,
            place_share: options.emphasis.place_share,
            misled_share: options.emphasis.misled_share,
        }
    }

    /// What makes it another run, as `--option VALUE`; how long it lasts and how fast it learns may change on the way.
    fn identity(&self) -> [(&'static str, String); 4] {
        let init = self.init.as_ref();
        [
            ("--seed", self.seed.to_string()),
            ("--line-px", self.line_px.to_string()),
            ("--first-stage", self.first_stage.to_string()),
            (
                "--init",
                init.map_or("none".to_owned(), |init| init.display().to_string()),
            ),
        ]
    }
}

/// The starts of a run with this one behind them; they begin anew where it has no progress yet.
///
/// # Errors
/// Where the run was begun with another seed, line height, stage or weights: it would go on as neither of both.
pub fn starts_with(
    run: &RunDir,
    options: &RunOptions,
    progress: Option<&Progress>,
) -> Result<Vec<Start>> {
    let mut starts = match progress {
        Some(_) => kept_starts(run)?,
        None => Vec::new(),
    };
    let start = Start::new(options, progress.map_or(0, |progress| progress.step));
    if let Some(first) = starts.first() {
        for ((name, begun), (_, asked)) in first.identity().into_iter().zip(start.identity()) {
            ensure!(
                begun == asked,
                "{} was begun with {name} {begun}, and this is {name} {asked}. Go on with what it was begun with, or begin \
                 another run with another --out",
                run.0.display()
            );
        }
    }
    starts.push(start);
    Ok(starts)
}

/// The starts that a run has kept; a run that was made before they were has none.
fn kept_starts(run: &RunDir) -> Result<Vec<Start>> {
    let path = run.starts_path();
    if !path.exists() {
        return Ok(Vec::new());
    }
    let unusable = || {
        format!(
            "{} cannot be used. Restore it, or remove it",
            path.display()
        )
    };
    let json = std::fs::read_to_string(&path).with_context(unusable)?;
    serde_json::from_str(&json).with_context(unusable)
}

/// Height of the lines that a run, or what a checkpoint directory holds, was trained on.
///
/// # Errors
/// Where neither the run's starts nor a style tell.
pub fn line_px(run: &RunDir) -> Result<usize> {
    match kept_starts(run)?.first() {
        Some(start) => Ok(start.line_px),
        None => {
            let shape = page_shape(&run.0.join("render.json")).with_context(|| {
                format!(
                    "{} does not tell how high the lines are that it was trained on. A run has starts.json for that, \
                     which `glyph-train run --out {0}` with the run's options writes again; a checkpoint render.json",
                    run.0.display()
                )
            });
            Ok(shape?.line_px)
        }
    }
}
