//! Keys and values in tensors, for devices that attention runs on.

use burn::tensor::{DType, Device, Tensor};

use super::kv_buffer::KvBuffer;
use super::kv_cache::{KvPrecision, KvShape};

/// A pair of buffers per layer.
#[derive(Debug)]
pub(super) struct KvTensors {
    layers: Vec<LayerCache>,
    device: Device,
    dtype: DType,
}

/// Keys and values of one layer. `None` only while a write has them out, so that the write owns the buffer and
/// happens in place.
#[derive(Debug)]
struct LayerCache {
    /// `[1, kv_heads, head_dim, capacity]`: positions lie side by side, as the product with a query reads them.
    keys: Option<KvBuffer>,
    /// `[1, kv_heads, capacity, head_dim]`.
    values: Option<KvBuffer>,
}

/// Keys and values of each layer.
pub(super) type KvTensorsPrefix = Vec<(KvBuffer, KvBuffer)>;

impl KvTensors {
    /// Room for `capacity` positions.
    pub fn new(
        [n_layers, heads, head_dim]: KvShape,
        capacity: usize,
        precision: KvPrecision,
        (device, dtype): (&Device, DType),
    ) -> Self {
        let key_capacity = capacity.next_multiple_of(KEY_ALIGNMENT);
        let buffer = |shape: [usize; 4], channels: usize| {
            let packed = (precision == KvPrecision::Q8).then_some(channels);
            Some(KvBuffer::zeros(shape, packed, (device, dtype)))
        };
        let layers = (0..n_layers)
            .map(|_| LayerCache {
                keys: buffer([1, heads, head_dim, key_capacity], KEY_CHANNELS),
                values: buffer([1, heads, capacity, head_dim], VALUE_CHANNELS),
            })
            .collect();
        Self {
            layers,
            device: device.clone(),
            dtype,
        }
    }

    /// Whether keys and values of such a residual stream can be written to it.
    pub fn takes(&self, x: &Tensor<3>) -> bool {
        x.device() == self.device && x.dtype() == self.dtype
    }

    /// Whether every layer has its buffers: not so behind a step that was broken off.
    pub fn is_whole(&self) -> bool {
        let is_whole = |layer: &LayerCache| layer.keys.is_some() && layer.values.is_some();
        self.layers.iter().all(is_whole)
    }

    /// A copy of the first `len` positions.
    pub fn prefix(&self, len: usize) -> KvTensorsPrefix {
        let copy = |buffer: &Option<KvBuffer>, axis: usize| {
            Some(buffer.as_ref()?.narrowed(axis, len).copied())
        };
        let layers = self.layers.iter();
        layers
            .filter_map(|layer| {
                let keys = copy(&layer.keys, KEY_POSITIONS)?;
                Some((keys, copy(&layer.values, VALUE_POSITIONS)?))
            })
            .collect()
    }

    /// Writes the first `len` positions of a prefix in place of its own; false where it has other layers, or layers of
    /// another precision.
    pub fn restore(&mut self, prefix: &KvTensorsPrefix, len: usize) -> bool {
        if prefix.len() != self.layers.len() {
            return false;
        }
        for (layer, (keys, values)) in self.layers.iter_mut().zip(prefix) {
            for (buffer, saved, axis) in [
                (&mut layer.keys, keys, KEY_POSITIONS),
                (&mut layer.values, values, VALUE_POSITIONS),
            ] {
                let restored = buffer.take().and_then(|all| all.restored(axis, saved, len));
                if restored.is_none() {
                    return false;
                }
                *buffer = restored;
            }
        }
        true
    }

    /// Writes new keys and values of one layer behind the first `len` positions and returns all that attention may see.
    ///
    /// # Shapes
    /// in `[1, kv_heads, n_new, head_dim]` → keys `[1, kv_heads, head_dim, len + n_new]` and up to
    /// [`KEY_ALIGNMENT`] − 1 positions more that hold nothing, values `[1, kv_heads, len + n_new, head_dim]`.
    pub fn extend(
        &mut self,
        layer: usize,
        len: usize,
        keys: Tensor<4>,
        values: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let cache = &mut self.layers[layer];
        let (key_axis, value_axis) = ((KEY_POSITIONS, KEY_ALIGNMENT), (VALUE_POSITIONS, 1));
        (
            extend_buffer(&mut cache.keys, key_axis, len, keys.swap_dims(2, 3)),
            extend_buffer(&mut cache.values, value_axis, len, values),
        )
    }
}

/// Axis of the positions.
const KEY_POSITIONS: usize = 3;
const VALUE_POSITIONS: usize = 2;

/// Axis of the channels.
const KEY_CHANNELS: usize = 2;
const VALUE_CHANNELS: usize = 3;

/// Positions of keys are shown in multiples of this. A product whose rows are no whole vectors of the processor would
/// copy all keys into such vectors for every token.
pub(super) const KEY_ALIGNMENT: usize = 16;

fn extend_buffer(
    buffer: &mut Option<KvBuffer>,
    (axis, alignment): (usize, usize),
    start: usize,
    new: Tensor<4>,
) -> Tensor<4> {
    let n_new = new.dims()[axis];
    let Some(all) = buffer.take() else {
        return new;
    };
    let all = all.written(axis, start, new);
    let n_shown = (start + n_new).next_multiple_of(alignment);
    let shown = all.narrowed(axis, n_shown);
    *buffer = Some(all);
    shown.values()
}
