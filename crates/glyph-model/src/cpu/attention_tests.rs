//! Attention on the CPU against plain loops.

use super::{Seen, attend};
use crate::cpu::{HostKv, Rows};
use crate::text::KvPrecision;

/// Numbers between −2 and 2 that hardly repeat.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let number = |i: u32| i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8;
    (0..n as u32)
        .map(|i| number(i) as f32 / 4_194_304.0 - 2.0)
        .collect()
}

/// Heads of queries, heads of keys and values, channels of a head.
type Shape = [usize; 3];

struct Sequence {
    shape: Shape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Sequence {
    fn new(n: usize, shape: Shape) -> Self {
        let [heads, kv_heads, head_dim] = shape;
        Self {
            shape,
            q: numbers(n * heads * head_dim, 1),
            k: numbers(n * kv_heads * head_dim, 2),
            v: numbers(n * kv_heads * head_dim, 3),
        }
    }

    /// Positions of `[positions, heads, head_dim]`.
    fn part(&self, x: &[f32], heads: usize, range: &std::ops::Range<usize>) -> Vec<f32> {
        let width = heads * self.shape[2];
        x[range.start * width..range.end * width].to_vec()
    }

    /// What the positions of `range` attend to, those before them being cached.
    fn attend(&self, kv: &mut HostKv, range: std::ops::Range<usize>, causal: bool) -> Vec<f32> {
        let [heads, kv_heads, _] = self.shape;
        let q = self.part(&self.q, heads, &range);
        let k = self.part(&self.k, kv_heads, &range);
        let v = self.part(&self.v, kv_heads, &range);
        let [width, kv_width] = [heads, kv_heads].map(|n| n * self.shape[2]);
        let (k, v) = (Rows::dense(&k, kv_width), Rows::dense(&v, kv_width));
        kv.write(0, range.start, v, k);
        kv.write(1, range.start, k, v);
        let mut out = vec![f32::NAN; q.len()];
        let seen = Seen {
            kv,
            layer: 1,
            n_before: range.start,
            is_causal: causal,
        };
        attend(Rows::dense(&q, width), seen, &mut out);
        out
    }

    fn cache(&self, capacity: usize) -> HostKv {
        self.cache_of(KvPrecision::Full, capacity)
    }

    fn cache_of(&self, precision: KvPrecision, capacity: usize) -> HostKv {
        HostKv::new([2, self.shape[1], self.shape[2]], capacity, precision)
    }

    /// By the definition, for one channel of a head at a position that sees `n_seen` positions.
    fn want(&self, position: usize, head: usize, channel: usize, n_seen: usize) -> f64 {
        let [heads, kv_heads, head_dim] = self.shape;
        let kv_head = head / (heads / kv_heads);
        let q = &self.q[(position * heads + head) * head_dim..][..head_dim];
        let row =
            |x: &[f32], n: usize| x[(n * kv_heads + kv_head) * head_dim..][..head_dim].to_vec();
        let weights: Vec<f64> = (0..n_seen)
            .map(|n| {
                let k = row(&self.k, n);
                let products = q.iter().zip(&k).map(|(q, k)| f64::from(*q) * f64::from(*k));
                (products.sum::<f64>() / (head_dim as f64).sqrt()).exp()
            })
            .collect();
        let values = (0..n_seen).map(|n| f64::from(row(&self.v, n)[channel]));
        let sum: f64 = weights.iter().zip(values).map(|(w, v)| w * v).sum();
        sum / weights.iter().sum::<f64>()
    }
}

const SHAPES: [Shape; 4] = [[8, 8, 32], [4, 1, 16], [6, 2, 20], [2, 2, 128]];

#[test]
fn heads_attend_to_what_they_may_see() {
    for shape in SHAPES {
        for n in [1, 5, 12, 13, 30, 70] {
            let sequence = Sequence::new(n, shape);
            let [heads, _, head_dim] = shape;
            for is_causal in [true, false] {
                let out = sequence.attend(&mut sequence.cache(n), 0..n, is_causal);
                for (i, got) in out.iter().enumerate().step_by(7) {
                    let (position, channel) = (i / (heads * head_dim), i % head_dim);
                    let n_seen = if is_causal { position + 1 } else { n };
                    let head = i / head_dim % heads;
                    let want = sequence.want(position, head, channel, n_seen);
                    let error = (f64::from(*got) - want).abs();
                    assert!(error < 1e-5, "{shape:?} {n} {i}: {got} for {want}");
                }
            }
        }
    }
}

#[test]
fn chunks_single_positions_and_shared_work_give_what_the_whole_gives() {
    // Enough for several threads.
    let n = 400;
    let sequence = Sequence::new(n, SHAPES[0]);
    let whole = sequence.attend(&mut sequence.cache(n), 0..n, true);
    let mut cache = sequence.cache(n + 5);
    let mut parts = sequence.attend(&mut cache, 0..170, true);
    for position in 170..200 {
        parts.extend(sequence.attend(&mut cache, position..position + 1, true));
    }
    let mut other = sequence.cache(2 * n);
    assert!(other.restore(&cache.prefix(200), 190));
    for start in [190, 230, 399] {
        let end = if start == 190 {
            230
        } else {
            n.min(start + 169)
        };
        let part = sequence.attend(&mut other, start..end, true);
        parts.truncate(start * 8 * 32);
        parts.extend(part);
    }
    assert_eq!(parts.len(), whole.len());
    let errors = parts
        .iter()
        .zip(&whole)
        .map(|(part, whole)| (part - whole).abs());
    assert!(errors.fold(0.0, f32::max) < 1e-5);
    assert!(!HostKv::new([1, 8, 32], n, KvPrecision::Full).restore(&cache, 10));
}

/// Values of which 8 bits keep every one as it is: whole multiples of a step, the largest of each position 127 of them.
fn whole_steps(values: &[f32], head_dim: usize) -> Vec<f32> {
    let mut values: Vec<f32> = values
        .iter()
        .map(|value| (value * 60.0).round() / 64.0)
        .collect();
    let positions = values.chunks_mut(head_dim);
    positions.for_each(|position| position[1] = -127.0 / 64.0);
    values
}

#[test]
fn what_fewer_bits_can_hold_is_attended_to_as_it_is() {
    for shape in SHAPES {
        let mut sequence = Sequence::new(41, shape);
        sequence.k = whole_steps(&sequence.k, shape[2]);
        sequence.v = whole_steps(&sequence.v, shape[2]);
        let run = |precision| {
            let mut cache = sequence.cache_of(precision, 50);
            let mut out = sequence.attend(&mut cache, 0..21, true);
            let mut other = sequence.cache_of(precision, 41);
            assert!(other.restore(&cache.prefix(21), 20));
            for position in 20..23 {
                out.extend(sequence.attend(&mut other, position..position + 1, true));
            }
            out.extend(sequence.attend(&mut other, 23..41, true));
            out
        };
        let full = run(KvPrecision::Full);
        for precision in [KvPrecision::F16, KvPrecision::Q8] {
            let fewer = run(precision);
            let errors = full.iter().zip(&fewer).map(|(a, b)| (a - b).abs());
            let most = errors.fold(0.0, f32::max);
            assert!(most < 2e-5, "{shape:?}, {precision:?}: {most}");
        }
    }
}

#[test]
fn a_cache_is_not_restored_from_one_of_other_bits() {
    let sequence = Sequence::new(8, SHAPES[0]);
    let all = [KvPrecision::Full, KvPrecision::F16, KvPrecision::Q8];
    for (precision, other) in all
        .into_iter()
        .flat_map(|one| all.map(|other| (one, other)))
    {
        let mut cache = sequence.cache_of(precision, 8);
        sequence.attend(&mut cache, 0..8, true);
        let is_restored = sequence.cache_of(other, 8).restore(&cache, 4);
        assert_eq!(is_restored, precision == other);
    }
}

#[test]
fn what_is_no_number_is_none_in_fewer_bits_either() {
    let shape = SHAPES[0];
    let head_dim = shape[2];
    for (precision, wrong) in [
        (KvPrecision::F16, f32::NAN),
        (KvPrecision::F16, f32::NEG_INFINITY),
        // Beyond what 16 bits hold.
        (KvPrecision::F16, 65_505.0),
        (KvPrecision::Q8, f32::NAN),
    ] {
        let mut sequence = Sequence::new(8, shape);
        sequence.v[head_dim + 8] = wrong;
        let mut cache = sequence.cache_of(precision, 9);
        sequence.attend(&mut cache, 0..7, true);
        // Also one query alone, and behind what was taken over.
        let mut other = sequence.cache_of(precision, 9);
        assert!(other.restore(&cache.prefix(7), 7));
        let out = sequence.attend(&mut other, 7..8, true);
        let (first, second) = out.split_at(head_dim);
        assert!(first.iter().all(|value| value.is_finite()));
        assert!(second[..head_dim].iter().any(|value| value.is_nan()));
    }
}
