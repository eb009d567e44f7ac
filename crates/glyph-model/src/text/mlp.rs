//! The decoder's gated feed-forward layer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::config::TextConfig;
use crate::cpu;
use crate::layers::{Linear, silu_product};

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
        let [batch, seq, both] = gate_up.dims();
        let d_inner = both / 2;
        if cpu::has_values(&gate_up) {
            let product = cpu::silu_product_of_rows(&cpu::values(gate_up), d_inner);
            return self
                .down_proj
                .forward(cpu::tensor(product, [batch, seq, d_inner]));
        }
        let gate = gate_up.clone().narrow(2, 0, d_inner);
        let up = gate_up.narrow(2, d_inner, d_inner);
        self.down_proj.forward(silu_product(gate, up))
    }
}
