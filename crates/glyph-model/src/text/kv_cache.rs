//! Keys and values of the positions already seen, preallocated and written in place.

use burn::tensor::{DType, Device, Tensor};

use crate::config::TextConfig;
use crate::error::{ModelError, Result};

/// One pair of buffers per layer, `[rows, kv_heads, capacity, head_dim]`; a row is one sequence.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    lengths: Vec<usize>,
    capacity: usize,
}

/// Keys and values of one layer. `None` only while a write has them out, so that the write owns the buffer and
/// happens in place.
#[derive(Debug, Clone)]
struct LayerCache {
    keys: Option<Tensor<4>>,
    values: Option<Tensor<4>>,
}

/// Which cached rows a forward pass extends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvTarget {
    /// A run of new positions of one row.
    Row(usize),
    /// One new position of every row.
    EveryRow,
}

impl KvCache {
    /// Room for `rows` sequences of `capacity` positions.
    pub fn new(
        config: &TextConfig,
        rows: usize,
        capacity: usize,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let shape = [
            rows,
            config.num_key_value_heads(),
            capacity,
            config.head_dim(),
        ];
        let buffer = || Tensor::zeros(shape, (device, dtype));
        let layers = (0..config.num_hidden_layers)
            .map(|_| LayerCache {
                keys: Some(buffer()),
                values: Some(buffer()),
            })
            .collect();
        Self {
            layers,
            lengths: vec![0; rows],
            capacity,
        }
    }

    /// Positions that each row holds.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Positions that a row can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets a row.
    pub fn reset(&mut self, row: usize) {
        if let Some(length) = self.lengths.get_mut(row) {
            *length = 0;
        }
    }

    /// Bytes of keys and values per position and row, over all layers.
    pub fn bytes_per_token(config: &TextConfig, bytes_per_value: usize) -> usize {
        2 * config.num_hidden_layers
            * config.num_key_value_heads()
            * config.head_dim()
            * bytes_per_value
    }

    /// Checks that `n_new` positions of `rows` sequences fit the target.
    ///
    /// # Errors
    /// [`ModelError::ContextOverflow`] for a full row, [`ModelError::Parameter`] when the target takes another
    /// number of rows or positions.
    pub fn reserve(&self, target: KvTarget, [rows, n_new]: [usize; 2]) -> Result<()> {
        let fits = match target {
            KvTarget::Row(row) => rows == 1 && row < self.lengths.len(),
            KvTarget::EveryRow => rows == self.lengths.len() && n_new == 1,
        };
        if !fits {
            return Err(ModelError::Parameter {
                name: "cache target",
                value: format!("{target:?} for {rows} rows of {n_new} positions"),
                reason: "takes positions of one row that exists, or one position of each row",
            });
        }
        let longest = match target {
            KvTarget::Row(row) => self.lengths[row],
            KvTarget::EveryRow => self.lengths.iter().copied().max().unwrap_or(0),
        };
        if longest + n_new > self.capacity {
            return Err(ModelError::ContextOverflow {
                prompt_tokens: longest,
                max_new_tokens: n_new,
                context_tokens: self.capacity,
            });
        }
        Ok(())
    }

    /// Writes new keys and values of one layer behind those cached and returns all that attention may see.
    ///
    /// # Shapes
    /// in `[rows, kv_heads, n_new, head_dim]` → out `[rows, kv_heads, longest + n_new, head_dim]`, rows being
    /// one or all by `target`.
    pub(super) fn extend(
        &mut self,
        layer: usize,
        target: KvTarget,
        keys: Tensor<4>,
        values: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let lengths = &self.lengths;
        let cache = &mut self.layers[layer];
        (
            extend_buffer(&mut cache.keys, lengths, target, keys),
            extend_buffer(&mut cache.values, lengths, target, values),
        )
    }

    /// Counts the positions that every layer has now written.
    pub(super) fn advance(&mut self, target: KvTarget, n_new: usize) {
        match target {
            KvTarget::Row(row) => self.lengths[row] += n_new,
            KvTarget::EveryRow => self.lengths.iter_mut().for_each(|length| *length += n_new),
        }
    }
}

fn extend_buffer(
    buffer: &mut Option<Tensor<4>>,
    lengths: &[usize],
    target: KvTarget,
    new: Tensor<4>,
) -> Tensor<4> {
    let [_, heads, n_new, head_dim] = new.dims();
    let Some(mut all) = buffer.take() else {
        return new;
    };
    let visible = match target {
        KvTarget::Row(row) => {
            let start = lengths[row];
            all = all.slice_assign(
                [row..row + 1, 0..heads, start..start + n_new, 0..head_dim],
                new,
            );
            all.clone()
                .slice([row..row + 1, 0..heads, 0..start + n_new, 0..head_dim])
        }
        KvTarget::EveryRow => {
            let rows = lengths.len();
            let longest = lengths.iter().copied().max().unwrap_or(0);
            if lengths.iter().all(|length| *length == longest) {
                all = all.slice_assign(
                    [0..rows, 0..heads, longest..longest + n_new, 0..head_dim],
                    new,
                );
            } else {
                for (row, start) in lengths.iter().copied().enumerate() {
                    let new_row =
                        new.clone()
                            .slice([row..row + 1, 0..heads, 0..n_new, 0..head_dim]);
                    all = all.slice_assign(
                        [row..row + 1, 0..heads, start..start + n_new, 0..head_dim],
                        new_row,
                    );
                }
            }
            all.clone()
                .slice([0..rows, 0..heads, 0..longest + n_new, 0..head_dim])
        }
    };
    *buffer = Some(all);
    visible
}
