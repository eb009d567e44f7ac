//! The stack of decoder layers.

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor, TensorData};

use super::attention::LayerKv;
use super::kv_cache::{KvCache, KvTarget};
use super::layer::DecoderLayer;
use super::rotary::MultimodalRotary;
use crate::config::TextConfig;
use crate::error::Result;
use crate::layers::{Embedding, RmsNorm};

/// `model.language_model` of the checkpoint.
#[derive(Module, Debug)]
pub struct TextDecoder {
    /// Token table.
    pub embed_tokens: Embedding,
    /// Layers.
    pub layers: Vec<DecoderLayer>,
    /// After the last layer.
    pub norm: RmsNorm,
    #[module(skip)]
    rotary: MultimodalRotary,
}

/// Rotary positions (time, row, column) of a forward pass, flat `[batch, seq]`.
#[derive(Debug, Clone, Copy)]
pub struct Positions<'a>(pub &'a [[u32; 3]]);

impl TextDecoder {
    pub(crate) fn new(config: &TextConfig, device: &Device) -> Self {
        Self {
            embed_tokens: Embedding::new(config.vocab_size, config.hidden_size, device),
            layers: (0..config.num_hidden_layers)
                .map(|_| DecoderLayer::new(config, device))
                .collect(),
            norm: RmsNorm::new(config.hidden_size, config.rms_norm_eps, device),
            rotary: MultimodalRotary::new(config),
        }
    }

    /// Whole sequences at once, without a cache; rows may be padded at their end.
    ///
    /// # Shapes
    /// `[batch, seq, d]` → the same, after the final norm.
    pub fn forward(&self, x: Tensor<3>, positions: Positions<'_>) -> Tensor<3> {
        self.forward_observed(x, positions, |_, _| {})
    }

    /// [`forward`](Self::forward), showing the residual stream after each layer to `observe`.
    pub fn forward_observed(
        &self,
        mut x: Tensor<3>,
        Positions(positions): Positions<'_>,
        mut observe: impl FnMut(usize, &Tensor<3>),
    ) -> Tensor<3> {
        let [batch, seq, _] = x.dims();
        let rotary = self.rotary.tables(positions, [batch, seq], &x.device());
        for (n, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, &rotary, None, None);
            observe(n, &x);
        }
        self.norm.forward(x)
    }

    /// New positions of cached rows: a chunk of one row, or the next token of every row.
    ///
    /// # Shapes
    /// `[rows, n_new, d]` → the same, after the final norm.
    ///
    /// # Errors
    /// [`ContextOverflow`](crate::ModelError::ContextOverflow) when a row is full,
    /// [`Parameter`](crate::ModelError::Parameter) when `x` is no such run of positions.
    pub fn forward_cached(
        &self,
        mut x: Tensor<3>,
        Positions(positions): Positions<'_>,
        cache: &mut KvCache,
        target: KvTarget,
    ) -> Result<Tensor<3>> {
        let [batch, n_new, _] = x.dims();
        cache.reserve(target, [batch, n_new])?;
        let rotary = self.rotary.tables(positions, [batch, n_new], &x.device());
        let mask = match target {
            KvTarget::Row(_) => None,
            KvTarget::EveryRow => unused_tails(cache.lengths(), &x.device()),
        };
        for (n, layer) in self.layers.iter().enumerate() {
            let kv = LayerKv {
                cache: &mut *cache,
                layer: n,
                target,
            };
            x = layer.forward(x, &rotary, Some(kv), mask.clone());
        }
        cache.advance(target, n_new);
        Ok(self.norm.forward(x))
    }
}

/// Hides, for each row that gets one more position, the cached positions behind its own end; `None` when all rows
/// are equally long.
fn unused_tails(lengths: &[usize], device: &Device) -> Option<Tensor<4, Bool>> {
    let longest = lengths.iter().copied().max()?;
    if lengths.iter().all(|length| *length == longest) {
        return None;
    }
    let width = longest + 1;
    let hidden: Vec<bool> = lengths
        .iter()
        .flat_map(|length| (0..width).map(move |position| position > *length))
        .collect();
    Some(Tensor::from_data(
        TensorData::new(hidden, [lengths.len(), 1, 1, width]),
        device,
    ))
}
