//! Keys and values of a sequence in this machine's memory, laid out for the products that read them.

use super::memory::AlignedValues;
use super::product::{Rows, STRIP, Strips};

/// Keys and values of all layers, for a number of positions.
#[derive(Debug)]
pub(crate) struct HostKv {
    layers: Vec<HostLayer>,
    n_heads: usize,
    head_dim: usize,
    capacity: usize,
}

#[derive(Debug)]
struct HostLayer {
    /// For each head strips of positions, in each of them channel by channel.
    keys: AlignedValues,
    /// For each head strips of channels, in each of them position by position.
    values: AlignedValues,
}

impl HostKv {
    /// Room for `capacity` positions of `[layers, heads, head_dim]`.
    pub fn new([n_layers, n_heads, head_dim]: [usize; 3], capacity: usize) -> Self {
        let mut kv = Self {
            layers: Vec::with_capacity(n_layers),
            n_heads,
            head_dim,
            capacity,
        };
        for _ in 0..n_layers {
            kv.layers.push(HostLayer {
                keys: AlignedValues::zeros(n_heads * kv.keys_per_head()),
                values: AlignedValues::zeros(n_heads * kv.values_per_head()),
            });
        }
        kv
    }

    pub fn n_heads(&self) -> usize {
        self.n_heads
    }

    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    fn keys_per_head(&self) -> usize {
        self.capacity.next_multiple_of(STRIP) * self.head_dim
    }

    fn values_per_head(&self) -> usize {
        self.head_dim.next_multiple_of(STRIP) * self.capacity
    }

    /// Writes positions of one layer from `start` on.
    ///
    /// # Shapes
    /// keys, values `[positions, heads · head_dim]`.
    pub fn write(&mut self, layer: usize, start: usize, keys: Rows<'_>, values: Rows<'_>) {
        let (head_dim, capacity) = (self.head_dim, self.capacity);
        let (keys_per_head, values_per_head) = (self.keys_per_head(), self.values_per_head());
        let layer = &mut self.layers[layer];
        let positions = keys.iter().zip(values.iter());
        for (position, (keys, values)) in (start..).zip(positions) {
            let heads = keys
                .chunks_exact(head_dim)
                .zip(values.chunks_exact(head_dim));
            for (head, (keys, values)) in heads.enumerate() {
                let strip = head * keys_per_head + position / STRIP * STRIP * head_dim;
                let column = layer.keys[strip + position % STRIP..]
                    .iter_mut()
                    .step_by(STRIP);
                column.zip(keys).for_each(|(to, key)| *to = *key);
                for (strip, values) in values.chunks(STRIP).enumerate() {
                    let row = head * values_per_head + (strip * capacity + position) * STRIP;
                    layer.values[row..row + values.len()].copy_from_slice(values);
                }
            }
        }
    }

    /// A copy of the first `len` positions, with room for no more.
    pub fn prefix(&self, len: usize) -> Self {
        let shape = [self.layers.len(), self.n_heads, self.head_dim];
        let mut prefix = Self::new(shape, len);
        prefix.restore(self, len);
        prefix
    }

    /// Takes the first `len` positions of another in place of its own; false where that is of another shape.
    pub fn restore(&mut self, other: &Self, len: usize) -> bool {
        let shape = |kv: &Self| (kv.layers.len(), kv.n_heads, kv.head_dim);
        if shape(self) != shape(other) {
            return false;
        }
        let n_keys = len.next_multiple_of(STRIP) * self.head_dim;
        let (own_keys, other_keys) = (self.keys_per_head(), other.keys_per_head());
        let (own_strip, other_strip) = (self.capacity * STRIP, other.capacity * STRIP);
        for (to, from) in self.layers.iter_mut().zip(&other.layers) {
            copy_starts(&mut to.keys, own_keys, &from.keys, other_keys, n_keys);
            let n_values = len * STRIP;
            copy_starts(
                &mut to.values,
                own_strip,
                &from.values,
                other_strip,
                n_values,
            );
        }
        true
    }

    /// The first `n_positions` keys of a head, as columns.
    pub(super) fn keys(&self, layer: usize, head: usize, n_positions: usize) -> Strips<'_> {
        Strips {
            values: &self.layers[layer].keys[head * self.keys_per_head()..],
            strip_stride: STRIP * self.head_dim,
            n_inner: self.head_dim,
            n_columns: n_positions,
            is_fetched: false,
        }
    }

    /// The first `n_positions` values of a head, as rows.
    pub(super) fn values(&self, layer: usize, head: usize, n_positions: usize) -> Strips<'_> {
        Strips {
            values: &self.layers[layer].values[head * self.values_per_head()..],
            strip_stride: STRIP * self.capacity,
            n_inner: n_positions,
            n_columns: self.head_dim,
            is_fetched: false,
        }
    }
}

/// Copies the first `len` values of every stretch of memory to where its like begins.
fn copy_starts(to: &mut [f32], to_stretch: usize, from: &[f32], from_stretch: usize, len: usize) {
    let stretches = to.chunks_exact_mut(to_stretch.max(1));
    for (to, from) in stretches.zip(from.chunks_exact(from_stretch.max(1))) {
        to[..len].copy_from_slice(&from[..len]);
    }
}
