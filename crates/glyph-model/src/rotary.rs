//! Rotary position embedding for both halves of the model. The pairing (interleaved in the decoder, half-split
//! in the vision tower) and the pass-through channels live in one signed permutation matrix, so that applying
//! it is the same three operations everywhere: `x·cos + (x·P)·sin`.

use burn::tensor::{Device, Tensor, TensorData};

use crate::layers::linear;

/// cos and sin for a run of positions, and the permutation that pairs channels.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// `[batch or 1, positions, 1, head_dim]`.
    cos: Tensor<4>,
    /// `[batch or 1, positions, 1, head_dim]`.
    sin: Tensor<4>,
    /// `[head_dim, head_dim]`, laid out as a weight: one ±1 in the row of each rotated channel.
    pairing: Tensor<2>,
}

/// Which channels rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Channels 2i and 2i+1 (GLM decoder).
    Interleaved,
    /// Channels i and i + rotary_dim/2 (vision tower).
    HalfSplit,
}

impl Pairing {
    /// Channel that carries the first and the second component of pair `i` of `n_pairs`.
    fn channels(self, i: usize, n_pairs: usize) -> (usize, usize) {
        match self {
            Self::Interleaved => (2 * i, 2 * i + 1),
            Self::HalfSplit => (i, i + n_pairs),
        }
    }
}

impl Rotary {
    /// `angles`: for each batch row and position, `n_pairs` angles in radians, flat
    /// `[batch, positions, n_pairs]`. Channels from `2 * n_pairs` to `head_dim` pass through.
    pub fn from_angles(
        angles: &[f32],
        [batch, positions, n_pairs]: [usize; 3],
        head_dim: usize,
        pairing: Pairing,
        device: &Device,
    ) -> Self {
        let mut cos = vec![1.0_f32; batch * positions * head_dim];
        let mut sin = vec![0.0_f32; batch * positions * head_dim];
        for (row, row_angles) in angles.chunks_exact(n_pairs).enumerate() {
            for (i, angle) in row_angles.iter().enumerate() {
                let (first, second) = pairing.channels(i, n_pairs);
                let base = row * head_dim;
                for channel in [base + first, base + second] {
                    cos[channel] = angle.cos();
                    sin[channel] = angle.sin();
                }
            }
        }
        // (x·P)[first] = −x[second] and (x·P)[second] = x[first].
        let mut matrix = vec![0.0_f32; head_dim * head_dim];
        for i in 0..n_pairs {
            let (first, second) = pairing.channels(i, n_pairs);
            matrix[first * head_dim + second] = -1.0;
            matrix[second * head_dim + first] = 1.0;
        }
        let shape = [batch, positions, 1, head_dim];
        Self {
            cos: Tensor::from_data(TensorData::new(cos, shape), device),
            sin: Tensor::from_data(TensorData::new(sin, shape), device),
            pairing: Tensor::from_data(TensorData::new(matrix, [head_dim, head_dim]), device),
        }
    }

    /// # Shapes
    /// `[batch, positions, heads, head_dim]` → the same.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let dtype = x.dtype();
        let x = x.cast(self.cos.dtype());
        let paired = linear(x.clone(), self.pairing.clone(), None);
        (x * self.cos.clone() + paired * self.sin.clone()).cast(dtype)
    }
}

/// Inverse frequencies `theta^(-2i/dim)` for `i` in `0..dim/2`, in f32 as the reference computes them.
pub fn inverse_frequencies(dim: usize, theta: f64) -> Vec<f32> {
    (0..dim / 2)
        .map(|i| 1.0 / (theta as f32).powf(2.0 * i as f32 / dim as f32))
        .collect()
}
