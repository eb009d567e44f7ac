//! Training between two lines of the log.

use std::time::Instant;

use super::step::StepResult;
use crate::checkpoint::Progress;
use crate::curriculum::STAGES;
use crate::log::LogLine;

/// Sums since the last log line.
pub(super) struct Window {
    seconds_before: f64,
    started: Instant,
    reset_at: Instant,
    n_results: usize,
    answer_loss: f64,
    cell_loss: f64,
    pointer_loss: f64,
    place_loss: f64,
    answer_hits: (usize, usize),
    cell_hits: (usize, usize),
    pointer_hits: (usize, usize),
    place_hits: (usize, usize),
    n_positions: usize,
}

impl Window {
    pub(super) fn new(seconds_before: f64) -> Self {
        let now = Instant::now();
        Self {
            seconds_before,
            started: now,
            reset_at: now,
            n_results: 0,
            answer_loss: 0.0,
            cell_loss: 0.0,
            pointer_loss: 0.0,
            place_loss: 0.0,
            answer_hits: (0, 0),
            cell_hits: (0, 0),
            pointer_hits: (0, 0),
            place_hits: (0, 0),
            n_positions: 0,
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    pub(super) fn add(&mut self, result: &StepResult) {
        self.n_results += 1;
        let measured = &result.measured;
        self.answer_loss += measured.answer_loss;
        self.cell_loss += measured.cell_loss;
        self.pointer_loss += measured.pointer_loss;
        self.place_loss += measured.place_loss;
        for (sum, hits) in [
            (&mut self.place_hits, measured.place_hits),
            (&mut self.pointer_hits, measured.pointer_hits),
            (&mut self.answer_hits, measured.answer_hits),
            (&mut self.cell_hits, measured.cell_hits),
        ] {
            sum.0 += hits.0;
            sum.1 += hits.1;
        }
        self.n_positions += result.n_positions;
    }

    pub(super) fn line(&self, progress: &Progress, learning_rate: f64) -> LogLine {
        let n = self.n_results.max(1) as f64;
        LogLine {
            step: progress.step,
            seconds: progress.seconds,
            stage: STAGES[progress.stage].name.to_owned(),
            learning_rate,
            answer_loss: self.answer_loss / n,
            cell_loss: self.cell_loss / n,
            answer_accuracy: share(self.answer_hits),
            cell_accuracy: share(self.cell_hits),
            pointer_loss: self.pointer_loss / n,
            pointer_accuracy: share(self.pointer_hits),
            place_loss: self.place_loss / n,
            place_accuracy: share(self.place_hits),
            positions_per_second: self.n_positions as f64 / self.reset_at.elapsed().as_secs_f64(),
            ..LogLine::default()
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self {
            started: self.started,
            ..Self::new(self.seconds_before)
        };
    }
}

/// Right ones of all.
pub(super) fn share((right, all): (usize, usize)) -> f64 {
    right as f64 / all.max(1) as f64
}
