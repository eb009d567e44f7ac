//! The decoder's gated feed-forward layer.

use burn::module::Module;
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};

use crate::config::TextConfig;
use crate::layers::Linear;

/// `down(up · silu(gate))`, gate and up in one matrix.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `[2 · d_inner, d]`: gate rows, then up rows.
    pub gate_up_proj: Linear,
    /// Down.
    pub down_proj: Linear,
}

impl Mlp {
    pub(super) fn new(config: &TextConfig, device: &Device) -> Self {
        let (d, d_inner) = (config.hidden_size, config.intermediate_size);
        Self {
            gate_up_proj: Linear::new(d, 2 * d_inner, false, device),
            down_proj: Linear::new(d_inner, d, false, device),
        }
    }

    /// # Shapes
    /// `[batch, seq, d]` → the same.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate_up = self.gate_up_proj.forward(x);
        let d_inner = gate_up.dims()[2] / 2;
        let gate = gate_up.clone().narrow(2, 0, d_inner);
        let up = gate_up.narrow(2, d_inner, d_inner);
        self.down_proj.forward(up * silu(gate))
    }
}
