//! Grouped-query causal self-attention.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, FloatDType, Tensor};

use super::kv_cache::{KvPrecision, KvRows};
use super::kv_tensors::KvTensors;
use crate::attention::attend;
use crate::config::TextConfig;
use crate::cpu::{self, HostKv, Rows, Seen};
use crate::layers::Linear;
use crate::rotary::Rotary;

/// Attention of one decoder layer. Keys are cached after the rotary embedding.
#[derive(Module, Debug)]
pub struct SelfAttention {
    /// Queries, with bias, whatever `attention_bias` of older config files says.
    pub q_proj: Linear,
    /// Keys, with bias.
    pub k_proj: Linear,
    /// Values, with bias.
    pub v_proj: Linear,
    /// Output, without bias.
    pub o_proj: Linear,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
}

/// The caches that a layer reads and extends, one per row.
pub(super) struct LayerKv<'a, 'b> {
    pub rows: &'a mut KvRows<'b>,
    pub layer: usize,
}

impl SelfAttention {
    pub(super) fn new(config: &TextConfig, device: &Device) -> Self {
        let (d, head_dim) = (config.hidden_size, config.head_dim());
        let (n_heads, n_kv_heads) = (config.num_attention_heads, config.num_key_value_heads());
        Self {
            q_proj: Linear::new(d, n_heads * head_dim, true, device),
            k_proj: Linear::new(d, n_kv_heads * head_dim, true, device),
            v_proj: Linear::new(d, n_kv_heads * head_dim, true, device),
            o_proj: Linear::new(n_heads * head_dim, d, false, device),
            n_heads,
            n_kv_heads,
            head_dim,
        }
    }

    /// Heads of keys and values, and channels of a head.
    pub(super) fn kv_heads(&self) -> [usize; 2] {
        [self.n_kv_heads, self.head_dim]
    }

    /// # Shapes
    /// `[batch, seq, d]` → the same.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        kv: Option<LayerKv<'_, '_>>,
    ) -> Tensor<3> {
        match kv {
            Some(LayerKv { rows, layer }) => match rows {
                KvRows::Host(rows) => self.forward_here(x, rotary, Some((rows, layer))),
                KvRows::Device(rows) => self.forward_tensors(x, rotary, Some((rows, layer))),
            },
            None if cpu::has_values(&x) => self.forward_here(x, rotary, None),
            None => self.forward_tensors(x, rotary, None),
        }
    }

    fn forward_here(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        kv: Option<(&mut [(&mut HostKv, usize)], usize)>,
    ) -> Tensor<3> {
        let [batch, seq, d] = x.dims();
        let x = cpu::values(x);
        let projections = [&self.q_proj, &self.k_proj, &self.v_proj];
        let [mut q, mut k, v] = Linear::forward_each_here(projections, &x);
        rotary.turn(&mut q, self.n_heads, self.n_heads * self.head_dim);
        rotary.turn(&mut k, self.n_kv_heads, self.n_kv_heads * self.head_dim);
        let mut y = vec![0.0; q.len()];
        let [width, kv_width] = [self.n_heads, self.n_kv_heads].map(|n| n * self.head_dim);
        let of_rows = q
            .chunks_exact(seq * width)
            .zip(y.chunks_exact_mut(seq * width));
        let new = k
            .chunks_exact(seq * kv_width)
            .zip(v.chunks_exact(seq * kv_width));
        let attend = |kv: &mut HostKv,
                      [layer, n_before]: [usize; 2],
                      (q, y): (&[f32], &mut [f32]),
                      (k, v): (&[f32], &[f32])| {
            kv.write(
                layer,
                n_before,
                Rows::dense(k, kv_width),
                Rows::dense(v, kv_width),
            );
            let seen = Seen {
                kv,
                layer,
                n_before,
                is_causal: true,
            };
            cpu::attend(Rows::dense(q, width), seen, y);
        };
        match kv {
            Some((caches, layer)) => {
                for ((cache, new), row) in caches.iter_mut().zip(new).zip(of_rows) {
                    attend(&mut *cache.0, [layer, cache.1], row, new);
                }
            }
            None => {
                for (new, row) in new.zip(of_rows) {
                    let shape = [1, self.n_kv_heads, self.head_dim];
                    let mut kv = HostKv::new(shape, seq, KvPrecision::Full);
                    attend(&mut kv, [0, 0], row, new);
                }
            }
        }
        cpu::tensor(self.o_proj.forward_here(&y), [batch, seq, d])
    }

    fn forward_tensors(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        kv: Option<(&mut [(&mut KvTensors, usize)], usize)>,
    ) -> Tensor<3> {
        let [batch, seq, _] = x.dims();
        let heads = |x: Tensor<3>, n: usize| x.reshape([batch, seq, n, self.head_dim]);
        let q = rotary
            .apply(heads(self.q_proj.forward(x.clone()), self.n_heads))
            .swap_dims(1, 2);
        let k = rotary
            .apply(heads(self.k_proj.forward(x.clone()), self.n_kv_heads))
            .swap_dims(1, 2);
        let v = heads(self.v_proj.forward(x), self.n_kv_heads).swap_dims(1, 2);
        let y = match kv {
            Some((caches, layer)) if seq == 1 => {
                let q = self.grouped(q);
                let rows = caches.iter_mut().enumerate().map(|(row, (cache, len))| {
                    let row_of = |x: &Tensor<4>| x.clone().narrow(0, row, 1);
                    let (k, v) = cache.extend(layer, *len, row_of(&k), row_of(&v));
                    let scores = row_of(&q).matmul(k).narrow(3, 0, v.dims()[2]);
                    // Weighed in f32 whatever the type, as the reference does.
                    let weights = softmax(scores.cast(FloatDType::F32), 3);
                    weights.cast(v.dtype()).matmul(v)
                });
                let y = Tensor::cat(rows.collect(), 0);
                y.reshape([batch, self.n_heads, 1, self.head_dim])
            }
            Some((caches, layer)) => {
                let rows = caches.iter_mut().enumerate().map(|(row, (cache, len))| {
                    let row_of = |x: &Tensor<4>| x.clone().narrow(0, row, 1);
                    let (k, v) = cache.extend(layer, *len, row_of(&k), row_of(&v));
                    let k = k.narrow(3, 0, v.dims()[2]).swap_dims(2, 3);
                    self.attend_many(row_of(&q), k, v)
                });
                Tensor::cat(rows.collect(), 0)
            }
            None => self.attend_many(q, k, v),
        };
        self.o_proj.forward(
            y.swap_dims(1, 2)
                .reshape([batch, seq, self.n_heads * self.head_dim]),
        )
    }

    /// Queries of one new position, scaled, those of a group as the rows of one product: so keys and values are read
    /// once per group, and products read them where they lie in the cache. The fused attention of some backends
    /// would copy all of them for every token.
    fn grouped(&self, q: Tensor<4>) -> Tensor<4> {
        let batch = q.dims()[0];
        let group = self.n_heads / self.n_kv_heads;
        let scale = (self.head_dim as f64).sqrt().recip();
        q.reshape([batch, self.n_kv_heads, group, self.head_dim]) * scale
    }

    /// A run of new positions: causal, aligned at the end, so that a chunk sees all that was cached before it.
    fn attend_many(&self, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
        attend(q, self.repeat_heads(k), self.repeat_heads(v), true)
    }

    /// Keys or values once per query head; not every backend's attention takes fewer of them.
    pub(super) fn repeat_heads(&self, x: Tensor<4>) -> Tensor<4> {
        let group = self.n_heads / self.n_kv_heads;
        if group == 1 {
            return x;
        }
        let [batch, kv_heads, seq, head_dim] = x.dims();
        x.unsqueeze_dim::<5>(2)
            .expand([batch, kv_heads, group, seq, head_dim])
            .reshape([batch, self.n_heads, seq, head_dim])
    }
}
