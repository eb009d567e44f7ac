//! The connections that are open, and whose place is given up when there are no more.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::activity::Activity;

/// How often somebody who can go is looked for while all places are taken.
const EVICT_EVERY: Duration = Duration::from_millis(250);

/// All connections.
pub struct Open {
    places: Arc<Semaphore>,
    all: Mutex<All>,
}

type All = HashMap<u64, Arc<Activity>>;

impl Open {
    /// With so many places.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            all: Mutex::default(),
        })
    }

    /// A place for a new connection, if need be that of another.
    pub async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let place = Arc::clone(&self.places).try_acquire_owned();
            if let Ok(place) = place {
                return Some(place);
            }
            self.evict();
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = tokio::time::timeout(EVICT_EVERY, place).await {
                return place.ok();
            }
        }
    }

    /// Ends a connection, where one can go.
    pub fn evict(&self) {
        let all = self.all();
        if let Some(activity) = longest_idle(&all).or_else(|| longest_awaited(&all)) {
            activity.evict();
        }
    }

    /// A new connection from `address`.
    pub fn enter(&self, address: IpAddr) -> Arc<Activity> {
        let activity = Arc::new(Activity::new(address));
        self.all().insert(activity.id(), Arc::clone(&activity));
        activity
    }

    /// It has ended.
    pub fn leave(&self, activity: &Activity) {
        self.all().remove(&activity.id());
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that has been idle the longest.
fn longest_idle(all: &All) -> Option<&Arc<Activity>> {
    let idle = all
        .values()
        .filter_map(|activity| Some((activity.idle_since()?, activity)));
    idle.min_by_key(|(since, _)| *since)
        .map(|(_, activity)| activity)
}

/// Of those whose request has not come whole, and of these of the address with the most connections, the one of which
/// nothing has come for the longest time. Who takes all places with bodies that do not come loses them, and no one else.
fn longest_awaited(all: &All) -> Option<&Arc<Activity>> {
    let mut n_places: HashMap<IpAddr, usize> = HashMap::new();
    for activity in all.values() {
        *n_places.entry(activity.address()).or_default() += 1;
    }
    let awaited = all.values().filter_map(|activity| {
        let n_places = *n_places.get(&activity.address())?;
        Some((Reverse(n_places), activity.receiving_since()?, activity))
    });
    awaited
        .min_by_key(|(n_places, since, _)| (*n_places, *since))
        .map(|(_, _, activity)| activity)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::time::Instant;

    use super::{Open, longest_awaited, longest_idle};
    use crate::connections::activity::{Activity, Answering, Receiving};

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    /// A connection on which a request has begun.
    struct Upload {
        activity: Arc<Activity>,
        answering: Answering,
        receiving: Receiving,
    }

    impl Upload {
        /// Later than all before it.
        fn new(open: &Open, address: IpAddr) -> Self {
            tick();
            let activity = open.enter(address);
            let (answering, receiving) = activity.answering();
            Self {
                activity,
                answering,
                receiving,
            }
        }

        fn id(&self) -> Option<u64> {
            Some(self.activity.id())
        }
    }

    /// Returns when the clock shows another time.
    fn tick() {
        let now = Instant::now();
        while Instant::now() == now {}
    }

    fn idle(open: &Open) -> Option<u64> {
        longest_idle(&open.all()).map(|activity| activity.id())
    }

    fn awaited(open: &Open) -> Option<u64> {
        longest_awaited(&open.all()).map(|activity| activity.id())
    }

    #[test]
    fn only_what_is_idle_counts_as_idle() {
        let open = Open::new(4);
        let early = Upload::new(&open, ONE);
        tick();
        let late = open.enter(OTHER);
        assert_eq!(idle(&open), Some(late.id()));
        tick();
        let early_id = early.id();
        drop(early.answering);
        assert_eq!(idle(&open), Some(late.id()));
        open.leave(&late);
        assert_eq!(idle(&open), early_id);
    }

    #[test]
    fn the_address_with_the_most_connections_gives_up_what_it_does_not_send() {
        let open = Open::new(4);
        let alone = Upload::new(&open, ONE);
        let first = Upload::new(&open, OTHER);
        let second = Upload::new(&open, OTHER);
        // Of nobody has nothing come for longer than of the one that is alone.
        assert_eq!(awaited(&open), first.id());
        tick();
        first.receiving.came();
        assert_eq!(awaited(&open), second.id());
        second.receiving.came_whole();
        assert_eq!(awaited(&open), first.id());
        first.receiving.came_whole();
        assert_eq!(awaited(&open), alone.id());
        alone.receiving.came_whole();
        assert_eq!(awaited(&open), None);
    }

    #[test]
    fn among_equals_whoever_sends_stays() {
        let open = Open::new(2);
        let early = Upload::new(&open, ONE);
        let late = Upload::new(&open, OTHER);
        assert_eq!(awaited(&open), early.id());
        tick();
        early.receiving.came();
        assert_eq!(awaited(&open), late.id());
    }
}
