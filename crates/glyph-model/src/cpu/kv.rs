//! Keys and values of a sequence in this machine's memory, laid out for the products that read them.

use super::memory::AlignedValues;
use super::product::{Rows, STRIP, StripMemory, Strips};

/// Keys and values of all layers.
#[derive(Debug)]
pub(crate) struct HostKv {
    /// Layer by layer.
    heads: Vec<HeadKv>,
    n_heads: usize,
    head_dim: usize,
}

/// Keys and values of a head of one layer.
#[derive(Debug)]
struct HeadKv {
    /// Strips of positions, in each of them channel by channel.
    keys: AlignedValues,
    /// Strips of channels, in each of them position by position.
    values: Vec<AlignedValues>,
}

impl HostKv {
    /// None yet, of `[layers, heads, head_dim]`, with room for `capacity` positions.
    pub fn new([n_layers, n_heads, head_dim]: [usize; 3], capacity: usize) -> Self {
        let n_keys = capacity.next_multiple_of(STRIP) * head_dim;
        let values = || AlignedValues::with_capacity(capacity * STRIP);
        let head = |_| HeadKv {
            keys: AlignedValues::with_capacity(n_keys),
            values: (0..head_dim.div_ceil(STRIP)).map(|_| values()).collect(),
        };
        Self {
            heads: (0..n_layers * n_heads).map(head).collect(),
            n_heads,
            head_dim,
        }
    }

    pub fn n_heads(&self) -> usize {
        self.n_heads
    }

    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Writes positions of one layer from `start` on.
    ///
    /// # Shapes
    /// keys, values `[positions, heads · head_dim]`.
    pub fn write(&mut self, layer: usize, start: usize, keys: Rows<'_>, values: Rows<'_>) {
        let head_dim = self.head_dim;
        let end = start + keys.len();
        let heads = &mut self.heads[layer * self.n_heads..(layer + 1) * self.n_heads];
        for (n, head) in heads.iter_mut().enumerate() {
            head.keys.grow_to(end.next_multiple_of(STRIP) * head_dim);
            let keys = keys.columns(n * head_dim, head_dim);
            for (position, key) in (start..).zip(keys.iter()) {
                let strip = position / STRIP * STRIP * head_dim;
                let column = &mut head.keys[strip..strip + STRIP * head_dim];
                let column = column.iter_mut().skip(position % STRIP).step_by(STRIP);
                column.zip(key).for_each(|(to, value)| *to = *value);
            }
            for (first, strip) in (0..head_dim).step_by(STRIP).zip(&mut head.values) {
                strip.grow_to(end * STRIP);
                let width = STRIP.min(head_dim - first);
                let values = values.columns(n * head_dim + first, width);
                let rows = strip[start * STRIP..].chunks_exact_mut(STRIP);
                for (to, values) in rows.zip(values.iter()) {
                    to[..width].copy_from_slice(values);
                }
            }
        }
    }

    /// A copy of the first `len` positions, with room for no more.
    pub fn prefix(&self, len: usize) -> Self {
        let shape = [
            self.heads.len() / self.n_heads.max(1),
            self.n_heads,
            self.head_dim,
        ];
        let mut prefix = Self::new(shape, len);
        prefix.restore(self, len);
        prefix
    }

    /// Takes the first `len` positions of another in place of its own; false where that is of another shape.
    pub fn restore(&mut self, other: &Self, len: usize) -> bool {
        let shape = |kv: &Self| (kv.heads.len(), kv.n_heads, kv.head_dim);
        if shape(self) != shape(other) {
            return false;
        }
        let n_keys = len.next_multiple_of(STRIP) * self.head_dim;
        for (head, other) in self.heads.iter_mut().zip(&other.heads) {
            head.keys.replace(&other.keys[..n_keys]);
            for (values, other) in head.values.iter_mut().zip(&other.values) {
                values.replace(&other[..len * STRIP]);
            }
        }
        true
    }

    fn head(&self, layer: usize, head: usize) -> &HeadKv {
        &self.heads[layer * self.n_heads + head]
    }

    /// The first `n_positions` keys of a head, as columns.
    pub(super) fn keys(&self, layer: usize, head: usize, n_positions: usize) -> Strips<'_> {
        Strips {
            memory: StripMemory::InARow(&self.head(layer, head).keys),
            n_inner: self.head_dim,
            n_columns: n_positions,
            are_fetched: false,
        }
    }

    /// The first `n_positions` values of a head, as rows.
    pub(super) fn values(&self, layer: usize, head: usize, n_positions: usize) -> Strips<'_> {
        Strips {
            memory: StripMemory::Each(&self.head(layer, head).values),
            n_inner: n_positions,
            n_columns: self.head_dim,
            are_fetched: false,
        }
    }
}
