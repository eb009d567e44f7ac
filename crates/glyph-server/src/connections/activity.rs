//! What a connection is doing.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::ConnectionLimits;

/// Shared by a connection's parts.
#[derive(Debug)]
pub struct Activity {
    id: u64,
    n_answering: AtomicUsize,
    times: Mutex<Times>,
    evicted: Notify,
}

#[derive(Debug)]
struct Times {
    /// When something was last answered or sent.
    last: Instant,
    /// Since when the client has taken nothing of what is to be sent.
    blocked_since: Option<Instant>,
}

impl Activity {
    /// Of a new connection.
    pub fn new() -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            n_answering: AtomicUsize::new(0),
            times: Mutex::new(Times {
                last: Instant::now(),
                blocked_since: None,
            }),
            evicted: Notify::new(),
        }
    }

    /// Tells it apart.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A request has come; it is being answered until the guard is dropped.
    pub fn answering(self: &Arc<Self>) -> Answering {
        self.n_answering.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// Something was sent.
    pub fn wrote(&self) {
        let mut times = self.times();
        times.last = Instant::now();
        times.blocked_since = None;
    }

    /// The client does not take what is to be sent.
    pub fn is_blocked(&self) {
        self.times().blocked_since.get_or_insert_with(Instant::now);
    }

    /// Since when nothing has been answered or sent; `None` while something is.
    pub fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.n_answering.load(Ordering::Relaxed) == 0;
        let times = self.times();
        (is_idle && times.blocked_since.is_none()).then_some(times.last)
    }

    /// Its place is needed.
    pub fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Returns when the connection is to be closed.
    pub async fn overdue(&self, limits: ConnectionLimits) {
        let watching = async {
            while let Some(left) = self.left(limits) {
                tokio::time::sleep(left).await;
            }
        };
        tokio::select! {
            () = watching => {}
            () = self.evicted.notified() => {}
        }
    }

    /// Time until it may be overdue; `None` when it is.
    fn left(&self, limits: ConnectionLimits) -> Option<Duration> {
        let is_answering = self.n_answering.load(Ordering::Relaxed) > 0;
        let times = self.times();
        // Whoever begins to answer or to send now is looked at again by then.
        let look_again = limits.idle_timeout.min(limits.write_timeout);
        let (since, timeout) = match times.blocked_since {
            Some(since) => (since, limits.write_timeout),
            None if is_answering => return Some(look_again),
            None => (times.last, limits.idle_timeout),
        };
        let left = timeout.checked_sub(since.elapsed());
        left.filter(|left| !left.is_zero())
            .map(|left| left.min(look_again))
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while a request is being answered.
#[derive(Debug)]
pub struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.times().last = Instant::now();
        self.0.n_answering.fetch_sub(1, Ordering::Relaxed);
    }
}
