//! Where requests wait for a place in the batch: callers put them in, the engine's thread takes them out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::EngineError;
use crate::queue::FairQueue;
use crate::request::Event;
use crate::sequence::Waiting;

/// A queue that holds a number of requests and is shared fairly: who sends many does not keep out who sends few.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    most: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: FairQueue<Waiting>,
    pace: Pace,
    /// What is said to those who come when nobody is let in any more.
    closed: Option<EngineError>,
}

impl WaitingRoom {
    /// For at most so many requests, and one at least.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            inner: Mutex::new(Inner {
                queue: FairQueue::new(),
                pace: Pace::default(),
                closed: None,
            }),
        }
    }

    /// Requests in it.
    pub fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Lets a request in. Where all places are taken, the newest request of the caller who has most of them gives way to
    /// that of a caller who has fewer.
    ///
    /// # Errors
    /// [`EngineError::QueueFull`], and what [`Self::close`] was told.
    pub fn enter(&self, waiting: Waiting) -> Result<(), EngineError> {
        let mut inner = self.lock();
        if let Some(last_word) = &inner.closed {
            return Err(last_word.clone());
        }
        if inner.queue.len() >= self.most {
            inner.drop_cancelled();
        }
        let caller = waiting.request.caller.clone();
        let n_waiting = inner.queue.len();
        if n_waiting >= self.most {
            let full = EngineError::QueueFull {
                waiting: n_waiting,
                retry_after: inner.pace.retry_after(),
            };
            let Some(displaced) = inner.queue.displace_for(&caller) else {
                return Err(full);
            };
            // Who has gone need not be told.
            let _ = displaced.events.send(Event::Failed(full));
        }
        let before = inner.queue.len();
        let _ = waiting.events.send(Event::Queued { before });
        inner.queue.push(&caller, waiting);
        Ok(())
    }

    /// Takes the next request out if `admit` lets it start; `running` counts each caller's requests that run.
    pub fn pop_if(
        &self,
        running: &HashMap<String, usize>,
        admit: impl FnOnce(&Waiting) -> bool,
    ) -> Option<Waiting> {
        let mut inner = self.lock();
        let n_before = inner.queue.len();
        let next = inner.queue.pop_if(running, admit)?;
        inner.pace.left(1, n_before);
        Some(next)
    }

    /// Takes out those to whom nobody listens any more.
    pub fn drop_cancelled(&self) {
        self.lock().drop_cancelled();
    }

    /// Lets nobody in any more, and tells those who wait, and those who come, why.
    pub fn close(&self, last_word: &EngineError) {
        let mut inner = self.lock();
        inner.closed = Some(last_word.clone());
        for waiting in inner.queue.remove(|_| true) {
            let _ = waiting.events.send(Event::Failed(last_word.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change, so what a poisoned lock guards is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn drop_cancelled(&mut self) {
        let n_before = self.queue.len();
        let gone = self.queue.remove(Waiting::is_cancelled);
        self.pace.left(gone.len(), n_before);
    }
}

/// How fast requests leave the queue.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    /// Mean seconds between two, recent ones weighing more.
    seconds_each: f64,
}

impl Pace {
    /// So many requests of `n_before` have left.
    fn left(&mut self, n: usize, n_before: usize) {
        if n == 0 {
            return;
        }
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            let seconds = (now - last).as_secs_f64() / n as f64;
            self.seconds_each += 0.2 * (seconds - self.seconds_each);
        }
        // Time in which nobody waits says nothing of how fast the queue moves.
        if n_before <= n {
            self.last = None;
        }
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(self.seconds_each.clamp(1.0, 60.0).ceil() as u64)
    }
}
