//! Which pages and tasks the model sees when.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::batch::PageShape;
use crate::data::{Document, Haystack, NeedleKind, NeedleSpec, Reading, Task, Wording};

/// One step of the curriculum: the model stays until it reads well enough.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// Name in logs.
    pub name: &'static str,
    /// Characters per line and lines per page.
    pub page: (usize, usize),
    /// Whether the decoder takes part; before the tower knows letters it has nothing to read.
    pub decode: bool,
    /// Share of pages with two lines under a vision token.
    pub dense_share: f64,
    /// Share of batches that are not reading.
    pub task_share: f64,
    /// What to reach on held-out random strings to go on: cells known (towers alone) or next characters.
    pub gate: f64,
}

/// From letters over short pages to all tasks. Longer pages come almost free once short ones are read.
pub const STAGES: [Stage; 6] = [
    Stage {
        name: "letters",
        page: (16, 4),
        decode: false,
        dense_share: 0.6,
        task_share: 0.0,
        gate: 0.97,
    },
    Stage {
        name: "read 16×2",
        page: (16, 2),
        decode: true,
        dense_share: 0.5,
        task_share: 0.0,
        gate: 0.80,
    },
    Stage {
        name: "read 24×4",
        page: (24, 4),
        decode: true,
        dense_share: 0.8,
        task_share: 0.0,
        gate: 0.86,
    },
    Stage {
        name: "read 32×6",
        page: (32, 6),
        decode: true,
        dense_share: 0.9,
        task_share: 0.0,
        gate: 0.90,
    },
    Stage {
        name: "read 40×8",
        page: (40, 8),
        decode: true,
        dense_share: 0.9,
        task_share: 0.1,
        gate: 0.93,
    },
    Stage {
        name: "tasks",
        page: (40, 8),
        decode: true,
        dense_share: 0.95,
        task_share: 0.5,
        gate: 2.0,
    },
];

/// What one worker's batch of one step holds.
#[derive(Debug, Clone, Copy)]
pub struct BatchPlan {
    /// Geometry of its pages.
    pub shape: PageShape,
    /// Pages of each sample.
    pub n_pages: usize,
    /// Family of tasks; the samples of a batch are alike so that little is padded.
    pub family: BatchFamily,
}

/// Tasks that share a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchFamily {
    /// Transcription.
    Read,
    /// RULER's needles.
    Needle,
    /// Values by their keys.
    Lookup,
}

/// Draws what a batch holds.
pub fn plan(stage_index: usize, rng: &mut ChaCha8Rng) -> BatchPlan {
    let stage = &STAGES[stage_index];
    let family = if rng.random_bool(stage.task_share) {
        if rng.random_bool(0.5) {
            BatchFamily::Needle
        } else {
            BatchFamily::Lookup
        }
    } else {
        BatchFamily::Read
    };
    // Earlier, smaller pages stay in the mix.
    let (columns, lines) = match family {
        BatchFamily::Read if stage_index > 1 && rng.random_bool(0.2) => {
            STAGES[rng.random_range(1..stage_index)].page
        }
        _ => stage.page,
    };
    let line_px = if rng.random_bool(stage.dense_share) {
        14
    } else {
        28
    };
    let n_pages = match family {
        BatchFamily::Read => 1,
        BatchFamily::Needle => *pick(rng, &[1, 1, 2, 3, 4, 6, 8]),
        BatchFamily::Lookup => *pick(rng, &[1, 1, 1, 2, 3, 4]),
    };
    BatchPlan {
        shape: PageShape {
            columns,
            lines,
            line_px,
        },
        n_pages,
        family,
    }
}

/// Draws the task of one sample.
pub fn task(family: BatchFamily, rng: &mut ChaCha8Rng) -> Task {
    match family {
        // Random strings from the first step: prose can be guessed, random strings must be read.
        BatchFamily::Read => Task::Read(*pick(
            rng,
            &[
                Reading::Random,
                Reading::Random,
                Reading::Random,
                Reading::Random,
                Reading::Salad,
                Reading::Prose,
                Reading::Prose,
                Reading::Code,
            ],
        )),
        BatchFamily::Needle => {
            let kind = *pick(rng, &[NeedleKind::Numbers, NeedleKind::Words]);
            let haystack = *pick(
                rng,
                &[
                    Haystack::Noise,
                    Haystack::Prose,
                    Haystack::Prose,
                    Haystack::Needles,
                ],
            );
            let wording = *pick(
                rng,
                &[Wording::Official, Wording::Official, Wording::QuestionOnly],
            );
            let spec = NeedleSpec::single(kind, haystack)
                .with_distractors(rng.random_range(0..4))
                .with_values(*pick(rng, &[1, 1, 1, 2]))
                .with_wording(wording);
            if rng.random_bool(0.15) {
                Task::NeedleAbsent(spec)
            } else {
                Task::Needle(spec)
            }
        }
        BatchFamily::Lookup => {
            let document = *pick(
                rng,
                &[
                    Document::Form,
                    Document::Settings,
                    Document::Contacts,
                    Document::Sentences,
                    Document::Table,
                ],
            );
            if rng.random_bool(0.2) {
                Task::LookupAbsent(document)
            } else {
                Task::Lookup(document)
            }
        }
    }
}

fn pick<'a, T>(rng: &mut ChaCha8Rng, of: &'a [T]) -> &'a T {
    &of[rng.random_range(0..of.len())]
}
