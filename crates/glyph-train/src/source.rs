//! Draws and renders the batches of a run ahead of their use, so that the device need not wait for them.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::batch::{Batch, BatchMakers};
use crate::curriculum;
use crate::data::{Generator, PageGrid, Sample, Split, Thought, Turn};
use crate::trainee::Parts;

/// Rows of a batch at most.
const MAX_ROWS: usize = 256;
/// Samples that may be drawn for the rows of a batch.
const MAX_DRAWS: u64 = 2 * MAX_ROWS as u64;
/// Batches that a thread makes before one is taken from it.
const BATCHES_AHEAD: usize = 2;

/// All that decides what a batch holds, beside its place in the run: so a resumed run sees what an uninterrupted one
/// would, on any number of cores.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Seed of the data.
    pub seed: u64,
    /// Stage of the curriculum.
    pub stage: usize,
    /// Height of a line.
    pub line_px: usize,
    /// Positions of a batch.
    pub positions_per_batch: usize,
}

/// A batch, ready for the device.
#[derive(Debug)]
pub struct Drawn {
    /// Which batch of the run it is.
    pub index: u64,
    /// Its numbers.
    pub batch: Batch,
    /// What learns from it.
    pub parts: Parts,
}

impl Recipe {
    fn draw(&self, index: u64, makers: &mut BatchMakers) -> Result<Drawn> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(index + 1);
        let plan = curriculum::plan(self.stage, self.line_px, &mut rng);
        let generator = Generator::new(self.seed, Split::Train)
            .with_more_turns(plan.more_turns)
            .with_spacing(plan.spaced_percent)
            .with_flow(plan.flowing_percent);
        let grid = PageGrid::new(plan.shape.columns, plan.shape.lines);
        // The tower's work on a page counts about as much as the decoder's on its tokens, if it learns. Letters are
        // learned from few pages at a time: steps count there, not pages.
        let page_tokens = plan.shape.columns * plan.shape.lines * plan.shape.line_px / (28 * 4);
        let tower_weight = match plan.parts {
            Parts::Both => 2,
            Parts::Decoder | Parts::Places => 1,
            Parts::Tower => 8,
        };
        let mut n_draws = 0;
        let mut n_positions = 0;
        let mut samples = Vec::new();
        while samples.len() < MAX_ROWS {
            let task = curriculum::task(&plan, &mut rng);
            let sample = index * MAX_DRAWS + n_draws;
            n_draws += 1;
            let sample = match generator.sample_at(sample, task, grid, plan.n_pages) {
                Ok(sample) => sample,
                // Once in a hundred thousand draws a small page has nothing to ask about.
                Err(_) if n_draws < MAX_DRAWS => continue,
                Err(error) => return Err(error.into()),
            };
            let text_positions = match plan.parts {
                Parts::Both | Parts::Decoder | Parts::Places => text_positions(&sample),
                Parts::Tower => 0,
            };
            let row = tower_weight * plan.n_pages * page_tokens + text_positions;
            if n_positions + row > self.positions_per_batch && !samples.is_empty() {
                break;
            }
            n_positions += row;
            samples.push(sample);
        }
        Ok(Drawn {
            index,
            batch: makers.batch(plan.shape, &samples)?,
            parts: plan.parts,
        })
    }
}

/// By how many characters a thought that cites whole lines is longer than one that quotes, about.
const CITED: usize = 40;

/// About how many tokens questions and answers take.
fn text_positions(sample: &Sample) -> usize {
    let turn = |question: &str, thought: &Option<Thought>, answer: &str| {
        let cited = |thought: &Thought| {
            let misstep = thought.misstep.as_ref();
            let misstep = misstep.map_or(0, |misstep| misstep.quotation.len() + CITED);
            thought.uncited().len() + CITED + misstep
        };
        question.len() + thought.as_ref().map_or(0, cited) + answer.len()
    };
    let more = sample.more_turns.iter().map(
        |Turn {
             question,
             thought,
             answer,
         }| turn(question, thought, answer) + 6,
    );
    turn(&sample.question, &sample.thought, &sample.answer) + 10 + more.sum::<usize>()
}

/// Threads that make batches, each with renderers of its own.
pub struct BatchSource {
    makers: Vec<BatchMakers>,
}

/// Batches in their order.
pub struct Batches {
    next: AtomicU64,
    first: u64,
    /// One per thread; each makes every so-manieth batch.
    receivers: Vec<Mutex<Receiver<Result<Drawn>>>>,
}

impl BatchSource {
    /// A source of `n_makers` threads, one at least.
    pub fn new(n_makers: usize) -> Self {
        let makers = (0..n_makers.max(1)).map(|_| BatchMakers::default());
        Self {
            makers: makers.collect(),
        }
    }

    /// Renderers for another use between two runs of [`ahead`](Self::ahead).
    pub fn makers(&mut self) -> &mut BatchMakers {
        &mut self.makers[0]
    }

    /// Makes the batches of `range` while `consume` takes them.
    pub fn ahead<R>(
        &mut self,
        recipe: Recipe,
        range: Range<u64>,
        consume: impl FnOnce(Batches) -> R,
    ) -> R {
        let n_makers = self.makers.len();
        std::thread::scope(|scope| {
            let receivers = self.makers.iter_mut().enumerate().map(|(first, makers)| {
                let (sender, receiver) = sync_channel(BATCHES_AHEAD);
                let indices = (range.start + first as u64..range.end).step_by(n_makers);
                scope.spawn(move || {
                    for index in indices {
                        if sender.send(recipe.draw(index, makers)).is_err() {
                            return;
                        }
                    }
                });
                Mutex::new(receiver)
            });
            consume(Batches {
                next: AtomicU64::new(range.start),
                first: range.start,
                receivers: receivers.collect(),
            })
        })
    }
}

impl Batches {
    /// The next batch.
    ///
    /// # Errors
    /// What drawing it met, or that none is left.
    pub fn next(&self) -> Result<Drawn> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let thread = (index - self.first) as usize % self.receivers.len();
        let receiver = self.receivers[thread].lock();
        let receiver = receiver.unwrap_or_else(PoisonError::into_inner);
        receiver.recv().context("no batch is left")?
    }
}

#[cfg(test)]
mod tests {
    use super::Recipe;
    use crate::batch::{BatchMakers, CELLS_PER_TOKEN};
    use crate::curriculum::STAGES;

    #[test]
    fn rows_of_a_batch_have_room_for_as_many_pages() {
        let recipe = Recipe {
            seed: 1,
            stage: STAGES.len() - 1,
            line_px: 28,
            positions_per_batch: 6000,
        };
        let mut makers = BatchMakers::default();
        let mut most = 0;
        for index in 0..60 {
            let batch = recipe.draw(index, &mut makers).unwrap().batch;
            let n_tokens = batch.n_images * batch.grid.n_tokens(2);
            assert_eq!(batch.n_images % batch.n_rows, 0);
            assert_eq!(batch.cells.len(), n_tokens * CELLS_PER_TOKEN);
            assert_eq!(
                batch.patches.len(),
                batch.n_images * batch.grid.n_patches() * batch.patch_pixels
            );
            for (place, feature) in batch.feature_index.iter().enumerate() {
                let row = place / batch.seq;
                let tokens_per_row = n_tokens / batch.n_rows;
                assert!(feature.is_none_or(|feature| feature / tokens_per_row == row));
            }
            most = most.max(batch.n_images / batch.n_rows);
        }
        assert!(most >= 8, "{most} pages at most");
    }
}
