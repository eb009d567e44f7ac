//! Keys and values of the positions already seen, preallocated and written in place.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor};

use crate::config::TextConfig;
use crate::error::{ModelError, Result};

/// One sequence: a pair of buffers per layer. Sequences that decode together keep a cache each, so that one can join
/// and leave at any token, takes no more than its own length, and is computed as it would be alone.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
}

/// Keys and values of one layer. `None` only while a write has them out, so that the write owns the buffer and
/// happens in place.
#[derive(Debug)]
struct LayerCache {
    /// `[1, kv_heads, head_dim, capacity]`: positions lie side by side, as the product with a query reads them.
    keys: Option<Tensor<4>>,
    /// `[1, kv_heads, capacity, head_dim]`.
    values: Option<Tensor<4>>,
}

/// The first positions of a sequence, copied out of its cache for others that begin alike.
#[derive(Debug, Clone)]
pub struct KvPrefix {
    layers: Vec<(Tensor<4>, Tensor<4>)>,
    len: usize,
}

impl KvPrefix {
    /// Positions that it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl KvCache {
    /// Room for a sequence of `capacity` positions.
    pub fn new(config: &TextConfig, capacity: usize, dtype: DType, device: &Device) -> Self {
        let (heads, head_dim) = (config.num_key_value_heads(), config.head_dim());
        let key_capacity = capacity.next_multiple_of(KEY_ALIGNMENT);
        let buffer = |shape: [usize; 4]| Some(Tensor::zeros(shape, (device, dtype)));
        let layers = (0..config.num_hidden_layers)
            .map(|_| LayerCache {
                keys: buffer([1, heads, head_dim, key_capacity]),
                values: buffer([1, heads, capacity, head_dim]),
            })
            .collect();
        Self {
            layers,
            len: 0,
            capacity,
        }
    }

    /// Positions that it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every layer has its buffers: not so behind a step that was broken off.
    pub fn is_whole(&self) -> bool {
        let is_whole = |layer: &LayerCache| layer.keys.is_some() && layer.values.is_some();
        self.layers.iter().all(is_whole)
    }

    /// Positions that it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all but the first `len` positions.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Bytes of keys and values per position, over all layers.
    pub fn bytes_per_token(config: &TextConfig, bytes_per_value: usize) -> usize {
        2 * config.num_hidden_layers
            * config.num_key_value_heads()
            * config.head_dim()
            * bytes_per_value
    }

    /// A copy of the first `len` positions, or of all where there are fewer.
    pub fn prefix(&self, len: usize) -> KvPrefix {
        let len = len.min(self.len);
        // Multiplying makes a tensor of its own: a slice would keep the whole buffer alive, and the next write to
        // it would have to copy.
        let copy = |buffer: &Option<Tensor<4>>, axis: usize| {
            let shown = buffer.clone()?.narrow(axis, 0, len);
            Some(shown.mul_scalar(1.0))
        };
        let layers = self
            .layers
            .iter()
            .filter_map(|layer| {
                let keys = copy(&layer.keys, KEY_POSITIONS)?;
                Some((keys, copy(&layer.values, VALUE_POSITIONS)?))
            })
            .collect();
        KvPrefix { layers, len }
    }

    /// Replaces what is held by the first `len` positions of `prefix`.
    ///
    /// # Errors
    /// [`ModelError::ContextOverflow`] when they do not fit, [`ModelError::Parameter`] for a prefix of another
    /// model.
    pub fn restore(&mut self, prefix: &KvPrefix, len: usize) -> Result<()> {
        let len = len.min(prefix.len);
        if len > self.capacity {
            return Err(self.overflow(0, len));
        }
        if prefix.layers.len() != self.layers.len() {
            return Err(ModelError::Parameter {
                name: "cache prefix",
                value: format!("{} layers", prefix.layers.len()),
                reason: "must come from the same model",
            });
        }
        for (layer, (keys, values)) in self.layers.iter_mut().zip(&prefix.layers) {
            for (buffer, saved, axis) in [
                (&mut layer.keys, keys, KEY_POSITIONS),
                (&mut layer.values, values, VALUE_POSITIONS),
            ] {
                let saved = saved.clone().narrow(axis, 0, len);
                let ranges = ranges(saved.dims(), axis, 0);
                *buffer = buffer.take().map(|all| all.slice_assign(ranges, saved));
            }
        }
        self.len = len;
        Ok(())
    }

    /// Checks that `n_new` positions fit.
    ///
    /// # Errors
    /// [`ModelError::ContextOverflow`].
    pub fn reserve(&self, n_new: usize) -> Result<()> {
        if self.len + n_new > self.capacity {
            return Err(self.overflow(self.len, n_new));
        }
        Ok(())
    }

    fn overflow(&self, prompt_tokens: usize, max_new_tokens: usize) -> ModelError {
        ModelError::ContextOverflow {
            prompt_tokens,
            max_new_tokens,
            context_tokens: self.capacity,
        }
    }

    /// Writes new keys and values of one layer behind those cached and returns all that attention may see.
    ///
    /// # Shapes
    /// in `[1, kv_heads, n_new, head_dim]` → keys `[1, kv_heads, head_dim, len + n_new]` and up to
    /// [`KEY_ALIGNMENT`] − 1 positions more that hold nothing, values `[1, kv_heads, len + n_new, head_dim]`.
    pub(super) fn extend(
        &mut self,
        layer: usize,
        keys: Tensor<4>,
        values: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let cache = &mut self.layers[layer];
        (
            extend_buffer(
                &mut cache.keys,
                (KEY_POSITIONS, KEY_ALIGNMENT),
                self.len,
                keys.swap_dims(2, 3),
            ),
            extend_buffer(&mut cache.values, (VALUE_POSITIONS, 1), self.len, values),
        )
    }

    /// Counts the positions that every layer has now written.
    pub(super) fn advance(&mut self, n_new: usize) {
        self.len += n_new;
    }
}

/// Axis of the positions.
const KEY_POSITIONS: usize = 3;
const VALUE_POSITIONS: usize = 2;

/// Positions of keys are shown in multiples of this. A product whose rows are no whole vectors of the processor would
/// copy all keys into such vectors for every token.
const KEY_ALIGNMENT: usize = 16;

fn extend_buffer(
    buffer: &mut Option<Tensor<4>>,
    (axis, alignment): (usize, usize),
    start: usize,
    new: Tensor<4>,
) -> Tensor<4> {
    let dims = new.dims();
    let Some(all) = buffer.take() else {
        return new;
    };
    let all = all.slice_assign(ranges(dims, axis, start), new);
    let n_shown = (start + dims[axis]).next_multiple_of(alignment);
    let visible = all.clone().narrow(axis, 0, n_shown);
    *buffer = Some(all);
    visible
}

/// All of `dims`, moved by `start` along an axis.
fn ranges(dims: [usize; 4], axis: usize, start: usize) -> [Range<usize>; 4] {
    let mut ranges = dims.map(|n| 0..n);
    ranges[axis] = start..start + dims[axis];
    ranges
}
