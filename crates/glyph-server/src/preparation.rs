//! Where requests wait for a core to prepare them: large bodies parsed, pictures decoded, pages drawn, texts tokenised.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use glyph_engine::FairLine;
use tokio::sync::oneshot;

use crate::error::ApiError;

/// A line before some places: a free one goes to the caller who has fewest, and among those to who has waited longest.
/// Clones share it.
#[derive(Clone)]
pub struct PreparationLine(Arc<Shared>);

struct Shared {
    n_places: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    line: FairLine<Waiting>,
    /// Places of each caller who has one.
    taken: HashMap<String, usize>,
}

struct Waiting {
    caller: String,
    told: oneshot::Sender<Result<Place, ApiError>>,
}

impl Waiting {
    fn is_gone(&self) -> bool {
        self.told.is_closed()
    }
}

/// A place; when it is dropped the next one has it.
pub struct Place {
    line: PreparationLine,
    caller: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.leave(&self.caller);
    }
}

/// One who waits; who drops it leaves the line.
struct Turn {
    line: PreparationLine,
    told: oneshot::Receiver<Result<Place, ApiError>>,
}

impl Turn {
    async fn comes(mut self) -> Result<Place, ApiError> {
        let told = (&mut self.told).await;
        told.map_err(|error| ApiError::internal(&error))?
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A place that has come meanwhile is dropped with it.
        self.told.close();
        let gone = self.line.lock().line.remove(Waiting::is_gone);
        drop(gone);
    }
}

impl PreparationLine {
    /// Before so many places, for at most so many who wait.
    pub fn new(n_places: usize, most_waiting: usize) -> Self {
        Self(Arc::new(Shared {
            n_places,
            inner: Mutex::new(Inner {
                line: FairLine::new(most_waiting),
                taken: HashMap::new(),
            }),
        }))
    }

    /// Those who wait.
    pub fn n_waiting(&self) -> usize {
        self.lock().line.n_waiting()
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Code::QueueFull`](crate::error::Code::QueueFull) when too many wait, also while waiting, when those of a caller
    /// who has fewer come.
    pub async fn place(&self, caller: &str) -> Result<Place, ApiError> {
        self.enter(caller)?.comes().await
    }

    fn enter(&self, caller: &str) -> Result<Turn, ApiError> {
        let (sender, receiver) = oneshot::channel();
        let waiting = Waiting {
            caller: caller.to_owned(),
            told: sender,
        };
        let entered = self.lock().line.enter(caller, waiting, Waiting::is_gone);
        if let Some(displaced) = entered? {
            // Who has gone need not be told.
            let _ = displaced.item.told.send(Err(displaced.full.into()));
        }
        let turn = Turn {
            line: self.clone(),
            told: receiver,
        };
        self.hand_out();
        Ok(turn)
    }

    fn leave(&self, caller: &str) {
        let mut inner = self.lock();
        if let Some(n_taken) = inner.taken.get_mut(caller) {
            *n_taken -= 1;
        }
        inner.taken.retain(|_, n_taken| *n_taken > 0);
        drop(inner);
        self.hand_out();
    }

    /// Gives free places to those whose turn it is.
    fn hand_out(&self) {
        while let Some(Waiting { caller, told }) = self.take_next() {
            let line = self.clone();
            // The place of one who has just gone is dropped here, and the next one has it.
            let _ = told.send(Ok(Place { line, caller }));
        }
    }

    /// The next one, whose place is counted.
    fn take_next(&self) -> Option<Waiting> {
        let mut inner = self.lock();
        let Inner { line, taken } = &mut *inner;
        if taken.values().sum::<usize>() >= self.0.n_places {
            return None;
        }
        let next = line.pop_if(taken, |_| true)?;
        *taken.entry(next.caller.clone()).or_default() += 1;
        Some(next)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change, so what a poisoned lock guards is whole.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use futures::poll;

    use super::{ApiError, Place, PreparationLine};
    use crate::error::Code;

    type Waits = Pin<Box<dyn Future<Output = Result<Place, ApiError>>>>;

    /// A caller's request that has come to the line.
    async fn waits(line: &PreparationLine, caller: &'static str) -> Waits {
        let line = line.clone();
        let mut waits: Waits = Box::pin(async move { line.place(caller).await });
        assert!(poll!(&mut waits).is_pending());
        waits
    }

    async fn has_come(waits: &mut Waits) -> Option<Place> {
        match poll!(waits) {
            Poll::Ready(place) => place.ok(),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_caller_with_many_requests_does_not_hold_up_another() {
        let line = PreparationLine::new(2, 8);
        let first = line.place("a").await.ok().unwrap();
        let second = line.place("a").await.ok().unwrap();
        let mut many = Vec::new();
        for _ in 0..3 {
            many.push(waits(&line, "a").await);
        }
        let mut few = waits(&line, "b").await;
        assert_eq!(line.n_waiting(), 4);
        drop(first);
        let of_few = has_come(&mut few).await.unwrap();
        assert!(has_come(&mut many[0]).await.is_none());
        // Now it is the other who has none.
        let mut later = waits(&line, "b").await;
        drop(second);
        let next = has_come(&mut many[0]).await.unwrap();
        assert!(has_come(&mut later).await.is_none());
        drop((of_few, next));
        assert!(has_come(&mut many[1]).await.is_some() && has_come(&mut later).await.is_some());
    }

    #[tokio::test]
    async fn a_full_line_is_429_for_who_has_most_in_it() {
        let line = PreparationLine::new(1, 3);
        let place = line.place("a").await.ok().unwrap();
        let mut many = Vec::new();
        for _ in 0..3 {
            many.push(waits(&line, "a").await);
        }
        let refused = line.place("a").await.err().unwrap();
        assert_eq!(refused.code(), Code::QueueFull);
        let mut few = waits(&line, "b").await;
        let Poll::Ready(Err(displaced)) = poll!(&mut many[2]) else {
            panic!("the newest of the many does not know");
        };
        assert_eq!(displaced.code(), Code::QueueFull);
        assert_eq!(line.n_waiting(), 3);
        drop(place);
        assert!(has_come(&mut few).await.is_none());
        let place = has_come(&mut many[0]).await.unwrap();
        drop(place);
        assert!(has_come(&mut few).await.is_some());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_line_or_the_place_that_has_come() {
        let line = PreparationLine::new(1, 3);
        let place = line.place("a").await.ok().unwrap();
        let gone = waits(&line, "a").await;
        let called = waits(&line, "b").await;
        let mut last = waits(&line, "c").await;
        drop(gone);
        assert_eq!(line.n_waiting(), 2);
        drop(place);
        // It has its turn, and does not know yet.
        assert_eq!(line.n_waiting(), 1);
        assert!(has_come(&mut last).await.is_none());
        drop(called);
        assert!(has_come(&mut last).await.is_some());
        assert_eq!(line.n_waiting(), 0);
    }
}
