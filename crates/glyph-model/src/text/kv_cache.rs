//! Keys and values of the positions already seen, preallocated and written in place.

use std::str::FromStr;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::kv_tensors::{KvTensors, KvTensorsPrefix};
use crate::checkpoint::Checkpoint;
use crate::config::TextConfig;
use crate::cpu::{self, HostKv};
use crate::error::{ModelError, Result};

/// In how many bits keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvPrecision {
    /// In those that are computed with.
    #[default]
    Full,
    /// In 16. On a CPU, which computes in 32, that is half of the memory, and half of what attention reads of it; each is
    /// off by 2⁻¹¹ of itself at most, or by 2⁻²⁵ where that is more. Devices keep what they compute with, as [`Full`](Self::Full) does: 16 bits
    /// where memory is dear.
    F16,
    /// In 8, with a scale for each position of each head. On a CPU attention reads them as they are; on other devices
    /// what it sees of a layer is unpacked for it, which costs time.
    Q8,
}

impl KvPrecision {
    /// What answers are given with unless a person says otherwise: half of the memory on a CPU, and the same answers.
    /// [`Full`](Self::Full), the default of a checkpoint, is what a comparison with another implementation takes.
    pub const FOR_ANSWERS: Self = Self::F16;

    /// Name as it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::F16 => "f16",
            Self::Q8 => "q8",
        }
    }

    /// What it comes to where the model is computed: on a CPU by this machine's own kernels, or else in tensors.
    pub fn on(self, is_cpu: bool) -> Self {
        match self {
            Self::F16 if !is_cpu => Self::Full,
            kept => kept,
        }
    }

    /// Bytes of keys and values per position, over all layers; `bytes_per_value` are those of what is computed with.
    pub fn bytes_per_token(self, config: &TextConfig, bytes_per_value: usize) -> usize {
        let head_dim = config.head_dim();
        match self {
            Self::Full => KvCache::bytes_per_token(config, bytes_per_value),
            Self::F16 => KvCache::bytes_per_token(config, size_of::<half::f16>()),
            // A byte for each value, and a scale.
            Self::Q8 => {
                let per_head = head_dim + bytes_per_value;
                KvCache::bytes_per_token(config, per_head) / head_dim.max(1)
            }
        }
    }
}

impl FromStr for KvPrecision {
    type Err = &'static str;

    fn from_str(value: &str) -> std::result::Result<Self, Self::Err> {
        let mut all = [Self::Full, Self::F16, Self::Q8].into_iter();
        all.find(|precision| precision.name() == value)
            .ok_or("it must be full, f16 or q8")
    }
}

/// One sequence. Sequences that decode together keep a cache each, so that one can join and leave at any token, takes
/// no more than its own length, and is computed as it would be alone.
#[derive(Debug)]
pub struct KvCache {
    store: Store,
    shape: KvShape,
    len: usize,
    capacity: usize,
}

/// Layers, heads of keys and values, channels of a head.
pub(super) type KvShape = [usize; 3];

/// Where keys and values are: in the memory that this machine's kernels read, or on a device.
#[derive(Debug)]
enum Store {
    Host(HostKv),
    Device(KvTensors),
}

/// The first positions of a sequence, copied out of its cache for others that begin alike.
#[derive(Debug, Clone)]
pub struct KvPrefix {
    store: PrefixStore,
    len: usize,
}

#[derive(Debug, Clone)]
enum PrefixStore {
    Host(Arc<HostKv>),
    Device(KvTensorsPrefix),
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
        Self::with_precision(config, capacity, KvPrecision::Full, (device, dtype))
    }

    /// Room for a sequence of `capacity` positions of a checkpoint's model, in its precision.
    ///
    /// # Errors
    /// [`ModelError::NoMemory`] when this machine has none for it. A device takes memory as positions are written.
    pub fn of(checkpoint: &Checkpoint, capacity: usize) -> Result<Self> {
        let config = &checkpoint.settings.config.text_config;
        let (device, dtype) = (&checkpoint.device, checkpoint.dtype);
        let precision = checkpoint.kv_precision;
        if is_on_host(device, dtype) {
            let per_token = precision.bytes_per_token(config, dtype.size());
            check_memory(per_token.saturating_mul(capacity), capacity)?;
        }
        Ok(Self::with_precision(
            config,
            capacity,
            precision,
            (device, dtype),
        ))
    }

    /// Room for a sequence of `capacity` positions.
    pub fn with_precision(
        config: &TextConfig,
        capacity: usize,
        precision: KvPrecision,
        (device, dtype): (&Device, DType),
    ) -> Self {
        let (n_heads, head_dim) = (config.num_key_value_heads(), config.head_dim());
        let shape = [config.num_hidden_layers, n_heads, head_dim];
        let store = if is_on_host(device, dtype) {
            Store::Host(HostKv::new(shape, capacity, precision))
        } else {
            Store::Device(KvTensors::new(shape, capacity, precision, (device, dtype)))
        };
        Self {
            store,
            shape,
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
        match &self.store {
            // Written in place, and counted when all layers are done.
            Store::Host(_) => true,
            Store::Device(tensors) => tensors.is_whole(),
        }
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
        let store = match &self.store {
            Store::Host(kv) => PrefixStore::Host(Arc::new(kv.prefix(len))),
            Store::Device(tensors) => PrefixStore::Device(tensors.prefix(len)),
        };
        KvPrefix { store, len }
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
        let is_restored = match (&mut self.store, &prefix.store) {
            (Store::Host(kv), PrefixStore::Host(saved)) => kv.restore(saved, len),
            (Store::Device(tensors), PrefixStore::Device(saved)) => tensors.restore(saved, len),
            _ => false,
        };
        if !is_restored {
            return Err(ModelError::Parameter {
                name: "cache prefix",
                value: format!(
                    "{} positions of keys and values of another shape",
                    prefix.len
                ),
                reason: "must come from the same model",
            });
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

    /// Counts the positions that every layer has now written.
    pub(super) fn advance(&mut self, n_new: usize) {
        self.len += n_new;
    }

    pub(super) fn shape(&self) -> KvShape {
        self.shape
    }

    /// Whether keys and values of such a residual stream can be written to it.
    pub(super) fn takes(&self, x: &Tensor<3>) -> bool {
        match &self.store {
            Store::Host(_) => cpu::has_values(x),
            Store::Device(tensors) => tensors.takes(x),
        }
    }

    /// Whether [`cpu`]'s kernels read it.
    pub(super) fn is_on_host(&self) -> bool {
        matches!(self.store, Store::Host(_))
    }
}

/// Whether keys and values of such a model are in the memory that this machine's kernels read.
fn is_on_host(device: &Device, dtype: DType) -> bool {
    cpu::is_here(device) && dtype == DType::F32
}

/// Tries whether so much memory can be had: one that has to have it and does not get it ends the process.
fn check_memory(bytes: usize, n_tokens: usize) -> Result<()> {
    let no_memory = |_| ModelError::NoMemory { n_tokens, bytes };
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(no_memory)
}

/// The caches of the rows of a step, all in the same kind of memory, each with the positions that it holds.
#[derive(Debug)]
pub(super) enum KvRows<'a> {
    Host(Vec<(&'a mut HostKv, usize)>),
    Device(Vec<(&'a mut KvTensors, usize)>),
}

impl<'a> KvRows<'a> {
    /// Those that are in the host's memory, or those that are not.
    pub fn new(caches: &'a mut [&mut KvCache], are_on_host: bool) -> Self {
        let stores = caches.iter_mut().map(|cache| (&mut cache.store, cache.len));
        if are_on_host {
            let hosts = stores.filter_map(|(store, len)| match store {
                Store::Host(kv) => Some((kv, len)),
                Store::Device(_) => None,
            });
            return Self::Host(hosts.collect());
        }
        let devices = stores.filter_map(|(store, len)| match store {
            Store::Device(tensors) => Some((tensors, len)),
            Store::Host(_) => None,
        });
        Self::Device(devices.collect())
    }
}
