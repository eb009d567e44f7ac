//! What a run is asked to do, and where it ends.

use std::path::PathBuf;
use std::time::Duration;

use burn::tensor::Device;

use crate::checkpoint::Progress;
use crate::emphasis::Emphasis;

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where checkpoints and log go.
    pub out: PathBuf,
    /// Weights to start from instead of random ones: directory of another run or of a checkpoint.
    pub init: Option<PathBuf>,
    /// Curriculum stage to start in.
    pub first_stage: usize,
    /// Seed of weights and data.
    pub seed: u64,
    /// How long it lasts in all.
    pub length: RunLength,
    /// After how long to save and stop, to be gone on with later.
    pub time_limit: Option<Duration>,
    /// Height of a line on the pages: 28 puts one line under a vision token, 14 two.
    pub line_px: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the run after which the rate descends.
    pub decay_from: f64,
    /// Positions of a batch.
    pub positions_per_batch: usize,
    /// Batches whose mean gradient makes a step.
    pub n_batches: usize,
    /// Replicas that share a step's batches; on a CPU one per core, on a GPU one.
    pub n_workers: usize,
    /// What counts beside the answers where places are learnt.
    pub emphasis: Emphasis,
    /// Threads that draw and render batches ahead of their use.
    pub n_makers: usize,
    /// Device without autodiff.
    pub device: Device,
}

/// Where a run ends, however often it is stopped and gone on with.
#[derive(Debug, Clone, Copy)]
pub enum RunLength {
    /// After so many steps.
    Steps(usize),
    /// After so long a training.
    Time(Duration),
}

impl RunLength {
    /// Steps or seconds, done and in all.
    pub(super) fn done_of_all(self, progress: &Progress) -> (f64, f64) {
        match self {
            Self::Steps(n_steps) => (progress.step as f64, n_steps as f64),
            Self::Time(time) => (progress.seconds, time.as_secs_f64()),
        }
    }

    /// How much of the run is done, 1 at its end.
    pub(super) fn share_done(self, progress: &Progress) -> f64 {
        let (done, all) = self.done_of_all(progress);
        if done < all { done / all } else { 1.0 }
    }

    /// The last step that may be done, if steps are what counts.
    pub(super) fn last_step(self) -> usize {
        match self {
            Self::Steps(n_steps) => n_steps,
            Self::Time(_) => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RunLength;
    use crate::checkpoint::Progress;

    #[test]
    fn a_run_ends_by_its_steps_or_by_its_time() {
        let progress = Progress {
            step: 30,
            seconds: 90.0,
            ..Progress::default()
        };
        let share = |length: RunLength| length.share_done(&progress);
        assert!((share(RunLength::Steps(120)) - 0.25).abs() < 1e-9);
        assert!((share(RunLength::Time(Duration::from_secs(180))) - 0.5).abs() < 1e-9);
        for over in [
            RunLength::Steps(30),
            RunLength::Steps(0),
            RunLength::Time(Duration::from_secs(60)),
        ] {
            assert!(share(over) >= 1.0, "{over:?}");
        }
    }
}
