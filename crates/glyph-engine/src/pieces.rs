//! Where pieces of prompts are computed.

use std::sync::mpsc::Sender;

use crate::engine::Command;
use crate::error::EngineError;
use crate::sequence::Sequence;
use crate::steps::{Advance, Steps, guarded};

/// A sequence that comes back from a piece of its prompt.
pub(crate) struct Advanced {
    pub sequence: Sequence,
    pub outcome: Result<Advance, EngineError>,
}

/// On a CPU pieces have threads of their own, so that one that takes seconds holds up nobody's tokens: the system shares
/// the cores out. Threads in common would not do: whoever waits there for a part of a step may be given a part of the
/// piece to do, and keep everybody waiting for it. Other devices do one thing after the other, and pieces are short there.
pub(crate) struct PieceThreads {
    threads: Option<rayon::ThreadPool>,
    done: Sender<Command>,
}

impl PieceThreads {
    /// What is done is sent to `done`.
    pub fn new(steps: &Steps, done: Sender<Command>) -> Self {
        let threads = steps.is_on_cpu().then(|| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(rayon::current_num_threads())
                .thread_name(|index| format!("glyph-prompt-{index}"))
                .build()
        });
        Self {
            // A system that gives no more threads has the work done in line.
            threads: threads.and_then(Result::ok),
            done,
        }
    }

    /// Whether pieces are computed by who starts them.
    pub fn are_in_line(&self) -> bool {
        self.threads.is_none()
    }

    /// Computes the next piece of a sequence's prompt; `None` when it comes back as [`Command::Advanced`].
    pub fn start(&self, steps: &Steps, sequence: Sequence) -> Option<Advanced> {
        let Some(threads) = &self.threads else {
            return Some(advance(steps, sequence));
        };
        let (steps, done) = (steps.clone(), self.done.clone());
        threads.spawn(move || {
            let advanced = advance(&steps, sequence);
            // Who takes it back may want the model for itself.
            drop(steps);
            // An engine that has stopped takes nothing back.
            let _ = done.send(Command::Advanced(Box::new(advanced)));
        });
        None
    }
}

fn advance(steps: &Steps, mut sequence: Sequence) -> Advanced {
    let outcome = guarded(|| steps.advance(&mut sequence));
    Advanced { sequence, outcome }
}
