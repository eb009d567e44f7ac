//! Four patches → one token of the decoder's width.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::block::Mlp;
use crate::config::VisionConfig;
use crate::cpu::{self, PackedWeight};
use crate::layers::{
    INIT_STD, LayerNorm, Linear, gelu, linear, pack_kernel, packed_if_valid, param, silu_product,
};

/// `Conv2d` with kernel = stride = merge size, applied to merge windows already gathered.
#[derive(Module, Debug)]
pub struct Downsample {
    /// `[d_out, d, merge, merge]`.
    pub weight: Param<Tensor<4>>,
    /// `[d_out]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    packed: Option<PackedWeight>,
}

impl Downsample {
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let (d, d_out, merge) = (
            config.hidden_size,
            config.out_hidden_size,
            config.spatial_merge_size,
        );
        Self {
            weight: param([d_out, d, merge, merge], 0.0, INIT_STD, device),
            bias: param([d_out], 0.0, 0.0, device),
            packed: None,
        }
    }

    /// Has the kernel, if it is loaded, lie as this machine's cores read it.
    pub(super) fn pack(&mut self) {
        pack_kernel(&mut self.weight, &mut self.packed, of_windows);
    }

    /// # Shapes
    /// `[images, patches, d]` in merge-window order → `[images, patches / merge², d_out]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [_, d, merge, _] = self.weight.lazy_shape().dims();
        let [images, patches, _] = x.dims();
        let window = merge * merge;
        let x = x
            .reshape([images, patches / window, window, d])
            .swap_dims(2, 3)
            .reshape([images, patches / window, d * window]);
        match packed_if_valid(&self.weight, &self.packed) {
            Some(packed) if cpu::has_values(&x) => packed.forward(x, Some(self.bias.val())),
            _ => linear(x, of_windows(self.weight.val()), Some(self.bias.val())),
        }
    }
}

/// `[d_out, d, merge, merge]` → `[d_out, d·merge·merge]`.
fn of_windows(kernel: Tensor<4>) -> Tensor<2> {
    let [d_out, d, merge, _] = kernel.dims();
    kernel.reshape([d_out, d * merge * merge])
}

/// Projection, layer norm, GELU, then a gated feed-forward layer.
#[derive(Module, Debug)]
pub struct Merger {
    /// Projection.
    pub proj: Linear,
    /// After the projection.
    pub post_projection_norm: LayerNorm,
    /// Gate.
    pub gate_proj: Linear,
    /// Up.
    pub up_proj: Linear,
    /// Down.
    pub down_proj: Linear,
}

impl Merger {
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let d = config.out_hidden_size;
        let Mlp {
            gate_proj,
            up_proj,
            down_proj,
        } = Mlp::new(d, config.intermediate_size, device);
        Self {
            proj: Linear::new(d, d, false, device),
            post_projection_norm: LayerNorm::new(d, 1e-5, device),
            gate_proj,
            up_proj,
            down_proj,
        }
    }

    /// # Shapes
    /// `[images, tokens, d]` → the same.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = gelu(self.post_projection_norm.forward(self.proj.forward(x)));
        let gate = self.gate_proj.forward(x.clone());
        self.down_proj
            .forward(silu_product(gate, self.up_proj.forward(x)))
    }
}
