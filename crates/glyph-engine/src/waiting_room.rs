//! Where requests wait for a place in the batch: callers put them in, the engine's thread takes them out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::EngineError;
use crate::fair_line::FairLine;
use crate::request::Event;
use crate::sequence::Waiting;

/// A line of requests, of which each is told what becomes of it.
#[derive(Debug)]
pub(crate) struct WaitingRoom(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    line: FairLine<Waiting>,
    /// What is said to those who come when nobody is let in any more.
    closed: Option<EngineError>,
}

impl WaitingRoom {
    /// For at most so many requests, and one at least.
    pub fn new(most: usize) -> Self {
        Self(Mutex::new(Inner {
            line: FairLine::new(most),
            closed: None,
        }))
    }

    /// Requests in it.
    pub fn len(&self) -> usize {
        self.lock().line.n_waiting()
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
        let caller = waiting.request.caller.clone();
        let events = waiting.events.clone();
        let displaced = inner.line.enter(&caller, waiting, Waiting::is_cancelled)?;
        if let Some(displaced) = displaced {
            // Who has gone need not be told.
            let _ = displaced.item.events.send(Event::Failed(displaced.full));
        }
        let before = inner.line.n_waiting() - 1;
        let _ = events.send(Event::Queued { before });
        Ok(())
    }

    /// Takes the next request out if `admit` lets it start; `running` counts each caller's requests that run.
    pub fn pop_if(
        &self,
        running: &HashMap<String, usize>,
        admit: impl FnOnce(&Waiting) -> bool,
    ) -> Option<Waiting> {
        self.lock().line.pop_if(running, admit)
    }

    /// Takes out those to whom nobody listens any more.
    pub fn drop_cancelled(&self) {
        let gone = self.lock().line.remove(Waiting::is_cancelled);
        drop(gone);
    }

    /// Lets nobody in any more, and tells those who wait, and those who come, why.
    pub fn close(&self, last_word: &EngineError) {
        let mut inner = self.lock();
        inner.closed = Some(last_word.clone());
        for waiting in inner.line.remove(|_| true) {
            let _ = waiting.events.send(Event::Failed(last_word.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change, so what a poisoned lock guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
