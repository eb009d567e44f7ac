//! The stack of decoder layers.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::attention::LayerKv;
use super::kv_cache::{KvCache, KvRows, KvShape};
use super::layer::DecoderLayer;
use super::rotary::MultimodalRotary;
use crate::config::TextConfig;
use crate::error::{ModelError, Result};
use crate::layers::{Embedding, Linear, RmsNorm};

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

    fn kv_shape(&self) -> KvShape {
        let heads = self.layers.first().map(|layer| layer.self_attn.kv_heads());
        let [n_heads, head_dim] = heads.unwrap_or_default();
        [self.layers.len(), n_heads, head_dim]
    }

    /// Has the weights that are loaded lie as this machine's cores read them.
    pub(crate) fn pack(&mut self) {
        self.embed_tokens.pack();
        self.linears().for_each(Linear::pack);
    }

    fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.layers.iter_mut().flat_map(|layer| {
            let (attention, mlp) = (&mut layer.self_attn, &mut layer.mlp);
            [
                &mut attention.q_proj,
                &mut attention.k_proj,
                &mut attention.v_proj,
                &mut attention.o_proj,
                &mut mlp.gate_up_proj,
                &mut mlp.down_proj,
            ]
        })
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
        x: Tensor<3>,
        positions: Positions<'_>,
        mut observe: impl FnMut(usize, &Tensor<3>),
    ) -> Tensor<3> {
        self.forward_altered(x, positions, |n, x| {
            observe(n, &x);
            x
        })
    }

    /// [`forward`](Self::forward), going on after each layer with what `alter` makes of the residual stream.
    pub fn forward_altered(
        &self,
        mut x: Tensor<3>,
        Positions(positions): Positions<'_>,
        mut alter: impl FnMut(usize, Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let [batch, seq, _] = x.dims();
        let rotary = self.rotary.tables(positions, [batch, seq], &x.device());
        for (n, layer) in self.layers.iter().enumerate() {
            x = alter(n, layer.forward(x, &rotary, None));
        }
        self.norm.forward(x)
    }

    /// New positions of cached sequences, as many of each: a chunk of a prompt, or the next token of every
    /// sequence.
    ///
    /// # Shapes
    /// `[rows, n_new, d]` → the same, after the final norm; one cache per row.
    ///
    /// # Errors
    /// [`ContextOverflow`](crate::ModelError::ContextOverflow) when a cache is full,
    /// [`Parameter`](crate::ModelError::Parameter) for another number of caches than rows, and for caches of another
    /// model or device; the caches are then as they were.
    pub fn forward_cached(
        &self,
        mut x: Tensor<3>,
        Positions(positions): Positions<'_>,
        caches: &mut [&mut KvCache],
    ) -> Result<Tensor<3>> {
        let [rows, n_new, _] = x.dims();
        if rows != caches.len() || rows == 0 {
            return Err(ModelError::Parameter {
                name: "caches",
                value: caches.len().to_string(),
                reason: "must be one for each row, and at least one",
            });
        }
        let is_on_host = caches.iter().all(|cache| cache.is_on_host());
        let shape = self.kv_shape();
        let is_own = |cache: &&mut KvCache| {
            let is_alike = cache.is_on_host() == is_on_host && cache.shape() == shape;
            is_alike && cache.takes(&x)
        };
        if !caches.iter().all(is_own) {
            return Err(ModelError::Parameter {
                name: "caches",
                value: "of another model, device or type of values".to_owned(),
                reason: "must be made for this model, its type of values and its device",
            });
        }
        caches.iter().try_for_each(|cache| cache.reserve(n_new))?;
        let rotary = self.rotary.tables(positions, [rows, n_new], &x.device());
        let mut rows = KvRows::new(caches, is_on_host);
        for (layer, module) in self.layers.iter().enumerate() {
            let rows = &mut rows;
            x = module.forward(x, &rotary, Some(LayerKv { rows, layer }));
        }
        caches.iter_mut().for_each(|cache| cache.advance(n_new));
        Ok(self.norm.forward(x))
    }
}
