//! Cores that go through the model side by side, each with rows of its own. Of every weight each reads a part, for the
//! rows of all: apart, each would read all of it, and a weight would be read as often as there are cores.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::strips::STRIP;

/// How long a core waits for the others to begin before it goes on by itself.
const PATIENCE: Duration = Duration::from_millis(1);

/// How often a core looks for the others before it lets somebody else have its place.
const LOOKS: usize = 200;

/// Does `work` with each part on a core of its own, all at once. What work takes through the model must be alike in
/// all parts but for the rows: where it is, they share the products with weights; where one part ends before the others
/// or fails, those go on alone. The numbers are the same either way.
pub fn in_lockstep<T: Send, R: Send>(parts: &mut [T], work: impl Fn(&mut T) -> R + Sync) -> Vec<R> {
    if let [part] = parts {
        return vec![work(part)];
    }
    let team = Arc::new(Team::new(parts.len()));
    let each = parts.par_iter_mut().with_max_len(1).enumerate();
    each.map(|(index, part)| {
        let _membership = Membership::new(&team, index);
        work(part)
    })
    .collect()
}

thread_local! {
    static MEMBER: RefCell<Option<Member>> = const { RefCell::new(None) };
}

/// Makes this thread a member for as long as it lives.
struct Membership {
    team: Arc<Team>,
    /// What the thread was before.
    previous: Option<Member>,
}

impl Membership {
    fn new(team: &Arc<Team>, index: usize) -> Self {
        let member = Member {
            team: Arc::clone(team),
            index,
            n_met: 0,
            rows: Vec::new(),
        };
        Self {
            team: Arc::clone(team),
            previous: MEMBER.replace(Some(member)),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.team.is_broken.store(true, Ordering::Release);
        MEMBER.replace(self.previous.take());
    }
}

/// One core's place in a team.
#[derive(Debug)]
struct Member {
    team: Arc<Team>,
    index: usize,
    /// Meetings that it has been to.
    n_met: usize,
    /// The rows of all members, one behind the other.
    rows: Vec<f32>,
}

/// Cores in lockstep.
#[derive(Debug)]
struct Team {
    slots: Vec<Slot>,
    /// Of all members at all meetings.
    n_arrivals: AtomicUsize,
    /// Somebody has left: nobody is to be waited for any more.
    is_broken: AtomicBool,
}

/// What a member shows the others.
#[derive(Debug, Default)]
struct Slot {
    /// Its own rows: `[rows, d_in]`.
    rows: RwLock<Vec<f32>>,
    /// Its part of the outputs, for the rows of all: `[all rows, outputs]`.
    outputs: RwLock<Vec<f32>>,
}

/// The others have left.
#[derive(Debug)]
struct Alone;

impl Team {
    fn new(n_members: usize) -> Self {
        Self {
            slots: (0..n_members).map(|_| Slot::default()).collect(),
            n_arrivals: AtomicUsize::new(0),
            is_broken: AtomicBool::new(false),
        }
    }

    /// Waits until all members have come to their meeting number `n_met`, this one among them.
    fn meet(&self, n_met: usize) -> Result<(), Alone> {
        let n_awaited = n_met * self.slots.len();
        let has_met = || self.n_arrivals.load(Ordering::Acquire) >= n_awaited;
        self.n_arrivals.fetch_add(1, Ordering::AcqRel);
        let start = Instant::now();
        for look in 1_usize.. {
            if has_met() {
                break;
            }
            // Who leaves has been to all meetings before: those count.
            if self.is_broken.load(Ordering::Acquire) {
                return if has_met() { Ok(()) } else { Err(Alone) };
            }
            if look.is_multiple_of(LOOKS) {
                // A member that has not begun may be waiting for this very core.
                if n_met == 1 && start.elapsed() > PATIENCE {
                    self.is_broken.store(true, Ordering::Release);
                }
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl Member {
    fn meet(&mut self) -> Result<(), Alone> {
        self.n_met += 1;
        self.team.meet(self.n_met)
    }

    /// See [`share`].
    fn share(
        &mut self,
        x: &[f32],
        [d_out, d_in]: [usize; 2],
        product: impl FnOnce(&[f32], Range<usize>, &mut [f32]),
    ) -> Result<Vec<f32>, Alone> {
        let team = Arc::clone(&self.team);
        let own = &team.slots[self.index];
        {
            let mut rows = own.rows.write().unwrap_or_else(PoisonError::into_inner);
            rows.clear();
            rows.extend_from_slice(x);
        }
        self.meet()?;
        self.rows.clear();
        let mut first_row = 0;
        for (n, slot) in team.slots.iter().enumerate() {
            if n == self.index {
                first_row = self.rows.len() / d_in;
            }
            let rows = slot.rows.read().unwrap_or_else(PoisonError::into_inner);
            self.rows.extend_from_slice(&rows);
        }
        let part = d_out.div_ceil(team.slots.len()).next_multiple_of(STRIP);
        let outputs_of = |n: usize| (n * part).min(d_out)..((n + 1) * part).min(d_out);
        {
            let mut outputs = own.outputs.write().unwrap_or_else(PoisonError::into_inner);
            let n_all = self.rows.len() / d_in;
            outputs.resize(n_all * outputs_of(self.index).len(), 0.0);
            product(&self.rows, outputs_of(self.index), &mut outputs);
        }
        self.meet()?;
        let mut y = vec![0.0; x.len() / d_in * d_out];
        for (n, slot) in team.slots.iter().enumerate() {
            let outputs = slot.outputs.read().unwrap_or_else(PoisonError::into_inner);
            let columns = outputs_of(n);
            let width = columns.len();
            for (row, y) in y.chunks_exact_mut(d_out).enumerate() {
                let start = (first_row + row) * width;
                y[columns.clone()].copy_from_slice(&outputs[start..start + width]);
            }
        }
        Ok(y)
    }
}

/// `x · Wᵀ` by all cores that are in lockstep with this one: `product` works out some of the outputs `[rows, outputs]` of
/// rows `[rows, d_in]`, those of all cores. `None` where this one is alone.
///
/// # Shapes
/// flat `[rows, d_in]` → flat `[rows, d_out]`; `product` gets the rows, which outputs, and room for them.
pub(super) fn share(
    x: &[f32],
    [d_out, d_in]: [usize; 2],
    product: impl FnOnce(&[f32], Range<usize>, &mut [f32]),
) -> Option<Vec<f32>> {
    if d_in == 0 {
        return None;
    }
    MEMBER.with_borrow_mut(|member| {
        let shared = member.as_mut()?.share(x, [d_out, d_in], product);
        if shared.is_err() {
            *member = None;
        }
        shared.ok()
    })
}
