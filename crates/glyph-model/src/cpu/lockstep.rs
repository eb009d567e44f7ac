//! Cores that go through the model side by side, each with rows of its own. Of every weight each reads a part, for the
//! rows of all: apart, each would read all of it, and a weight would be read as often as there are cores.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::strips::STRIP;
use super::weight::SHARED_WORK;
use super::{SharedProduct, n_threads};

/// How long a core waits for the others to begin before it goes on by itself: one that has not begun may be waiting for
/// this very core.
const PATIENCE_AT_FIRST: Duration = Duration::from_millis(1);

/// How long it waits for them later: one that something else has the core of is soon back, and to go on alone costs
/// reading all of the weights that are left.
const PATIENCE: Duration = Duration::from_millis(5);

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
    /// Its own rows: `[rows, d_in]`, and what they are to be multiplied with.
    rows: RwLock<(Vec<usize>, Vec<f32>)>,
    /// Its part of the outputs of each product, for the rows of all: `[all rows, outputs]`, one behind the other.
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
        let patience = if n_met == 1 {
            PATIENCE_AT_FIRST
        } else {
            PATIENCE
        };
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
                if start.elapsed() > patience {
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
    fn share<const N: usize>(
        &mut self,
        x: &[f32],
        d_in: usize,
        products: &[SharedProduct<'_>; N],
    ) -> Result<[Vec<f32>; N], Alone> {
        let weights = products.each_ref().map(|product| product.weight);
        let team = Arc::clone(&self.team);
        let own = &team.slots[self.index];
        {
            let mut shown = own.rows.write().unwrap_or_else(PoisonError::into_inner);
            let (multiplied_with, rows) = &mut *shown;
            multiplied_with.clear();
            multiplied_with.extend(weights);
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
            let shown = slot.rows.read().unwrap_or_else(PoisonError::into_inner);
            let (multiplied_with, rows) = &*shown;
            if *multiplied_with != weights {
                return Err(Alone);
            }
            self.rows.extend_from_slice(rows);
        }
        let n_all = self.rows.len() / d_in;
        let outputs_of = |n: usize, d_out: usize| {
            let part = d_out.div_ceil(team.slots.len()).next_multiple_of(STRIP);
            (n * part).min(d_out)..((n + 1) * part).min(d_out)
        };
        {
            let mut outputs = own.outputs.write().unwrap_or_else(PoisonError::into_inner);
            let of_products = products
                .each_ref()
                .map(|product| outputs_of(self.index, product.d_out));
            let n_outputs: usize = of_products.iter().map(ExactSizeIterator::len).sum();
            outputs.resize(n_all * n_outputs, 0.0);
            let mut outputs = &mut outputs[..];
            for (product, columns) in products.iter().zip(of_products) {
                let (of_product, others) = outputs.split_at_mut(n_all * columns.len());
                (product.of_outputs)(&self.rows, columns, of_product);
                outputs = others;
            }
        }
        self.meet()?;
        let n_rows = x.len() / d_in;
        let mut y = products
            .each_ref()
            .map(|product| Vec::with_capacity(n_rows * product.d_out));
        let shown = team.slots.iter().map(|slot| slot.outputs.read());
        let shown: Vec<_> = shown
            .map(|outputs| outputs.unwrap_or_else(PoisonError::into_inner))
            .collect();
        // Where the product begins in what each member shows.
        let mut start = vec![0; shown.len()];
        for (product, y) in products.iter().zip(&mut y) {
            for row in first_row..first_row + n_rows {
                for (n, outputs) in shown.iter().enumerate() {
                    let width = outputs_of(n, product.d_out).len();
                    y.extend_from_slice(&outputs[start[n] + row * width..][..width]);
                }
            }
            for (n, start) in start.iter_mut().enumerate() {
                *start += n_all * outputs_of(n, product.d_out).len();
            }
        }
        Ok(y)
    }
}

/// Products of the same rows with several weights by all cores that are in lockstep with this one; `None` where this
/// core is alone.
///
/// # Shapes
/// flat `[rows, d_in]` → each flat `[rows, d_out]`.
pub(crate) fn share<const N: usize>(
    x: &[f32],
    d_in: usize,
    products: &[SharedProduct<'_>; N],
) -> Option<[Vec<f32>; N]> {
    if d_in == 0 {
        return None;
    }
    // While others' work may come in between, this thread is nobody's member.
    let mut member = MEMBER.take()?;
    let n_outputs: usize = products.iter().map(|product| product.d_out).sum();
    // Large weights keep all threads busy, of which the cores in lockstep may be a few.
    let shared = if member.team.slots.len() < n_threads() && d_in * n_outputs >= SHARED_WORK {
        None
    } else {
        let shared = member.share(x, d_in, products);
        if shared.is_err() {
            member.team.is_broken.store(true, Ordering::Release);
            return None;
        }
        shared.ok()
    };
    MEMBER.set(Some(member));
    shared
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::in_lockstep;
    use crate::cpu::PackedWeight;

    /// Numbers between −1 and 1 that hardly repeat.
    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let number = |i: u32| i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8;
        (0..n as u32)
            .map(|i| number(i) as f32 / 8_388_608.0 - 1.0)
            .collect()
    }

    /// Two layers, the first of two weights of different widths, the second with a bias.
    struct Layers {
        up: PackedWeight,
        other_up: PackedWeight,
        down: PackedWeight,
        bias: Vec<f32>,
    }

    impl Layers {
        fn new() -> Self {
            Self {
                up: PackedWeight::new(&numbers(72 * 40, 1), [72, 40]),
                other_up: PackedWeight::new(&numbers(30 * 40, 4), [30, 40]),
                down: PackedWeight::new(&numbers(40 * 72, 2), [40, 72]),
                bias: numbers(40, 3),
            }
        }

        fn apply(&self, x: &[f32]) -> Vec<f32> {
            let weights = [(&self.up, None), (&self.other_up, Some(&self.bias[..30]))];
            let [mut up, other] = PackedWeight::apply_each(&weights, x);
            for (up, other) in up.chunks_mut(72).zip(other.chunks(30)) {
                up[..30].copy_from_slice(other);
            }
            self.down.apply(&up, Some(&self.bias))
        }
    }

    /// Rows of each part, and what the layers make of each part alone.
    fn parts(layers: &Layers, rows: &[u32]) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let parts: Vec<Vec<f32>> = rows
            .iter()
            .map(|n| numbers(*n as usize * 40, 10 + n))
            .collect();
        let alone = parts.iter().map(|x| layers.apply(x)).collect();
        (parts, alone)
    }

    fn pool(n_threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .build()
            .unwrap()
    }

    #[test]
    fn parts_come_to_what_each_comes_to_alone() {
        let layers = Layers::new();
        for rows in [&[1][..], &[8, 8], &[3, 1], &[5, 2, 7, 1]] {
            let (mut parts, alone) = parts(&layers, rows);
            for _ in 0..50 {
                let together = pool(rows.len())
                    .install(|| in_lockstep(&mut parts, |x| layers.apply(&layers.apply(x))));
                let twice: Vec<Vec<f32>> = alone.iter().map(|x| layers.apply(x)).collect();
                assert_eq!(together, twice);
            }
        }
    }

    #[test]
    fn who_finds_no_core_or_leaves_is_not_waited_for() {
        let layers = Layers::new();
        let (mut parts, alone) = parts(&layers, &[1, 2, 3, 4, 5]);
        // Five parts on two cores: three have not begun when the first ones wait.
        let together = pool(2).install(|| in_lockstep(&mut parts, |x| layers.apply(x)));
        assert_eq!(together, alone);

        let (mut parts, alone) = self::parts(&layers, &[2, 3]);
        for n in 0..100 {
            let together = pool(2).install(|| {
                in_lockstep(&mut parts, |x| {
                    // One of two breaks off, before it has been through the layers or behind them.
                    let is_odd = x.len() == 3 * 40;
                    let broken = catch_unwind(AssertUnwindSafe(|| {
                        let once = (n % 2 == 1).then(|| layers.apply(x));
                        assert!(!is_odd);
                        once.unwrap_or_else(|| layers.apply(x))
                    }));
                    broken.ok()
                })
            });
            assert_eq!(together, [Some(alone[0].clone()), None]);
        }
    }
}
