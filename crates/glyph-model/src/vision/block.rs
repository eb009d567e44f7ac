//! One transformer block of the vision tower.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::attention::attend;
use crate::config::VisionConfig;
use crate::cpu::{self, HostKv, Rows, Seen};
use crate::layers::{Linear, RmsNorm, silu_product};
use crate::rotary::Rotary;
use crate::text::KvPrecision;

/// `x += attn(norm1 x); x += mlp(norm2 x)`.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub norm1: RmsNorm,
    /// Before the feed-forward layer.
    pub norm2: RmsNorm,
    /// Full attention inside an image.
    pub attn: Attention,
    /// Feed-forward layer.
    pub mlp: Mlp,
}

impl Block {
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let d = config.hidden_size;
        Self {
            norm1: RmsNorm::new(d, config.rms_norm_eps, device),
            norm2: RmsNorm::new(d, config.rms_norm_eps, device),
            attn: Attention {
                qkv: Linear::new(d, 3 * d, false, device),
                proj: Linear::new(d, d, false, device),
                n_heads: config.num_heads,
            },
            // The block's inner width is out_hidden_size; intermediate_size belongs to the merger.
            mlp: Mlp::new(d, config.out_hidden_size, device),
        }
    }

    /// # Shapes
    /// `[images, patches, d]` → the same.
    pub fn forward(&self, x: Tensor<3>, rotary: &Rotary) -> Tensor<3> {
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), rotary);
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}

/// Full self-attention inside each image.
#[derive(Module, Debug)]
pub struct Attention {
    /// Query, key and value in one.
    pub qkv: Linear,
    /// Output projection.
    pub proj: Linear,
    n_heads: usize,
}

impl Attention {
    fn forward(&self, x: Tensor<3>, rotary: &Rotary) -> Tensor<3> {
        let [images, patches, d] = x.dims();
        let head_dim = d / self.n_heads;
        let heads = [images, patches, self.n_heads, head_dim];
        if cpu::has_values(&x) {
            return self.forward_here(x, rotary);
        }
        let qkv = self.qkv.forward(x);
        let part = |n: usize| qkv.clone().narrow(2, n * d, d).reshape(heads);
        let q = rotary.apply(part(0)).swap_dims(1, 2);
        let k = rotary.apply(part(1)).swap_dims(1, 2);
        let v = part(2).swap_dims(1, 2);
        let y = attend(q, k, v, false);
        self.proj
            .forward(y.swap_dims(1, 2).reshape([images, patches, d]))
    }
}

impl Attention {
    fn forward_here(&self, x: Tensor<3>, rotary: &Rotary) -> Tensor<3> {
        let [images, patches, d] = x.dims();
        let mut qkv = self.qkv.forward_here(&cpu::values(x));
        // Queries and keys stand side by side.
        rotary.turn(&mut qkv, 2 * self.n_heads, 3 * d);
        let mut y = vec![0.0; images * patches * d];
        let shape = [1, self.n_heads, d / self.n_heads];
        let mut kv = HostKv::new(shape, patches, KvPrecision::Full);
        let of_images = qkv.chunks_exact(patches * 3 * d);
        for (qkv, y) in of_images.zip(y.chunks_exact_mut(patches * d)) {
            let [q, k, v] = [0, 1, 2].map(|n| Rows {
                values: &qkv[n * d..],
                width: d,
                stride: 3 * d,
            });
            kv.write(0, 0, k, v);
            let seen = Seen {
                kv: &kv,
                layer: 0,
                n_before: 0,
                is_causal: false,
            };
            cpu::attend(q, seen, y);
        }
        drop(kv);
        drop(qkv);
        cpu::tensor(self.proj.forward_here(&y), [images, patches, d])
    }
}

/// `down(silu(gate x) · up x)`.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Gate.
    pub gate_proj: Linear,
    /// Up.
    pub up_proj: Linear,
    /// Down.
    pub down_proj: Linear,
}

impl Mlp {
    pub(super) fn new(d: usize, d_inner: usize, device: &Device) -> Self {
        Self {
            gate_proj: Linear::new(d, d_inner, false, device),
            up_proj: Linear::new(d, d_inner, false, device),
            down_proj: Linear::new(d_inner, d, false, device),
        }
    }

    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = self.gate_proj.forward(x.clone());
        self.down_proj
            .forward(silu_product(gate, self.up_proj.forward(x)))
    }
}
