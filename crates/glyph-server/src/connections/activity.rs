//! What a connection is doing.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::ConnectionLimits;

/// Shared by a connection's parts.
#[derive(Debug)]
pub struct Activity {
    id: u64,
    address: IpAddr,
    state: Mutex<State>,
    evicted: Notify,
    whole: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests that have begun; tells the present one apart.
    n_requests: u64,
    stage: Stage,
    /// When something was last answered or sent.
    last: Instant,
    /// Since when the client has taken nothing of what is to be sent.
    blocked_since: Option<Instant>,
}

/// How far the request has come. There is one at a time: what follows it on the connection waits for its answer.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// There is none, or its head is coming.
    Idle,
    /// Its body is coming; when something of it came last.
    Receiving(Instant),
    /// It has come whole and is being answered.
    Whole,
    /// It is being answered without the rest of its body, which is not wanted or cannot come.
    Cut,
}

impl Activity {
    /// Of a new connection from `address`.
    pub fn new(address: IpAddr) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address,
            state: Mutex::new(State {
                n_requests: 0,
                stage: Stage::Idle,
                last: Instant::now(),
                blocked_since: None,
            }),
            evicted: Notify::new(),
            whole: Notify::new(),
        }
    }

    /// Tells it apart.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where its client is.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The head of a request has come; it is being answered until the first of the two is dropped, and the second is to
    /// be told what becomes of its body.
    pub fn answering(self: &Arc<Self>) -> (Answering, Receiving) {
        let mut state = self.state();
        state.n_requests += 1;
        state.stage = Stage::Receiving(Instant::now());
        let receiving = Receiving {
            activity: Arc::clone(self),
            request: state.n_requests,
        };
        (Answering(Arc::clone(self)), receiving)
    }

    /// Something was sent.
    pub fn wrote(&self) {
        let mut state = self.state();
        state.last = Instant::now();
        state.blocked_since = None;
    }

    /// The client does not take what is to be sent.
    pub fn is_blocked(&self) {
        self.state().blocked_since.get_or_insert_with(Instant::now);
    }

    /// Since when nothing has been answered or sent; `None` while something is.
    pub fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        let is_idle = matches!(state.stage, Stage::Idle) && state.blocked_since.is_none();
        is_idle.then_some(state.last)
    }

    /// Since when nothing has come of a request that is not whole; `None` while there is no such request.
    pub fn receiving_since(&self) -> Option<Instant> {
        match self.state().stage {
            Stage::Receiving(last) => Some(last),
            Stage::Idle | Stage::Whole | Stage::Cut => None,
        }
    }

    /// Its place is needed.
    pub fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Returns when a request that has come whole is being answered.
    pub async fn whole(&self) {
        while !self.is_whole() {
            self.whole.notified().await;
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.state().stage, Stage::Whole)
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
        let state = self.state();
        // Whoever begins to answer or to send now is looked at again by then.
        let look_again = limits.idle_timeout.min(limits.write_timeout);
        let (since, timeout) = match (state.blocked_since, state.stage) {
            (Some(since), _) => (since, limits.write_timeout),
            (None, Stage::Idle) => (state.last, limits.idle_timeout),
            (None, Stage::Receiving(_) | Stage::Whole | Stage::Cut) => return Some(look_again),
        };
        let left = timeout.checked_sub(since.elapsed());
        left.filter(|left| !left.is_zero())
            .map(|left| left.min(look_again))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while a request is being answered.
#[derive(Debug)]
pub struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.last = Instant::now();
        state.stage = Stage::Idle;
    }
}

/// The body of a request, which may be read for longer than the request is answered.
#[derive(Debug)]
pub struct Receiving {
    activity: Arc<Activity>,
    request: u64,
}

impl Receiving {
    /// Something of it has come.
    pub fn came(&self) {
        self.goes_on(Stage::Receiving(Instant::now()));
    }

    /// It has come whole.
    pub fn came_whole(&self) {
        self.goes_on(Stage::Whole);
        self.activity.whole.notify_one();
    }

    /// No more of it is read.
    pub fn breaks_off(&self) {
        self.goes_on(Stage::Cut);
    }

    fn goes_on(&self, next: Stage) {
        let mut state = self.activity.state();
        let is_received = matches!(state.stage, Stage::Receiving(_));
        if is_received && state.n_requests == self.request {
            state.stage = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use futures::FutureExt;

    use super::Activity;

    #[test]
    fn a_request_is_whole_from_its_last_byte_to_its_answers_end() {
        let activity = Arc::new(Activity::new(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let is_whole = || activity.whole().now_or_never().is_some();
        assert!(!is_whole());
        let (answering, receiving) = activity.answering();
        receiving.came();
        assert!(!is_whole());
        receiving.came_whole();
        assert!(is_whole() && activity.receiving_since().is_none());
        drop(answering);
        assert!(!is_whole() && activity.idle_since().is_some());

        let (_answering, next) = activity.answering();
        receiving.came_whole();
        assert!(!is_whole(), "that was the one before");
        assert!(activity.receiving_since().is_some());
        next.breaks_off();
        next.came_whole();
        assert!(!is_whole(), "its body broke off");
        assert!(activity.receiving_since().is_none() && activity.idle_since().is_none());
    }
}
