//! One decoder layer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::attention::{LayerKv, SelfAttention};
use super::mlp::Mlp;
use crate::config::TextConfig;
use crate::layers::RmsNorm;
use crate::rotary::Rotary;

/// Attention and feed-forward layer, each between two norms.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Attention.
    pub self_attn: SelfAttention,
    /// Feed-forward layer.
    pub mlp: Mlp,
    /// Before attention.
    pub input_layernorm: RmsNorm,
    /// On the attention's output, before it joins the residual stream.
    pub post_self_attn_layernorm: RmsNorm,
    /// Before the feed-forward layer.
    pub post_attention_layernorm: RmsNorm,
    /// On the feed-forward layer's output, before it joins the residual stream.
    pub post_mlp_layernorm: RmsNorm,
}

impl DecoderLayer {
    pub(super) fn new(config: &TextConfig, device: &Device) -> Self {
        let norm = || RmsNorm::new(config.hidden_size, config.rms_norm_eps, device);
        Self {
            self_attn: SelfAttention::new(config, device),
            mlp: Mlp::new(config, device),
            input_layernorm: norm(),
            post_self_attn_layernorm: norm(),
            post_attention_layernorm: norm(),
            post_mlp_layernorm: norm(),
        }
    }

    /// # Shapes
    /// `[batch, seq, d]` → the same.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        kv: Option<LayerKv<'_, '_>>,
    ) -> Tensor<3> {
        let attended = self
            .self_attn
            .forward(self.input_layernorm.forward(x.clone()), rotary, kv);
        let x = x + self.post_self_attn_layernorm.forward(attended);
        let fed = self
            .mlp
            .forward(self.post_attention_layernorm.forward(x.clone()));
        x + self.post_mlp_layernorm.forward(fed)
    }
}
