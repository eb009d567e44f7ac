//! Keys and values of a sequence in this machine's memory, laid out for the products that read them.

use super::memory::AlignedValues;
use super::product::{STRIP, Strips};

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
    /// For each head position by position, in each of them whole strips of channels.
    values: AlignedValues,
}

impl HostKv {
    /// Room for `capacity` positions.
    pub fn new(n_layers: usize, n_heads: usize, head_dim: usize, capacity: usize) -> Self {
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
        self.capacity * self.value_width()
    }

    /// Values of a position with those that fill its last strip.
    pub fn value_width(&self) -> usize {
        self.head_dim.next_multiple_of(STRIP)
    }

    /// Writes positions of one layer from `start` on.
    ///
    /// # Shapes
    /// keys, values flat `[positions, heads, head_dim]`.
    pub fn write(&mut self, layer: usize, start: usize, keys: &[f32], values: &[f32]) {
        let (head_dim, value_width) = (self.head_dim, self.value_width());
        let (keys_per_head, values_per_head) = (self.keys_per_head(), self.values_per_head());
        let layer = &mut self.layers[layer];
        let position_width = self.n_heads * head_dim;
        let positions = keys
            .chunks_exact(position_width)
            .zip(values.chunks_exact(position_width));
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
                let row = head * values_per_head + position * value_width;
                layer.values[row..row + head_dim].copy_from_slice(values);
            }
        }
    }

    /// A copy of the first `len` positions, with room for no more.
    pub fn prefix(&self, len: usize) -> Self {
        let mut prefix = Self::new(self.layers.len(), self.n_heads, self.head_dim, len);
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
        let n_values = len * self.value_width();
        let (own_keys, own_values) = (self.keys_per_head(), self.values_per_head());
        let (other_keys, other_values) = (other.keys_per_head(), other.values_per_head());
        for (to, from) in self.layers.iter_mut().zip(&other.layers) {
            for head in 0..self.n_heads {
                let (to_start, from_start) = (head * own_keys, head * other_keys);
                to.keys[to_start..to_start + n_keys]
                    .copy_from_slice(&from.keys[from_start..from_start + n_keys]);
                let (to_start, from_start) = (head * own_values, head * other_values);
                to.values[to_start..to_start + n_values]
                    .copy_from_slice(&from.values[from_start..from_start + n_values]);
            }
        }
        true
    }

    /// The first `n_positions` keys of a head, as columns.
    pub(super) fn keys(&self, layer: usize, head: usize, n_positions: usize) -> Strips<'_> {
        Strips {
            values: &self.layers[layer].keys[head * self.keys_per_head()..],
            row_stride: STRIP,
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
            row_stride: self.value_width(),
            strip_stride: STRIP,
            n_inner: n_positions,
            n_columns: self.head_dim,
            is_fetched: false,
        }
    }
}
