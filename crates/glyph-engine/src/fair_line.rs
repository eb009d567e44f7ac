//! A line of bounded length that is shared fairly between callers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::error::EngineError;
use crate::queue::FairQueue;

/// Those who wait for something that few can have at a time: who sends many does not keep out who sends few.
#[derive(Debug)]
pub struct FairLine<T> {
    most: usize,
    queue: FairQueue<T>,
    pace: Pace,
}

/// Who had to make room, and what is to be said to them.
#[derive(Debug)]
pub struct Displaced<T> {
    /// They.
    pub item: T,
    /// That the line is full.
    pub full: EngineError,
}

impl<T> FairLine<T> {
    /// For at most so many, and one at least.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            queue: FairQueue::new(),
            pace: Pace::default(),
        }
    }

    /// Those in it.
    pub fn n_waiting(&self) -> usize {
        self.queue.len()
    }

    /// Lets one in. Where all places are taken, those leave whom `is_gone` names; where none does, the newest of the
    /// caller who has most of them gives way to that of a caller who has fewer.
    ///
    /// # Errors
    /// [`EngineError::QueueFull`].
    pub fn enter(
        &mut self,
        caller: &str,
        item: T,
        is_gone: impl Fn(&T) -> bool,
    ) -> Result<Option<Displaced<T>>, EngineError> {
        if self.queue.len() >= self.most {
            drop(self.remove(is_gone));
        }
        let mut displaced = None;
        if self.queue.len() >= self.most {
            let full = EngineError::QueueFull {
                waiting: self.queue.len(),
                retry_after: self.pace.retry_after(),
            };
            match self.queue.displace_for(caller) {
                Some(item) => displaced = Some(Displaced { item, full }),
                None => return Err(full),
            }
        }
        self.queue.push(caller, item);
        Ok(displaced)
    }

    /// Takes the next one out if `admit` lets them; `under_way` counts what each caller has beyond the line. Whoever has
    /// least is next; among equals, whoever has waited longest for a turn.
    pub fn pop_if(
        &mut self,
        under_way: &HashMap<String, usize>,
        admit: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        let n_before = self.queue.len();
        let next = self.queue.pop_if(under_way, admit)?;
        self.pace.left(1, n_before);
        Some(next)
    }

    /// Takes out all whom `is_gone` names.
    pub fn remove(&mut self, is_gone: impl Fn(&T) -> bool) -> Vec<T> {
        let n_before = self.queue.len();
        let gone = self.queue.remove(is_gone);
        self.pace.left(gone.len(), n_before);
        gone
    }
}

/// How fast a line moves.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    /// Mean seconds between two who leave, recent ones weighing more.
    seconds_each: f64,
}

impl Pace {
    /// So many of `n_before` have left.
    fn left(&mut self, n: usize, n_before: usize) {
        if n == 0 {
            return;
        }
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            let seconds = (now - last).as_secs_f64() / n as f64;
            self.seconds_each += 0.2 * (seconds - self.seconds_each);
        }
        // Time in which nobody waits says nothing of how fast the line moves.
        if n_before <= n {
            self.last = None;
        }
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(self.seconds_each.clamp(1.0, 60.0).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{EngineError, FairLine};

    #[test]
    fn a_full_line_makes_room_for_who_has_fewer_and_for_nobody_else() {
        let mut line = FairLine::new(3);
        let nobody_is_gone = |_: &i32| false;
        for item in 1..=3 {
            assert!(line.enter("a", item, nobody_is_gone).unwrap().is_none());
        }
        let full = line.enter("a", 4, nobody_is_gone).unwrap_err();
        let EngineError::QueueFull {
            waiting: 3,
            retry_after,
        } = full
        else {
            panic!("{full}");
        };
        assert!((1..=60).contains(&retry_after.as_secs()));
        let displaced = line.enter("b", 5, nobody_is_gone).unwrap().unwrap();
        assert_eq!(displaced.item, 3);
        assert!(matches!(
            displaced.full,
            EngineError::QueueFull { waiting: 3, .. }
        ));
        // Who has gone leaves a place, and nobody has to make one.
        assert!(line.enter("c", 6, |item| *item == 1).unwrap().is_none());
        assert_eq!(line.n_waiting(), 3);
        let under_way = HashMap::from([("b".to_owned(), 1)]);
        let order: Vec<i32> = std::iter::from_fn(|| line.pop_if(&under_way, |_| true)).collect();
        assert_eq!(order, [2, 6, 5]);
    }

    #[test]
    fn a_line_has_one_place_at_least() {
        let mut line = FairLine::new(0);
        assert!(line.enter("a", 1, |_| false).unwrap().is_none());
        assert!(line.enter("a", 2, |_| false).is_err());
    }
}
