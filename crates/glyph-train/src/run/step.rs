//! What the batches of one step come to, shared by replicas of the model.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use rayon::ThreadPool;

use super::RunOptions;
use crate::emphasis::Emphasis;
use crate::source::{Batches, Drawn};
use crate::trainee::{Measured, Parts, Trainee};

/// What the batches of a step come to, in their order. Whoever is free takes the next one, so that no core waits long
/// for another that had other work or harder samples. What a replica computes stays on one thread: what it handed to
/// threads shared with others it would wait for.
pub(super) fn step_results(
    trainee: &Trainee,
    cores: &[ThreadPool],
    options: &RunOptions,
    batches: &Batches,
) -> Vec<Result<StepResult>> {
    let device = &options.device.clone().autodiff();
    let n_left = AtomicUsize::new(options.n_batches);
    let mut results: Vec<(u64, Result<StepResult>)> = std::thread::scope(|scope| {
        let running: Vec<_> = cores
            .iter()
            .map(|core| {
                // Leaving and entering autodiff gives each replica a graph of its own; `fork` would
                // too, but leaves an entry per parameter behind that every backward pass walks over.
                let trainee = trainee.valid().train();
                let n_left = &n_left;
                let take = move |left: usize| left.checked_sub(1);
                scope.spawn(move || {
                    core.install(|| {
                        let mut results = Vec::new();
                        while n_left
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                            .is_ok()
                        {
                            results.push(match batches.next() {
                                Ok(drawn) => (
                                    drawn.index,
                                    Ok(step_result(&trainee, &drawn, options.emphasis, device)),
                                ),
                                Err(error) => (u64::MAX, Err(error)),
                            });
                        }
                        results
                    })
                })
            })
            .collect();
        running
            .into_iter()
            .flat_map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| vec![(u64::MAX, Err(anyhow!("a worker died")))])
            })
            .collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What one batch comes to.
pub(super) struct StepResult {
    pub(super) grads: GradientsParams,
    pub(super) measured: Measured,
    /// Positions through the decoder, or the tower alone.
    pub(super) n_positions: usize,
    pub(super) n_samples: usize,
}

fn step_result(
    trainee: &Trainee,
    drawn: &Drawn,
    emphasis: Emphasis,
    device: &Device,
) -> StepResult {
    let batch = &drawn.batch;
    let losses = trainee.losses(batch, drawn.parts, emphasis, device);
    let grads = GradientsParams::from_grads(losses.total.backward(), trainee);
    StepResult {
        grads,
        measured: losses.measured(batch),
        n_positions: match drawn.parts {
            Parts::Both | Parts::Decoder | Parts::Places => batch.n_rows * batch.seq,
            Parts::Tower => batch.n_images * batch.grid.n_tokens(2),
        },
        n_samples: batch.n_rows,
    }
}
