//! Attention over keys and values in this machine's memory.

use super::kv::{HeadKv, HostHeads, HostKv, KvValue};
use super::pointwise::exponentials;
use super::product::{OwnProducts, Product, Rows};
use super::strips::STRIP;
use super::{for_each_chunk, n_threads, vectorised, with_vectors};

/// Queries that go over a head's keys and values together.
const BLOCK_QUERIES: usize = 12;

/// Positions that a thread takes at a time where there are several threads.
const SHARED_POSITIONS: usize = 24;

/// Multiplications from which it is worth waking other threads.
const SHARED_WORK: usize = 1 << 22;

/// Heads that are read together where each has one query.
const MOST_HEADS: usize = 4;

/// What queries see of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub kv: &'a HostKv,
    pub layer: usize,
    /// Positions before the first query's.
    pub n_before: usize,
    /// Whether a query sees the positions up to its own; else it sees those of all queries.
    pub is_causal: bool,
}

/// `softmax(q · kᵀ / √head_dim) · v` for queries at positions that follow each other.
///
/// # Shapes
/// q `[positions, heads · head_dim]`, out flat the same.
pub(crate) fn attend(q: Rows<'_>, seen: Seen<'_>, out: &mut [f32]) {
    match seen.kv.heads() {
        HostHeads::Full(heads) => attend_to(heads, q, seen, out),
        HostHeads::Half(heads) => attend_to(heads, q, seen, out),
        HostHeads::Eight(heads) => attend_to(heads, q, seen, out),
    }
}

fn attend_to<T: KvValue + Sync>(heads: &[HeadKv<T>], q: Rows<'_>, seen: Seen<'_>, out: &mut [f32]) {
    let (head_dim, n_kv_heads) = (seen.kv.head_dim(), seen.kv.n_heads());
    let heads = &heads[seen.layer * n_kv_heads..(seen.layer + 1) * n_kv_heads];
    let n_positions = q.len();
    let group = q.width / (n_kv_heads * head_dim).max(1);
    let n_seen = seen.n_before + n_positions;
    let is_shared = n_threads() > 1 && 2 * n_seen * n_positions * q.width >= SHARED_WORK;
    if n_positions == 1 && group == 1 {
        for_each_chunk(out, MOST_HEADS * head_dim, is_shared, |n, out| {
            let first = n * MOST_HEADS;
            let (q, heads) = (&q.values[first * head_dim..], &heads[first..]);
            match out.len() / head_dim {
                4 => attend_heads::<T, 4>(q, heads, n_seen, out),
                3 => attend_heads::<T, 3>(q, heads, n_seen, out),
                2 => attend_heads::<T, 2>(q, heads, n_seen, out),
                _ => attend_heads::<T, 1>(q, heads, n_seen, out),
            }
        });
        return;
    }
    let width = group * head_dim;
    if n_positions == 1 {
        for_each_chunk(out, width, is_shared, |head, out| {
            let queries = Queries {
                rows: q.columns(head * width, width),
                group,
                first_position: 0,
                n_positions: 1,
                n_all: 1,
            };
            queries.attend(seen, &heads[head], out, width, &mut Scratch::default());
        });
        return;
    }
    let part = match is_shared {
        true => SHARED_POSITIONS,
        false => n_positions.max(1),
    };
    for_each_chunk(out, part * q.width.max(1), is_shared, |n, out| {
        let mut scratch = Scratch::default();
        for (n_head, head) in heads.iter().enumerate() {
            let queries = Queries {
                rows: q.from(n * part).columns(n_head * width, width),
                group,
                first_position: n * part,
                n_positions: out.len() / q.width,
                n_all: n_positions,
            };
            let out = &mut out[n_head * width..];
            queries.attend(seen, head, out, q.width, &mut scratch);
        }
    });
}

/// One query for each of the first `N` heads of keys and values: what is read from memory is read from all of them in
/// turn. The heads behind them are those that come next.
///
/// # Shapes
/// q, out flat `[N, head_dim]`.
fn attend_heads<T: KvValue, const N: usize>(
    q: &[f32],
    heads: &[HeadKv<T>],
    n_keys: usize,
    out: &mut [f32],
) {
    let head_dim = out.len() / N;
    let scale = (head_dim as f32).sqrt().recip();
    let queries: Vec<f32> = q[..N * head_dim]
        .iter()
        .map(|value| value * scale)
        .collect();
    let stride = n_keys.next_multiple_of(STRIP);
    let mut scores = vec![0.0; N * stride];
    with_vectors(OwnProducts::<T, N> {
        rows: parts(&queries, head_dim),
        strips: std::array::from_fn(|n| heads[n].keys(head_dim, n_keys)),
        out: parts_mut(&mut scores, stride),
        next: Some(std::array::from_fn(|n| heads[n].values(head_dim, n_keys))),
    });
    let mut sums = [0.0; N];
    let rows = scores.chunks_exact_mut(stride);
    for ((row, sum), head) in rows.zip(&mut sums).zip(heads) {
        let row = &mut row[..n_keys];
        scale_by(row, head.key_scales());
        *sum = sum_of_exponentials(row, head);
        scale_by(row, head.value_scales());
    }
    let width = head_dim.next_multiple_of(STRIP);
    let are_more = heads.len() >= 2 * N;
    let mut attended = vec![0.0; N * width];
    with_vectors(OwnProducts::<T, N> {
        rows: parts(&scores, stride),
        strips: std::array::from_fn(|n| heads[n].values(head_dim, n_keys)),
        out: parts_mut(&mut attended, width),
        next: are_more.then(|| std::array::from_fn(|n| heads[N + n].keys(head_dim, n_keys))),
    });
    let heads = out
        .chunks_exact_mut(head_dim)
        .zip(attended.chunks_exact(width));
    for ((out, attended), sum) in heads.zip(sums) {
        let values = out.iter_mut().zip(attended);
        values.for_each(|(out, value)| *out = value / sum);
    }
}

/// Replaces the scores of a head by `e` to the power of their distance from the greatest, and returns what to divide
/// by.
fn sum_of_exponentials<T: KvValue>(scores: &mut [f32], head: &HeadKv<T>) -> f32 {
    let sum = exponentials(scores);
    if head.is_sound() { sum } else { f32::NAN }
}

/// Multiplies each position of `row` by its scale; where there are no scales, nothing.
fn scale_by(row: &mut [f32], scales: &[f32]) {
    if scales.is_empty() {
        return;
    }
    vectorised(
        #[inline(always)]
        || {
            let row = row.iter_mut().zip(scales);
            row.for_each(|(value, scale)| *value *= scale);
        },
    );
}

/// `N` parts of `len` values.
fn parts<const N: usize>(values: &[f32], len: usize) -> [&[f32]; N] {
    std::array::from_fn(|n| &values[n * len..(n + 1) * len])
}

fn parts_mut<const N: usize>(values: &mut [f32], len: usize) -> [&mut [f32]; N] {
    let mut parts = values.chunks_exact_mut(len);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Memory of a block of queries.
#[derive(Debug, Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    out: Vec<f32>,
}

/// The queries of a head of keys and values: at each position those of a group.
#[derive(Debug, Clone, Copy)]
struct Queries<'a> {
    /// `[positions, group · head_dim]`.
    rows: Rows<'a>,
    group: usize,
    /// Place of the first among all queries' positions.
    first_position: usize,
    n_positions: usize,
    /// Positions of all queries.
    n_all: usize,
}

impl Queries<'_> {
    fn attend<T: KvValue>(
        self,
        seen: Seen<'_>,
        head: &HeadKv<T>,
        out: &mut [f32],
        out_stride: usize,
        scratch: &mut Scratch,
    ) {
        let head_dim = seen.kv.head_dim();
        let scale = (head_dim as f32).sqrt().recip();
        let n_queries = self.n_positions * self.group;
        let place = |query: usize, stride: usize| {
            query / self.group * stride + query % self.group * head_dim
        };
        let n_seen = |query: usize| match seen.is_causal {
            true => seen.n_before + self.first_position + query / self.group + 1,
            false => seen.n_before + self.n_all,
        };
        for first in (0..n_queries).step_by(BLOCK_QUERIES) {
            let block = first..n_queries.min(first + BLOCK_QUERIES);
            scratch.queries.clear();
            for query in block.clone() {
                let start = place(query, self.rows.stride);
                let query = &self.rows.values[start..start + head_dim];
                scratch
                    .queries
                    .extend(query.iter().map(|value| value * scale));
            }
            let n_keys = n_seen(block.end - 1);
            let stride = n_keys.next_multiple_of(STRIP);
            scratch.scores.resize(block.len() * stride, 0.0);
            with_vectors(Product {
                rows: Rows::dense(&scratch.queries, head_dim),
                n_rows: block.len(),
                strips: head.keys(head_dim, n_keys),
                bias: None,
                out: &mut scratch.scores,
                out_stride: stride,
            });
            let mut sums = [0.0; BLOCK_QUERIES];
            let rows = scratch.scores.chunks_exact_mut(stride);
            for ((query, row), sum) in block.clone().zip(rows).zip(&mut sums) {
                let (past, future) = row[..n_keys].split_at_mut(n_seen(query));
                scale_by(past, head.key_scales());
                *sum = sum_of_exponentials(past, head);
                scale_by(past, head.value_scales());
                future.fill(0.0);
            }
            scratch.out.resize(block.len() * head_dim, 0.0);
            with_vectors(Product {
                rows: Rows::dense(&scratch.scores, stride),
                n_rows: block.len(),
                strips: head.values(head_dim, n_keys),
                bias: None,
                out: &mut scratch.out,
                out_stride: head_dim,
            });
            let rows = scratch.out.chunks_exact(head_dim);
            for ((query, row), sum) in block.zip(rows).zip(sums) {
                let start = place(query, out_stride);
                let out = &mut out[start..start + head_dim];
                out.iter_mut()
                    .zip(row)
                    .for_each(|(out, value)| *out = value / sum);
            }
        }
    }
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
